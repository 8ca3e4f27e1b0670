"""Which images of a run are found and not yet at their targets: how many wait, and how many are on their way."""

from collections.abc import Iterator

from dregsy.model.plan import Copy
from dregsy.model.ref import Ref
from dregsy.model.report import Outcome

_Key = tuple[str, str, str, int, str]


class Pending:
    """What is pending in one run of one task, counted once for each target."""

    def __init__(self) -> None:
        self._found: set[_Key] = set()
        self._running: set[_Key] = set()

    @property
    def queued(self) -> int:
        """How many wait: to be compared, to be copied, or for another attempt."""
        return len(self._found - self._running)

    @property
    def running(self) -> int:
        """How many are being copied."""
        return len(self._running)

    def found(self, copy: Copy) -> None:
        """An image was found."""
        self._found.update(_keys(copy))

    def started(self, copy: Copy) -> None:
        """An image is being copied, to those of its targets that lack it."""
        self._running.update(_keys(copy))

    def put_back(self, outcome: Outcome) -> None:
        """It failed for a target, and waits again."""
        self._running.difference_update(_keys(outcome.copy, outcome.target))

    def finished(self, outcome: Outcome) -> None:
        """It is over for a target."""
        self.put_back(outcome)
        self._found.difference_update(_keys(outcome.copy, outcome.target))


def _keys(copy: Copy, only: Ref | None = None) -> Iterator[_Key]:
    """Name an image at each target, or at one. Digests and targets' tags change on the way: only what stays counts."""
    for to, target in zip(copy.to, copy.targets, strict=True):
        if only is None or target == only:
            yield copy.where, copy.source.repository, copy.source.tag or str(copy.source.digest), to, target.repository
