"""How much may happen at once towards one registry, so that small requests never wait behind big blobs.

What is right depends on the registry and the way to it, so it is found out: places are added while all goes
well and all are in use, and taken away when the registry asks to slow down.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum


class Lane(StrEnum):
    """The kinds of work that have budgets of their own.

    A transfer takes its UPLOAD place before its READ place, and never another after that: no two
    transfers can wait for each other, even between repositories of one registry.
    """

    CONTROL = "control"
    READ = "read"
    UPLOAD = "upload"
    MANIFEST = "manifest"
    """Writing manifests."""


@dataclass(frozen=True, slots=True)
class Places:
    """With how many places a lane begins, and the most that it may grow to."""

    first: int
    most: int


PLACES = {
    Lane.CONTROL: Places(16, 64),
    Lane.READ: Places(8, 32),
    Lane.UPLOAD: Places(8, 32),
    Lane.MANIFEST: Places(8, 32),
}


class Gate:
    """The places of one lane; who comes first is served first."""

    def __init__(self, places: Places) -> None:
        self._most = places.most
        self._size = float(places.first)
        self._growing = True
        self._generation = 0
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def size(self) -> int:
        """How many places there are just now."""
        return int(self._size)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Have a place inside."""
        await self._enter()
        try:
            yield
        finally:
            self._leave()

    @property
    def generation(self) -> int:
        """Changes with each ``slow_down``; note it when a request is sent."""
        return self._generation

    def went_well(self) -> None:
        """Take note of an answer: there may be more at once, where all places are in use.

        Doubles quickly until the registry first complains, and adds one place a round after that, as TCP
        does (RFC 5681 §3.1).
        """
        if self._busy >= self.size:
            step = 1.0 if self._growing else 1.0 / self._size
            self._size = min(float(self._most), self._size + step)
            self._admit()

    def slow_down(self, generation: int) -> None:
        """Halve the places, because the registry asked for that.

        Only the first of those complaints counts which are about requests of the same ``generation``.
        """
        if generation == self._generation:
            self._generation += 1
            self._growing = False
            self._size = max(1.0, self._size / 2)

    async def _enter(self) -> None:
        if self._busy < self.size and not self._waiting:
            self._busy += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the place was given just before
                self._leave()
            raise

    def _leave(self) -> None:
        self._busy -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._busy < self.size:
            turn = self._waiting.popleft()
            if not turn.done():
                self._busy += 1
                turn.set_result(None)


class Limits:
    """The budgets of one registry host."""

    def __init__(self) -> None:
        self._lanes = {lane: Gate(places) for lane, places in PLACES.items()}

    def gate(self, lane: Lane) -> Gate:
        """Return the places for one kind of work."""
        return self._lanes[lane]
