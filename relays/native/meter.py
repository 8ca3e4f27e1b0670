"""Counts what one copy moves, and tells listeners about it while it happens."""

from dregsy.model.digest import Digest
from dregsy.model.manifest import Descriptor
from dregsy.model.plan import Copy
from dregsy.model.report import CopyProgress, Listener


class Meter:
    """The counter of one copy, over all its targets."""

    def __init__(self, copy: Copy, emit: Listener) -> None:
        self.bytes_read = 0
        self._copy = copy
        self._emit = emit

    def read(self, size: int) -> None:
        """Bytes came from the source."""
        self.bytes_read += size
        self._emit(CopyProgress(self._copy, bytes_read=size))

    def wrote(self, size: int) -> None:
        """Bytes went to a target."""
        self._emit(CopyProgress(self._copy, bytes_written=size))

    def expect(self, blob: Descriptor) -> None:
        """A target may need this blob."""
        self._emit(CopyProgress(self._copy, bytes_expected=max(0, blob.size)))

    def spared(self, blob: Descriptor) -> None:
        """A target turned out to need none of the bytes of this blob."""
        self._emit(CopyProgress(self._copy, bytes_expected=-max(0, blob.size)))

    def arrived(self, blob: Digest) -> None:
        """A blob is whole at a target."""
        self._emit(CopyProgress(self._copy, blob=blob))
