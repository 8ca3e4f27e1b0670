"""Content digests, and checking a stream of bytes against one (OCI image spec, Digests)."""

import hashlib
from dataclasses import dataclass
from sys import intern
from typing import Self

from dregsy.errors import DigestMismatch

HEX_LENGTH = {"sha256": 64, "sha512": 128}
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """The name of some bytes: an algorithm and the hexadecimal hash under it."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``sha256:<64 hex>`` or ``sha512:<128 hex>``; ValueError for anything else."""
        algorithm, _, value = text.partition(":")
        if HEX_LENGTH.get(algorithm) != len(value) or not _HEX.issuperset(value):
            shown = text if len(text) <= 160 else text[:157] + "..."
            raise ValueError(f"not a sha256 or sha512 digest in lower case: {shown!r}")
        return cls(intern(algorithm), value)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Self:
        """Compute the digest of ``data``."""
        return cls(algorithm, hashlib.new(algorithm, data).hexdigest())

    def matches(self, data: bytes) -> bool:
        """Tell whether ``data`` is what this digest names."""
        return hashlib.new(self.algorithm, data).hexdigest() == self.hex

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


class Verifier:
    """Checks bytes against a digest and a size while they pass by; a negative size stands for unknown."""

    def __init__(self, digest: Digest, size: int) -> None:
        self.digest = digest
        self.size = size
        self.seen = 0
        self._hash = hashlib.new(digest.algorithm)

    def copy(self) -> "Verifier":
        """Return one that has seen the same bytes, and goes on by itself."""
        other = Verifier(self.digest, self.size)
        other.seen, other._hash = self.seen, self._hash.copy()
        return other

    def update(self, chunk: bytes) -> None:
        """Take the next bytes; DigestMismatch as soon as there are more than promised."""
        self.seen += len(chunk)
        if self.seen > self.size >= 0:
            raise DigestMismatch(f"{self.digest} should have {self.size} bytes, but more arrived", retryable=True)
        self._hash.update(chunk)

    def finish(self) -> None:
        """Say that this was all; DigestMismatch when bytes are missing or wrong."""
        if self.seen < self.size:
            raise DigestMismatch(
                f"{self.digest} should have {self.size} bytes, but only {self.seen} arrived", retryable=True
            )
        if self._hash.hexdigest() != self.digest.hex:
            really = f"{self.digest.algorithm}:{self._hash.hexdigest()}"
            raise DigestMismatch(f"the {self.seen} bytes received as {self.digest} are really {really}", retryable=True)
