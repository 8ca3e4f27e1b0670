"""The ``dregsy`` command: argv in, exit code out. Each command is a file of its name in this folder.

Heavy libraries are imported inside the commands, so that ``--version`` and help answer at once.
"""

import difflib
import gc
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TextIO

import click

from dregsy import __version__
from dregsy.cli import apply, check, demo, health, plan, relays, run, show, verify
from dregsy.errors import DregsyError, UsageError

BUG = 70
"""The exit code of a bug (EX_SOFTWARE); that of a user's mistake is 1."""
INTERRUPTED = 130
BROKEN_PIPE = 141
_GARBAGE = 20_000, 20, 20
"""How many objects are made before cycles are looked for: requests make and drop thousands, and hardly any cycle."""
SYNOPSIS = """
usage: dregsy -config FILE [-run REGEX] [OPTIONS]
       dregsy COMMAND [OPTIONS]

  dregsy -config sync.yaml          copy what the file asks for
  dregsy check -config sync.yaml    see whether the file is right; --diff: what would be copied
  dregsy plan -config sync.yaml     see what that takes; 'dregsy apply' does what was planned
  dregsy verify -config sync.yaml   see whether all that was copied is whole; --repair: mend it
  dregsy demo                       watch it work, with two small registries of its own
  dregsy --help                     all commands and options"""


@click.group(
    "dregsy",
    options_metavar="-config FILE [OPTIONS]",
    subcommand_metavar="| COMMAND [OPTIONS]",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Flags may be written as -config FILE, -config=FILE or --config FILE. "
    "'dregsy COMMAND --help' tells more about a command; 'dregsy -config FILE' takes the options of 'run'.",
)
@click.version_option(__version__, prog_name="dregsy", message="%(prog)s %(version)s")
def group() -> None:
    """Keep container images in step between registries.

    A YAML file says which images go from where to where, and how often. 'dregsy -config FILE' does
    what it says: images that are new or changed are copied, the others cost one request at each side.
    """


for module in (run, plan, apply, check, verify, show, relays, health, demo):
    group.add_command(module.command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; no error leaves a traceback, except a bug."""
    gc.set_threshold(*_GARBAGE)
    _open_closed_streams()
    _tolerate(sys.stdout)
    try:
        code = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except DregsyError as error:
        return _complain(error)
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        path = context.command_path if context else "dregsy"
        return _complain(UsageError(error.format_message().rstrip("."), hint=f"'{path} --help' lists the options"))
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except Exception as error:
        if _is_broken_pipe(error):
            # What is left in the buffer would raise again when the interpreter flushes it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE
        click.echo(_concealed(traceback.format_exc()), err=True, nl=False)
        click.echo(f"dregsy {__version__}: this is a bug; please report it with the lines above", err=True)
        return BUG
    return code


def _concealed(text: str) -> str:
    """Take all logins out of a traceback: nobody knows what is in the words of an error that was not expected."""
    from dregsy.registry.conceal import conceal_all

    return conceal_all(text)


def _is_broken_pipe(error: Exception) -> bool:
    """Whether all that went wrong is that nobody reads on, in whatever groups of errors that comes."""
    if isinstance(error, ExceptionGroup):
        return all(map(_is_broken_pipe, error.exceptions))
    return isinstance(error, BrokenPipeError)


def _open_closed_streams() -> None:
    """Give what a shell closed (``>&-``) a place that takes everything and has nothing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115, PTH123 - it stays open as the stream would


def _tolerate(stream: TextIO) -> None:
    """Let a terminal that cannot show a sign get an escape for it, instead of an error."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def _dispatch(argv: list[str]) -> int:
    """Find the command that is meant, ``run`` if none is named, and run it."""
    words = normalised(argv)
    if not words:
        click.echo(f"dregsy {__version__}\n{SYNOPSIS}", err=True)
        return 1
    name = next((word for word in words if word == "-" or not word.startswith("-")), "")
    if name in group.commands:
        words.remove(name)
        words.insert(0, name)
    elif name:
        raise UsageError(f"there is no command {name!r}", hint=_meant(name))
    elif "--version" in words:
        words = ["--version"]
    elif words[0] not in {"-h", "--help"}:
        words.insert(0, "run")
    with group.make_context("dregsy", words) as context:
        code: int = group.invoke(context)
    return code


def normalised(argv: Sequence[str]) -> list[str]:
    """Write flags as click knows them: Go's ``-config FILE`` and ``-config=FILE`` become ``--config=FILE``."""
    takes_value = _flags()
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or not name:
            words.append(word)
            continue
        name = "config" if name == "c" else name
        if takes_value.get(name) and not equals:
            following = next(rest, None)
            words.append(f"--{name}" if following is None else f"--{name}={following}")
        else:
            words.append(f"{'-' if len(name) == 1 else '--'}{name}{equals}{value}")
    return words


def _flags() -> dict[str, bool]:
    """Return the long names of all options, and whether they take a value."""
    options = [
        option
        for command in (group, *group.commands.values())
        for option in command.params
        if isinstance(option, click.Option)
    ]
    return {name.lstrip("-"): not option.is_flag for option in options for name in option.opts if name[:2] == "--"}


def _meant(name: str) -> str:
    """Guess what a word that is no command was meant to be."""
    if name == "-" or name.endswith((".yaml", ".yml")) or os.path.exists(name):  # noqa: PTH110 - pathlib is slow to import
        return f"did you mean 'dregsy -config {name}'?"
    near = difflib.get_close_matches(name, group.commands, n=1)
    return f"did you mean {near[0]!r}?" if near else f"commands: {', '.join(group.commands)}"


def _complain(error: DregsyError) -> int:
    """Write an error to stderr; return its exit code."""
    from dregsy.cli.render import Paint, complaints

    for line in complaints(error, Paint.on(sys.stderr, os.environ)):
        click.echo(line, err=True, color=True)
    return error.exit_code
