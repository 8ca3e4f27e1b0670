"""Which repositories are whose when several dregsys do the work of one file together.

Rendezvous hashing: each replica draws a lot for a name, and the highest has it. All find the same without
talking to each other, and one replica more takes its part from all, while nothing moves between the others.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

MOST = 1000
"""How many replicas there may be."""
AUTO = "auto"
"""Stands for the number at the end of the host's name, as a StatefulSet gives it to its pods."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Replica ``index`` of ``count``, counted from 0; the only one has everything."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str, *, hostname: str = "") -> Self:
        """Read ``INDEX/COUNT`` or ``auto/COUNT``; ValueError, which says what is wrong, when it is neither."""
        first, slash, last = text.strip().partition("/")
        count = _number(last)
        if not slash or count is None or not 1 <= count <= MOST:
            raise ValueError(f"is not INDEX/COUNT with a COUNT from 1 to {MOST}")
        if first == AUTO:
            index, what = _number(hostname.rpartition("-")[2]) if "-" in hostname else None, f"HOSTNAME {hostname!r}"
        else:
            index, what = _number(first), "INDEX"
        if index is None or index >= count:
            raise ValueError(f"needs {what} to {'end in -' if first == AUTO else 'be '}0 to {count - 1}")
        return cls(index, count)

    def has(self, name: str) -> bool:
        """Tell whether ``name`` is this replica's; of all replicas of a count exactly one has it."""
        return self.count == 1 or self.index == max(range(self.count), key=lambda index: (_lot(index, name), index))


@dataclass(frozen=True, slots=True)
class ShardByEnd(Shard):
    """A replica to which names belong by their last part, behind the last slash: those that end alike, together."""

    def has(self, name: str) -> bool:
        """Tell whether ``name`` is this replica's; of all replicas of a count exactly one has it."""
        return Shard.has(self, name.rpartition("/")[2])


def _number(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MOST))
    return int(text) if is_number else None


def _lot(index: int, name: str) -> bytes:
    """What a replica draws: the same on all machines and in all versions, or the work would be done twice."""
    return blake2b(f"{index}/{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
