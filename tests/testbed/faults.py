"""The vocabulary of RecordingProxy: what it has seen, and what it is told to do wrong."""

import asyncio
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import web
from multidict import CIMultiDictProxy

PATIENCE = 60.0
"""The longest, in seconds, that a test may wait for a request to arrive."""


@dataclass(slots=True)
class Seen:
    """A request that came by, with its headers; ``status`` is 0 as long as no answer has begun."""

    method: str
    path: str
    query: str
    headers: CIMultiDictProxy[str]
    status: int = 0
    bytes_up: int = 0
    bytes_down: int = 0

    @classmethod
    def of(cls, request: web.Request) -> "Seen":
        """Begin the record of a request."""
        return cls(request.method, request.path, request.query_string, request.headers)


class Gate:
    """Holds requests until it is opened, and tells when one has arrived; safe between threads."""

    def __init__(self) -> None:
        self._arrived = threading.Event()
        self._opened = threading.Event()

    def open(self) -> None:
        """Let all requests go on, those to come as well."""
        self._opened.set()

    async def arrival(self) -> None:
        """Wait until a request is held; RuntimeError when none comes."""
        if not await asyncio.to_thread(self._arrived.wait, PATIENCE):
            raise RuntimeError(f"no request arrived at the gate within {PATIENCE} s")

    def wait(self) -> None:
        """Do as ``arrival`` does, in a test that is not asynchronous."""
        if not self._arrived.wait(PATIENCE):
            raise RuntimeError(f"no request arrived at the gate within {PATIENCE} s")

    async def hold(self) -> None:
        """Hold a request; called by the proxy."""
        self._arrived.set()
        while not self._opened.is_set():
            await asyncio.sleep(0.005)


@dataclass(slots=True, kw_only=True)
class Fault:
    """What to do to the requests of ``method`` ("" is any) whose path and query contain a match of ``path``.

    ``skip`` lets the first ones pass; ``times`` bounds how many are hit (a negative number: all).
    """

    path: str
    method: str = ""
    skip: int = 0
    times: int = 1
    status: int = 0
    """Answer this, with ``headers`` and ``body``, instead of asking the registry."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Set these headers of the answer."""
    body: bytes = b""
    strip: tuple[str, ...] = ()
    """Leave these headers of the answer out."""
    cut_at: int = -1
    """Break the connection after this many bytes of the answer's body."""
    cut_upload_at: int = -1
    """Break the connection after this many bytes of the request's body."""
    stop_at: int = -1
    """Send no more after this many bytes of the answer's body, until ``gate`` opens."""
    drips: bool = False
    """Send the answer's body byte by byte, each a hundredth of a second after the other."""
    delay: float = 0.0
    """Hold each piece of both bodies back for so many seconds, and the head of the answer."""
    loses_answer: bool = False
    """Break the connection when the registry has answered."""
    hangs_up: bool = False
    """With ``cut_at``: break the connection in order (TCP FIN), so that what was sent before arrives."""
    flip_at: int = -1
    """Change the byte at this place of the answer's body."""
    gate: Gate | None = None
    """Go on only when this opens."""
    redirect: bool = False
    """Send the client to the content network, by a signed address."""
    expired: bool = False
    """With ``redirect``: by one that is no longer good."""
    packs: bool = False
    """Pack the answer's body with gzip, and say so."""
    claims: int = 0
    """Say that the answer's body has so many bytes more than it has, or less."""

    def take(self, request: web.Request) -> bool:
        """Tell whether this request is to be hit, and count it."""
        if self.times == 0 or self.method not in {request.method, ""} or not re.search(self.path, request.path_qs):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True

    def alter(self, chunk: bytes, position: int) -> bytes:
        """Return the part of an answer that begins at ``position`` as the client is to get it."""
        place = self.flip_at - position
        if self.flip_at >= 0 and 0 <= place < len(chunk):
            chunk = chunk[:place] + bytes([chunk[place] ^ 0xFF]) + chunk[place + 1 :]
        return chunk if self.cut_at < 0 else chunk[: max(self.cut_at - position, 0)]


NO_FAULT = Fault(path="")


class Paging(StrEnum):
    """How tags/list is cut into pages (OCI distribution spec, Listing Tags)."""

    RELATIVE = "relative"
    """The next page is given as a path."""
    ABSOLUTE = "absolute"
    """The next page is given as a URL of this registry."""
    FOREIGN = "foreign"
    """The next page is given on another origin, which must not get the login."""
    STUCK = "stuck"
    """The next page is this page again."""
    LIMITED = "limited"
    """As relative, but 400 where more than ``page_size`` are asked for."""
