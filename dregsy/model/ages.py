"""Which images are new or old enough: ``newer-than``, ``older-than`` and ``keep: newest``."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


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


def _ago(now: datetime, seconds: float) -> datetime:
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        return _BEFORE_ALL
