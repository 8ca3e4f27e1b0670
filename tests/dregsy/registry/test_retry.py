"""When a request is sent again, and after how long."""

import random
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.registry.retry import PROGRESS, Backoff, Budget, Chances, retry_after

NOW = 1_700_000_000.0


def test_waits_double_up_to_the_cap() -> None:
    """Without chance in it, the waits are base, twice base and so on, never above cap; then it is given up."""
    backoff = Backoff(attempts=6, base=1.0, cap=5.0, random=lambda: 1.0)

    assert [backoff.wait(attempt) for attempt in range(1, 7)] == [1.0, 2.0, 4.0, 5.0, 5.0, None]


def test_waits_are_spread() -> None:
    """Many clients that fail at once don't come back at once: each wait is anything from nothing to the most."""
    chance = random.Random(1).random  # noqa: S311 - spreads load, keeps no secret
    backoff = Backoff(base=1.0, random=chance)
    waits = {backoff.wait(2) for _ in range(100)}

    assert len(waits) == 100
    assert all(wait is not None and 0 <= wait <= 2 for wait in waits)


def test_what_a_registry_asks_for_is_waited_in_full() -> None:
    """Retry-After is the least wait, even above the cap."""
    assert Backoff(base=1.0, random=lambda: 0.5).wait(1, asked=59.0) == 59.5


def test_patience_has_an_end() -> None:
    """A registry that asks for a longer wait than patience is given up, and so is the last attempt."""
    assert Backoff(patience=60).wait(1, asked=60.1) is None
    assert Backoff(attempts=1).wait(1, asked=0.0) is None


def test_a_transfer_that_gets_ahead_may_break_for_ever() -> None:
    """Attempts that bring a mebibyte do not count; others do."""
    budget = Budget(Backoff(attempts=3, base=1.0, random=lambda: 1.0))

    assert [budget.wait(PROGRESS) for _ in range(50)] == [1.0] * 50
    assert [budget.wait(PROGRESS - 1) for _ in range(2)] == [2.0, None]


def test_chances_run_out_and_are_earned() -> None:
    """A host that only fails gets no more second chances after a hundred; five successes earn one."""
    chances = Chances()

    assert [chances.take() for _ in range(101)] == [True] * 100 + [False]
    for _ in range(6):
        chances.earn()
    assert [chances.take(), chances.take()] == [True, False]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": " 120 "}, 120.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True)}, 90.0),
        ({"Retry-After": format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True)}, 0.0),
        ({"Retry-After": "Mon, 99 Foo 9999 99:99:99 GMT"}, None),
        ({"X-Retry-After": str(int(NOW) + 30)}, 30.0),
        ({"X-Retry-After": str(int(NOW) - 30)}, 0.0),
        ({"X-Retry-After": "x"}, None),
        ({"Retry-After": "5", "X-Retry-After": str(int(NOW) + 30)}, 5.0),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    """Seconds, dates and Docker Hub's Unix times are understood; what is none of them counts as nothing."""
    assert expected == retry_after(headers, NOW)


@given(st.text(), st.text())
def test_no_header_is_a_crash(one: str, other: str) -> None:
    """Whatever a registry writes there: seconds that are not negative, or nothing."""
    seconds = retry_after({"Retry-After": one, "X-Retry-After": other}, NOW)

    assert seconds is None or seconds >= 0
