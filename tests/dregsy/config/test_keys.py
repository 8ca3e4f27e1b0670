"""The rules of single keys of the dialect, beyond what cases/ show."""

from io import StringIO

import pytest

from dregsy.config.load import load
from dregsy.errors import ConfigError

TASK = """relay: native
tasks:
  - name: a
    source: {{registry: a.example.com}}
    target: {{registry: b.example.com}}
    {task}
    mappings: [{{from: a/b}}]
"""


def problems(task: str) -> list[tuple[str, str]]:
    """Return field and message of what is wrong with a task that is right but for what is given."""
    text = TASK.format(task=task)
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
