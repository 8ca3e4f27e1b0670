import pytest

from dregsy.web.words import amount, brief, bytes_of, clock, counted, rhythm

NOON = "2024-03-01T12:00:00Z"


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("2024-03-01T11:59:30Z", "just now"),
        (NOON, "just now"),
        ("2024-03-01T12:00:30Z", "in under a minute"),
        ("2024-03-01T11:57:01Z", "2 min ago"),
        ("2024-03-01T13:30:00Z", "in 1 h 30 min"),
        ("2024-03-01T09:00:00Z", "3 h ago"),
        ("2024-02-29T11:00:00Z", "1 day ago"),
        ("9999-12-31T23:59:59Z", "in 2913113 days"),
    ],
)
def test_times(moment: str, words: str) -> None:
    """Roughly, and exactly where one points at it."""
    exact = moment.replace("T", " ").replace("Z", " UTC")

    assert clock(moment, NOON) == f'<time datetime="{moment}" title="{exact}">{words}</time>'


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3600, "every hour"), (7200, "every 2 h"), (86400, "every day"), (172800, "every 2 days"), (60, "every minute")],
)
def test_intervals(seconds: int, words: str) -> None:
    """In the largest unit in which they are whole."""
    assert rhythm({"kind": "interval", "seconds": seconds, "cron": None}) == words


def test_schedules() -> None:
    """An interval that is whole in no unit, a cron expression, and none at all."""
    assert rhythm({"kind": "interval", "seconds": 90, "cron": None}) == "every 1 min 30 s"
    assert rhythm({"kind": "cron", "seconds": None, "cron": "0 4 * * *"}) == "cron 0 4 * * *"
    assert rhythm({"kind": "once", "seconds": None, "cron": None}) == "once"


def test_what_a_run_came_to() -> None:
    """Only what there was, and failures stand out."""
    counts = {"copied": 1200, "current": 0, "failed": 2, "cancelled": 0}

    assert counted(counts) == '<span>1,200 copied</span>, <span class="bad">2 failed</span>'
    assert counted(dict.fromkeys(counts, 0)) == "nothing to do"


def test_amounts() -> None:
    """Of things, of bytes that are known in advance, of such that are not, and of none."""
    assert [amount(1, "image"), amount(1310, "image")] == ["1 image", "1,310 images"]
    assert [bytes_of(500, 2000), bytes_of(500, None), bytes_of(0, None)] == ["500 B of 2.0 kB", "500 B", ""]


def test_digests() -> None:
    """Their start, and all of it where one points at it."""
    digest = "sha256:0123456789abcdef"

    assert brief(digest) == f'<span title="{digest}">sha256:0123456789ab…</span>'
