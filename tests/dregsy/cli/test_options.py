import io

import click
import pytest

from dregsy.cli.options import config_options, json_option, only_option, read_config, shard_option, warn
from dregsy.config.load import Loaded
from dregsy.errors import Problem, UsageError
from dregsy.model.plan import Plan, RelayChoice, State
from dregsy.model.shard import Shard


@click.command()
@config_options
@only_option
@shard_option
@json_option
def command(**given: object) -> dict[str, object]:
    """Take the common options."""
    return given


def test_options_have_defaults() -> None:
    """Nothing given means: no file, all tasks, lenient, text."""
    given = command.main([], standalone_mode=False)

    assert given == {"config": None, "strict": False, "only": "", "shard": None, "as_json": False}


def test_options_are_taken() -> None:
    """Each option reaches the command."""
    arguments = ["-c", "x", "--strict", "--run", "a", "--shard", "1/3", "--json"]
    given = command.main(arguments, standalone_mode=False)

    assert given == {"config": "x", "strict": True, "only": "a", "shard": Shard(1, 3), "as_json": True}


def test_the_number_of_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """``--shard auto/3`` is told by HOSTNAME."""
    monkeypatch.setenv("HOSTNAME", "dregsy-2")

    assert command.main(["--shard", "auto/3"], standalone_mode=False)["shard"] == Shard(2, 3)


def test_a_shard_that_is_none() -> None:
    """The error says what there may be, and how it is written."""
    with pytest.raises(UsageError, match="--shard 'auto/3' needs HOSTNAME '' to end in -0 to 2") as caught:
        command.main(["--shard", "auto/3"], standalone_mode=False)

    assert "'0/3', '1/3' and '2/3'" in caught.value.hint


def test_a_shard_is_in_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each task of a file that is read for a shard knows of it."""
    task = "{name: a, source: {registry: a.example}, target: {registry: b.example}}"
    monkeypatch.setattr("sys.stdin", io.StringIO(f"tasks: [{task}]\n"))

    assert [one.shard for one in read_config("-", strict=False, shard=Shard(1, 2)).plan.tasks] == [Shard(1, 2)]


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
