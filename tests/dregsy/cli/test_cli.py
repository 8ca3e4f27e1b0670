import os
import subprocess
import sys
from pathlib import Path

import pytest

from dregsy import __version__, cli
from dregsy.cli import main, normalised

HEAVY = (
    "aiohttp",
    "asyncio",
    "boto3",
    "cronsim",
    "docker",
    "google.auth",
    "pydantic",
    "re2",
    "rich",
    "schedule",
    "yaml",
)


def modules_after(*argv: str) -> set[str]:
    """Return which heavy modules the command has imported after ``argv``."""
    code = (
        f"import sys; from dregsy.cli import main; main({list(argv)!r}); print(' '.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(HEAVY) & set(done.stderr.split())


@pytest.mark.parametrize("argv", [("--version",), ("-version",), ("--help",), ("run", "--help"), ("check", "-h")])
def test_version_and_help_import_nothing_heavy(argv: tuple[str, ...]) -> None:
    """What needs no work answers at once, because no large library is imported for it."""
    assert modules_after(*argv) == set()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is one line on the standard output."""
    code = main(["--version"])

    assert (code, capsys.readouterr().out) == (0, f"dregsy {__version__}\n")


def test_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """Without any argument there is the version, a synopsis, and exit code 1."""
    code = main([])

    text = capsys.readouterr().err
    assert code == 1
    assert text.startswith(f"dregsy {__version__}\n")
    assert "dregsy -config FILE" in text


@pytest.mark.parametrize("argv", [["-h"], ["--help"], ["-help"]])
def test_help_names_all_commands(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The help lists every command and how to start."""
    code = main(argv)

    text = capsys.readouterr().out
    assert code == 0
    assert all(f"\n  {name} " in text for name in ("run", "check", "show", "demo"))
    assert "-config FILE" in text


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["-config", "x"], ["--config=x"]),
        (["-config=x"], ["--config=x"]),
        (["--config", "x"], ["--config=x"]),
        (["--config=x=y"], ["--config=x=y"]),
        (["-c", "x"], ["--config=x"]),
        (["-c=x"], ["--config=x"]),
        (["-config", "-"], ["--config=-"]),
        (["-run", "-x", "-strict"], ["--run=-x", "--strict"]),
        (["-run", "!a b"], ["--run=!a b"]),
        (["-run="], ["--run="]),
        (["check", "-diff", "-c", "x"], ["check", "--diff", "--config=x"]),
        (["-h"], ["-h"]),
        (["-unknown", "x"], ["--unknown", "x"]),
        (["-config"], ["--config"]),
        (["-"], ["-"]),
        (["--"], ["--"]),
    ],
)
def test_flags_may_be_written_as_in_go(argv: list[str], words: list[str]) -> None:
    """One dash or two, blank or equals sign: they mean the same, and a value may begin with a dash."""
    assert normalised(argv) == words


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["-nope"], "No such option '--nope'"),
        (["-config"], "requires an argument"),
        (["-run", "x"], "no config file is given"),
        (["-config", "missing.yaml"], "missing.yaml"),
        (["check", "-config", "."], "."),
        (["chek"], "did you mean 'check'?"),
        (["some.yaml"], "did you mean 'dregsy -config some.yaml'?"),
        (["frobnicate"], "commands: "),
        (["run", "extra"], "unexpected extra argument"),
        (["run", "-config", "x", "-grace", "soon"], "'dregsy run --help' lists the options"),
        (["-config", "x", "-grace", "-1"], "--grace"),
    ],
)
def test_mistakes_end_with_1_and_one_sentence(argv: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong command line is told in one line that says what to do, without a traceback."""
    code = main(argv)

    lines = capsys.readouterr().err.splitlines()
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith("error: ")
    assert part in lines[0]


def test_config_alone_means_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``-config FILE`` is ``run -config FILE``, and the command may also follow the flags."""
    file = tmp_path / "sync.yaml"
    file.write_text("")

    ran = [main(["-config", str(file)]), main(["run", "-config", str(file)]), main(["-config", str(file), "run"])]

    lines = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()]
    assert (ran, lines) == ([0] * 3, ["warning there are no tasks"] * 3)


def test_all_problems_of_a_file_have_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad config ends with 1, and each problem is a line with file and line number."""
    file = tmp_path / "bad.yaml"
    file.write_text("relay: splunge\ntasks:\n- interval: 1\n")

    code = main(["-config", str(file)])

    lines = capsys.readouterr().err.splitlines()
    assert (code, len(lines) > 2) == (1, True)
    assert all(line.startswith(f"error: {file}:") for line in lines)


def test_interrupt_has_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C before the work begins ends with 130, as in a shell."""

    def interrupted(_: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_dispatch", interrupted)

    assert main(["x"]) == 130


def test_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A bug shows its traceback, asks for a report, and ends with 70."""

    def broken(_: list[str]) -> int:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(cli, "_dispatch", broken)

    code = main(["x"])

    text = capsys.readouterr().err
    assert code == 70
    assert "ZeroDivisionError: oops" in text
    assert "please report it" in text.splitlines()[-1]


@pytest.mark.parametrize("words", [["show"], ["check", "--diff"], ["verify"]])
def test_reader_that_goes_away_is_no_error(words: list[str], tmp_path: Path) -> None:
    """When nobody reads the output any more, the command ends quietly."""
    file = tmp_path / "sync.yaml"
    ends = "source: {registry: 127.0.0.1:1}, target: {registry: 127.0.0.1:1}"
    file.write_text(f"tasks: [{{name: x, {ends}, mappings: [{{from: x, to: y, tags: ['1']}}]}}]\n")
    read, write = os.pipe()
    os.close(read)

    command = [sys.executable, "-m", "dregsy", *words, "-config", str(file)]
    with os.fdopen(write, "w") as pipe:
        environ = {**os.environ, "LOG_LEVEL": "error"}
        done = subprocess.run(command, check=False, stdout=pipe, stderr=subprocess.PIPE, text=True, env=environ)

    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("command", [["show"], ["run"]])
def test_output_fits_any_terminal(command: list[str], tmp_path: Path) -> None:
    """A terminal that cannot show a sign gets another for it, never an error."""
    file = tmp_path / "sync.yaml"
    source, target = "{registry: 127.0.0.1:1}", "{registry: 127.0.0.1:1}"
    mappings = "[{from: x, to: y, tags: ['1']}]"
    file.write_text(
        f"tasks:\n- {{name: Übung, source: {source}, target: {target}, mappings: {mappings}}}\nretries: 0\n"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}

    argv = [sys.executable, "-m", "dregsy", *command, "-config", str(file)]
    done = subprocess.run(argv, check=False, capture_output=True, env=environment)

    assert done.stderr == b""
    assert b"bung" in done.stdout
    assert b"finished: " in done.stdout or command == ["show"]
