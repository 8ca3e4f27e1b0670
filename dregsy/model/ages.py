"""Which images are new or old enough: ``newer-than``, ``older-than`` and ``keep: newest``."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
_FIRST = datetime(2013, 1, 1, tzinfo=UTC)
"""No image is older than docker: builders that want the same bytes each time write 1970 or 1980."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What a registry's own list says of a tag: its digest, and since when it points at that; either may lack."""

    digest: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ages:
    """Bounds on the age of images, in seconds; None sets no bound."""

    newer_than: float | None = None
    older_than: float | None = None

    def __bool__(self) -> bool:
        """Whether there is a bound, so that an image without a date is left out."""
        return self.newer_than is not None or self.older_than is not None

    def fits(self, created: datetime | None, now: datetime) -> bool:
        """Tell whether an image of that date lies within the bounds."""
        if created is None:
            return not self
        return (self.newer_than is None or created > _ago(now, self.newer_than)) and (
            self.older_than is None or created < _ago(now, self.older_than)
        )


def newest(dated: Mapping[str, datetime | None], count: int) -> set[str]:
    """Return the tags of the ``count`` newest images, of all for a count of 0.

    What has no date counts as the oldest; of equal dates the greater tag is the newer one.
    """
    return set(sorted(dated, key=lambda tag: (dated[tag] or _BEFORE_ALL, tag))[-count:])


def read_date(text: object) -> datetime | None:
    """Read a date as configs and registries write it (RFC 3339); None for one that is none, or no real one."""
    try:
        return _real(datetime.fromisoformat(text)) if isinstance(text, str) else None
    except ValueError:
        return None


def read_seconds(text: object) -> datetime | None:
    """Read the seconds since 1970 of a date, from a number or its digits; None where that is no real date."""
    try:
        return _real(datetime.fromtimestamp(float(text), UTC)) if isinstance(text, str | int | float) else None
    except (ValueError, OverflowError, OSError):
        return None


def _real(date: datetime) -> datetime | None:
    return date if date.tzinfo is not None and date >= _FIRST else None


def _ago(now: datetime, seconds: float) -> datetime:
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        return _BEFORE_ALL
