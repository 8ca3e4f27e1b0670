"""One read of a blob that several uploads take at their own pace."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from dregsy.errors import DregsyError, RelayError


class SpoolFile:
    """An unnamed file that holds all spools of a copy: it goes with the process, however that ends.

    ``with`` keeps it open; it is closed when the last of those that do so lets go.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise _no_room(error) from error
        self._end = 0
        self._holders = 0

    @property
    def is_open(self) -> bool:
        """Whether the bytes can still be read."""
        return not self._file.closed

    def __enter__(self) -> Self:
        self._holders += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holders -= 1
        if not self._holders:
            self._file.close()

    def append(self, chunk: bytes) -> int:
        """Write ``chunk`` at the end and return where it begins; RelayError when there is no room for it."""
        start, done = self._end, 0
        self._end += len(chunk)  # what did not fit is not used again
        try:
            while done < len(chunk):
                done += os.pwrite(self._file.fileno(), memoryview(chunk)[done:], start + done)
        except OSError as error:
            raise _no_room(error) from error
        return start

    def read(self, start: int, length: int) -> bytes:
        """Return ``length`` bytes that were appended at ``start``."""
        return os.pread(self._file.fileno(), length, start)


class Spool:
    """Bytes that arrive once and are read many times, also while they still arrive.

    A slow reader holds up nobody, and memory stays flat. ``error`` is set when the bytes do not come
    to a good end: readers get it after the bytes before it.
    """

    def __init__(self, file: SpoolFile) -> None:
        self.file = file
        self.size = 0
        self.error: DregsyError | None = None
        self._is_whole = False
        self._extents: list[tuple[int, int]] = []
        self._changed = asyncio.Event()

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Call ``append`` within this. However it ends, the readers learn of it: none waits for ever."""
        try:
            yield
            self._is_whole = True
        except DregsyError as error:
            self.error = error
        finally:
            if not self._is_whole and self.error is None:
                self.error = RelayError("the read that this copy shared was given up", relay="native", retryable=True)
            self._wake()

    def append(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._extents.append((self.file.append(chunk), len(chunk)))
        self.size += len(chunk)
        self._wake()

    async def whole(self) -> int:
        """Wait until all bytes are here and return how many; raises what kept them from coming."""
        while not self._is_whole:
            if self.error is not None:
                raise self.error
            await self._changed.wait()
        return self.size

    async def read(self, start: int = 0) -> AsyncIterator[bytes]:
        """Give all bytes from ``start`` on; raises what kept the rest from coming."""
        taken = 0
        while True:
            if taken < len(self._extents):
                place, length = self._extents[taken]
                if start < length:
                    yield self.file.read(place + start, length - start)
                start = max(0, start - length)
                taken += 1
            elif self.error is not None:
                raise self.error
            elif self._is_whole:
                return
            else:
                await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _no_room(error: OSError) -> RelayError:
    return RelayError(
        f"cannot keep a layer in the scratch folder: {error.strerror}",
        relay="native",
        retryable=True,
        hint="it needs room for the largest images that go to several targets: set 'state' or TMPDIR",
    )
