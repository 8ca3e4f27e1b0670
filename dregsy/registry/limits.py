"""How much may happen at once towards one registry, so that small requests never wait behind big blobs."""

import asyncio
from enum import StrEnum


class Lane(StrEnum):
    """The kinds of work that have budgets of their own.

    A transfer takes its UPLOAD place before its READ place, and never another after that: no two
    transfers can wait for each other, even between repositories of one registry.
    """

    CONTROL = "control"
    READ = "read"
    UPLOAD = "upload"


PLACES = {Lane.CONTROL: 16, Lane.READ: 8, Lane.UPLOAD: 8}


class Limits:
    """The budgets of one registry host."""

    def __init__(self) -> None:
        self._lanes = {lane: asyncio.Semaphore(places) for lane, places in PLACES.items()}

    def place(self, lane: Lane) -> asyncio.Semaphore:
        """Enter this with ``async with`` to do one piece of work of that kind."""
        return self._lanes[lane]
