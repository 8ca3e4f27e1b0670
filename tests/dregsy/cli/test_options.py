import io

import click
import pytest

from dregsy.cli.options import config_options, json_option, only_option, read_config, warn
from dregsy.config.load import Loaded
from dregsy.errors import Problem, UsageError
from dregsy.model.plan import Plan, RelayChoice, State


@click.command()
@config_options
@only_option
@json_option
def command(**given: object) -> dict[str, object]:
    """Take the common options."""
    return given


def test_options_have_defaults() -> None:
    """Nothing given means: no file, all tasks, lenient, text."""
    given = command.main([], standalone_mode=False)

    assert given == {"config": None, "strict": False, "only": "", "as_json": False}


def test_options_are_taken() -> None:
    """Each option reaches the command."""
    given = command.main(["-c", "x", "--strict", "--run", "a", "--json"], standalone_mode=False)

    assert given == {"config": "x", "strict": True, "only": "a", "as_json": True}


@pytest.mark.parametrize("config", [None, ""])
def test_no_file_is_a_mistake(config: str | None) -> None:
    """A command without its file says so."""
    with pytest.raises(UsageError, match="no config file is given"):
        read_config(config, strict=False)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """``-`` reads the standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO("parallel: 7\n"))

    assert read_config("-", strict=False).plan.parallel == 7


def test_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """``${VAR}`` in the file means this process's environment."""
    monkeypatch.setenv("STATE_OF_TEST", "/somewhere")
    monkeypatch.setattr("sys.stdin", io.StringIO("state: ${STATE_OF_TEST}\n"))

    assert read_config("-", strict=False).plan.state == State("/somewhere")


def test_warnings_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """A warning is a line on stderr with its place in the file."""
    loaded = Loaded(Plan((), RelayChoice("native", None)), (Problem("f", 3, "x", "odd", warning=True),))

    warn(loaded)

    assert capsys.readouterr() == ("", "warning: f:3: x: odd\n")
