"""The files that a config is made of, and whether they still hold what was read.

Contents are compared, not times: a mode or owner that changes is no change, a file that is swapped for
another by a symlink is one, and a network share whose times lag behind is no trap.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


class Files:
    """Reads files, and notes which these were and what they held."""

    def __init__(self) -> None:
        self._limits: dict[str, int] = {}
        self._held: dict[str, bytes] = {}

    def read(self, path: str, limit: int) -> bytes:
        """Return the first ``limit`` bytes of a file; raises OSError or ValueError as opening it does."""
        if Path(path).is_file() or not Path(path).exists():  # a pipe gives its content only once
            self._limits[path] = limit
            self._held[path] = b""
        data = _start_of(path, limit)
        if path in self._held:
            self._held[path] = _digest(data)
        return data

    @property
    def held(self) -> Mapping[str, bytes]:
        """A digest of each file as it was read; empty for one that could not be."""
        return self._held

    def hold_now(self) -> Mapping[str, bytes]:
        """Read all files again, and return the same of what they hold now."""
        now = dict.fromkeys(self._held, b"")
        for path, limit in self._limits.items():
            with suppress(OSError, ValueError):
                now[path] = _digest(_start_of(path, limit))
        return now


def _start_of(path: str, limit: int) -> bytes:
    with Path(path).open("rb") as stream:
        return stream.read(limit)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
