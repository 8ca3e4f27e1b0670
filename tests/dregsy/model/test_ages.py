from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.model.ages import Ages, newest, read_date, read_seconds

NOW = datetime(2024, 6, 1, tzinfo=UTC)
DAY = 86400.0


@pytest.mark.parametrize(
    ("ages", "days", "expected"),
    [
        (Ages(), None, True),
        (Ages(), 400, True),
        (Ages(newer_than=30 * DAY), 29, True),
        (Ages(newer_than=30 * DAY), 30, False),
        (Ages(newer_than=30 * DAY), None, False),
        (Ages(newer_than=30 * DAY), -1, True),
        (Ages(older_than=7 * DAY), 8, True),
        (Ages(older_than=7 * DAY), 7, False),
        (Ages(older_than=7 * DAY), -1, False),
        (Ages(older_than=7 * DAY), None, False),
        (Ages(newer_than=30 * DAY, older_than=7 * DAY), 10, True),
        (Ages(newer_than=30 * DAY, older_than=7 * DAY), 31, False),
        (Ages(newer_than=1e15), 4000, True),
    ],
)
def test_bounds(ages: Ages, days: int | None, expected: bool) -> None:
    """An image fits that lies between the bounds; one without a date only where there are none."""
    created = None if days is None else NOW - timedelta(days=days)

    assert expected == ages.fits(created, NOW)


def test_newest() -> None:
    """The newest are kept; what has no date counts as oldest, and of equal dates the greater tag is newer."""
    dated = {"a": NOW, "b": NOW, "c": NOW - timedelta(1), "d": None}

    assert [{"b"}, {"a", "b"}, {"a", "b", "c"}, set(dated)] == [newest(dated, count) for count in (1, 2, 3, 4)]
    assert set(dated) == newest(dated, 0) == newest(dated, 9)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=2), st.none() | st.integers(0, 3)), st.integers(1, 4))
def test_newest_agrees_with_a_naive_reading(days: dict[str, int | None], count: int) -> None:
    """Taking the newest away one after the other gives the same."""
    dated = {tag: None if day is None else NOW + timedelta(day) for tag, day in days.items()}
    left, kept = dict(days), set[str]()
    while left and len(kept) < count:
        top = max(-1 if day is None else day for day in left.values())
        tag = max(tag for tag, day in left.items() if (-1 if day is None else day) == top)
        kept.add(tag)
        del left[tag]

    assert kept == newest(dated, count)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-06-01T00:00:00Z", NOW),
        ("2024-06-01T00:00:00.0000000Z", NOW),
        ("2024-06-01T02:00:00+02:00", NOW),
        ("2024-06-01T00:00:00", None),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("soon", None),
        (7, None),
        (None, None),
    ],
)
def test_dates(text: object, expected: datetime | None) -> None:
    """A date has a zone and is no placeholder."""
    assert expected == read_date(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (1717200000, NOW),
        (1717200000.0, NOW),
        ("1717200000", NOW),
        ("1717200000000e-3", NOW),
        *[(text, None) for text in (0, "0", "", "e-3", "soon", None, 1e300, -1e300, float("nan"), float("inf"))],
    ],
)
def test_seconds(text: object, expected: datetime | None) -> None:
    """Seconds since 1970 are a date unless they are a placeholder or no number."""
    assert expected == read_seconds(text)
