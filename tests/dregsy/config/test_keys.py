"""The rules of single keys of the dialect, beyond what cases/ show."""

from io import StringIO

import pytest

from dregsy.config import keys
from dregsy.config.load import load
from dregsy.errors import ConfigError
from dregsy.model.platform import Platform

TASK = """relay: native
tasks:
  - name: a
    source: {{registry: a.example.com}}
    target: {{registry: b.example.com}}
    {task}
    mappings: [{{from: {source}, {mapping}}}]
"""


def problems(task: str = "", source: str = "a/b", mapping: str = "") -> list[tuple[str, str]]:
    """Return field and message of what is wrong with a task that is right but for what is given."""
    text = TASK.format(task=task, source=source, mapping=mapping)
    try:
        load("-", environ={}, stdin=StringIO(text))
    except ConfigError as error:
        return [(one.field.removeprefix("tasks[0]."), one.message) for one in error.problems]
    return []


@pytest.mark.parametrize("text", ["0 4 * * *", "*/5 * * * *", "0 0 1 jan mon", "30 0 4 * * *", "0 0 L * *"])
def test_schedules(text: str) -> None:
    """Cron expressions with five fields, names, or seconds in front."""
    assert problems(f"schedule: '{text}'") == []


@pytest.mark.parametrize(
    "text", ["", "daily", "* * * *", "60 * * * *", "0 0 30 2 *", "9" * 5000 + " * * * *", "* * * * 8"]
)
def test_no_schedules(text: str) -> None:
    """What is no cron expression, or never comes, is refused."""
    assert problems(f"schedule: '{text}'") == [("schedule", "is no cron expression")]


def test_schedule_beside_an_interval_of_nothing() -> None:
    """An interval of 0 is no interval."""
    assert problems("{x: y}\n    schedule: '0 4 * * *'\n    interval: 0".removeprefix("{x: y}\n    ")) == []


def test_long_intervals() -> None:
    """An interval beyond any calendar is refused here, not by the clock."""
    assert problems("interval: 9223372036854775807") == [("interval", "is longer than 1000000000 seconds")]


@pytest.mark.parametrize("source", ["/library/busybox", "busybox", "a/b/c/d", "a__b/c-d.e"])
def test_sources(source: str) -> None:
    """Legal names, with or without the slash in front."""
    assert problems(source=source) == []


@pytest.mark.parametrize(
    "source", ["Upper/case", "a:1.0", "a@sha256", "a//b", "a/", "'a b'", "registry.example.com:5000/a"]
)
def test_no_sources(source: str) -> None:
    """What no registry could have is told when the file is read."""
    assert problems(source=source) == [("mappings[0].from", "'from' is no legal repository name")]


@pytest.mark.parametrize("to", ["x/", "X", "a:b", "'regex:a,A'", "'regex:/a/b,'"])
def test_no_targets(to: str) -> None:
    """A name that no registry takes is told when the file is read, rewritten ones too."""
    assert problems(mapping=f"to: {to}") == [("mappings[0].to", "'to' gives no legal repository name")]


def test_wrong_from_and_to() -> None:
    """Both expressions of a mapping are checked, also when the first one is wrong."""
    found = problems(source="'regex:('", mapping="to: 'regex:a'")
    assert [field for field, _ in found] == ["mappings[0].from", "mappings[0].to"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("all", ()),
        ("ALL", ()),
        ("linux/amd64", (Platform("linux", "amd64"),)),
        ("linux/arm64/v8", (Platform("linux", "arm64"),)),
        ("linux/x86_64", (Platform("linux", "amd64"),)),
    ],
)
def test_platforms(text: str, expected: tuple[Platform, ...]) -> None:
    """No platform and ``all`` mean everything; others are one, in its usual spelling."""
    assert expected == keys.platforms_of(text)


def test_os_alone() -> None:
    """An operating system alone is meant for this machine's processor."""
    [platform] = keys.platforms_of("linux")
    assert platform.os == "linux"
    assert platform.architecture not in {"", "x86_64", "aarch64"}


@pytest.mark.parametrize("text", ["/", "linux/", "a/b/c/d", "linux//v7"])
def test_no_platforms(text: str) -> None:
    """What is no platform is told, without repeating it."""
    assert problems(mapping=f"platform: {text}") == [("mappings[0].platform", "is no platform")]
