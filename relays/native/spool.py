"""One read of a blob that several targets take at their own pace."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from dregsy.errors import DregsyError, RelayError

_CHUNK = 2**20


class Spool:
    """Bytes that arrive once and are read many times, also while they still arrive.

    They are kept in an unnamed file, so that a slow reader holds up nobody and memory stays flat;
    the file goes with the process, however that ends.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close()
        self._written = 0
        self._done = False
        self._error: DregsyError | None = None
        self._changed = asyncio.Condition()

    def close(self) -> None:
        """Drop the bytes."""
        self._file.close()

    async def fill(self, chunks: AsyncIterator[bytes]) -> None:
        """Take all of ``chunks``; an error of theirs is what every reader gets after the bytes before it."""
        try:
            async for chunk in chunks:
                self._write(chunk)
                await self._notify()
            self._done = True
        except DregsyError as error:
            self._error = error
        finally:
            await self._notify()

    def fail(self, error: DregsyError) -> None:
        """Say that no bytes will come, and why."""
        self._error = error

    def _write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        try:
            while rest:
                written = os.pwrite(self._file.fileno(), rest, self._written)
                self._written += written
                rest = rest[written:]
        except OSError as error:
            raise RelayError(
                f"cannot keep a layer in the scratch folder: {error.strerror}",
                relay="native",
                hint="it needs room for the largest image that goes to several targets: set 'state' or TMPDIR",
            ) from error

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def read(self) -> AsyncIterator[bytes]:
        """Give all bytes from the first; raises what the source raised."""
        position = 0
        while True:
            if position < self._written:
                chunk = os.pread(self._file.fileno(), _CHUNK, position)
                position += len(chunk)
                yield chunk
            elif self._error is not None:
                raise self._error
            elif self._done:
                return
            else:
                await self._more_than(position)

    async def _more_than(self, position: int) -> None:
        """Wait until there are bytes behind ``position``, or will never be."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._written > position or self._done or self._error is not None)
