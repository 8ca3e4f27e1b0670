"""How the page says times and amounts."""

from datetime import UTC, datetime

from dregsy.log import duration, size
from dregsy.web.html import Html, join, tag
from dregsy.web.view import Data

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def moment(text: str) -> float:
    """Read a time as the API writes it."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()


def clock(text: str, now: str) -> Html:
    """Write a time as people say it, seen from ``now``; the exact one is in a tip."""
    return tag(
        "time", _seen(moment(text) - moment(now)), datetime=text, title=text.replace("T", " ").replace("Z", " UTC")
    )


def _seen(seconds: float) -> str:
    if seconds >= _MINUTE:
        return f"in {span(seconds)}"
    if seconds <= -_MINUTE:
        return f"{span(-seconds)} ago"
    return "in under a minute" if seconds > 0 else "just now"


def span(seconds: float) -> str:
    """Write a time roughly, in its largest unit but for hours, which have minutes."""
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min"
    if seconds < _DAY:
        hours, minutes = divmod(int(seconds // _MINUTE), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days = int(seconds // _DAY)
    return f"{days} day{'' if days == 1 else 's'}"


def rhythm(schedule: Data) -> str:
    """Say when a task runs."""
    if schedule["kind"] == "interval":
        return f"every {_interval(schedule['seconds'])}"
    return f"cron {schedule['cron']}" if schedule["kind"] == "cron" else "once"


def _interval(seconds: int) -> str:
    for unit, name, one in ((_DAY, "days", "day"), (_HOUR, "h", "hour"), (_MINUTE, "min", "minute")):
        if seconds % unit == 0:
            return one if seconds == unit else f"{seconds // unit} {name}"
    return duration(seconds)


def amount(count: int, one: str, many: str = "") -> str:
    """Write how many there are of something: ``1 image``, ``1,310 images``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def counted(run: Data) -> str:
    """Say what a run came to."""
    words = (("copied", "copied", None), ("current", "up to date", None), ("failed", "failed", "bad"))
    said = [(run[key], word, mood) for key, word, mood in (*words, ("cancelled", "cancelled", "odd")) if run[key]]
    parts = [tag("span", f"{count:,} {word}", class_=mood) for count, word, mood in said]
    return join(*(join(", " if position else None, part) for position, part in enumerate(parts))) or "nothing to do"


def brief(digest: str) -> Html:
    """Write the start of a digest; all of it is in a tip."""
    algorithm, _, rest = digest.partition(":")
    return tag("span", f"{algorithm}:{rest[:12]}…", title=digest)


def bytes_of(count: int, expected: int | None) -> str:
    """Say how much of something has moved."""
    return f"{size(count)} of {size(expected)}" if expected else size(count) if count else ""
