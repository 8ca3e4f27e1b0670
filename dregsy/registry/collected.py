"""A small body as it comes in: bounded, and unpacked where somebody on the way packed it though nobody asked for that.

Only for what is JSON, which never begins as gzip does (RFC 1952 §2.3.1). Layers pass as they are.
"""

import zlib

_FIRST = b"\x1f"
_GZIP = 31
"""The format and the largest window, in zlib's words."""


class TooLarge(ValueError):
    """A body has more bytes than there is room for."""


class Collected:
    """The bytes of a body, of which there may be ``limit``, packed or not."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = limit
        self._parts: list[bytes] = []
        self._packed: zlib._Decompress | None = None

    def add(self, chunk: bytes) -> None:
        """Take the next bytes. TooLarge when they are too many, another ValueError when they cannot be unpacked."""
        if not self._parts and chunk.startswith(_FIRST):
            self._packed = zlib.decompressobj(_GZIP)
        if self._packed is not None:
            chunk = self._unpacked(self._packed, chunk)
        self._room -= len(chunk)
        if self._room < 0:
            raise TooLarge(f"more than {self._limit} bytes")
        self._parts.append(chunk)

    def _unpacked(self, packed: "zlib._Decompress", chunk: bytes) -> bytes:
        try:
            plain = packed.decompress(chunk, self._room + 1)
        except zlib.error:
            raise ValueError("gzip that is broken") from None
        if packed.unused_data:
            raise ValueError("gzip that does not end where it should")
        return plain

    def whole(self) -> bytes:
        """Return all of it; ValueError when what was packed has no end."""
        if self._packed is not None and not self._packed.eof:
            raise ValueError("gzip that breaks off")
        return b"".join(self._parts)
