"""What the commands have in common: their options, and reading the config file."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dregsy.errors import UsageError

if TYPE_CHECKING:
    from dregsy.config.load import Loaded
    from dregsy.model.shard import Shard

Command = TypeVar("Command", bound=Callable[..., Any])


def config_options(command: Command) -> Command:
    """Add ``--config`` and ``--strict``."""
    add_config = click.option(
        "-c", "--config", metavar="FILE", help="The YAML file to read; '-' is the standard input."
    )
    add_strict = click.option("--strict", is_flag=True, help="Take unknown keys in the file for errors.")
    return add_config(add_strict(command))


def only_option(command: Command) -> Command:
    """Add ``--run``, which picks tasks by name."""
    text = "Only the tasks whose whole name matches this regular expression (RE2); a leading '!' inverts it."
    return click.option("--run", "only", metavar="REGEX", default="", help=text)(command)


def shard_option(command: Command) -> Command:
    """Add ``--shard``, which gives the command a Shard, or None."""
    text = "Only this part of the repositories, 0/3 to 2/3 of three; auto/3 takes the number at the end of HOSTNAME."
    return click.option("--shard", metavar="INDEX/COUNT", default="", help=text, callback=_shard)(command)


def _shard(_: click.Context, __: click.Parameter, text: str) -> "Shard | None":
    """Read what ``--shard`` says; UsageError when it means nothing."""
    from dregsy.model.shard import Shard

    try:
        return Shard.parse(text, hostname=os.environ.get("HOSTNAME", "")) if text else None
    except ValueError as error:
        hint = "replicas count from 0: '0/3', '1/3' and '2/3', or 'auto/3' in the pods of a StatefulSet"
        raise UsageError(f"--shard {text!r} {error}", hint=hint) from None


def json_option(command: Command) -> Command:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")(command)


def grace_option(command: Command) -> Command:
    """Add ``--grace``, in seconds."""
    return click.option(
        "--grace",
        metavar="SECONDS",
        type=click.FloatRange(min=0, max=86400),
        default=25.0,
        show_default=True,
        help="How long copies in flight may go on after SIGTERM or Ctrl-C.",
    )(command)


def verified_option(command: Command) -> Command:
    """Add ``--verify``; the command gets ``verified``."""
    text = "Look at each image where it was written: is all of it there?"
    return click.option("--verify", "verified", is_flag=True, help=text)(command)


def detailed_option(command: Command) -> Command:
    """Add ``--detailed-exitcode``; the command gets ``detailed``."""
    text = "End with 2 when there is something to copy; 0 is for nothing, 1 for errors."
    return click.option("--detailed-exitcode", "detailed", is_flag=True, help=text)(command)


def read_config(config: str | None, *, strict: bool, shard: "Shard | None" = None) -> "Loaded":
    """Read the config file; ConfigError holds all its problems, UsageError tells that none was given."""
    from dregsy.config.load import load

    loaded = load(given(config), environ=os.environ, strict=strict, stdin=sys.stdin)
    return replace(loaded, plan=loaded.plan.sharded(shard)) if shard else loaded


def given(config: str | None) -> str:
    """Return the name of the config file; UsageError when there is none."""
    if not config:
        raise UsageError("no config file is given", hint="dregsy -config FILE; 'dregsy --help' tells more")
    return config


def warn(loaded: "Loaded") -> None:
    """Write a file's warnings to stderr."""
    from dregsy.cli.render import Paint, problem_line

    paint = Paint.on(sys.stderr, os.environ)
    for warning in loaded.warnings:
        click.echo(problem_line(warning, paint), err=True, color=True)
