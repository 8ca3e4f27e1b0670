"""The page while it is looked at: its parts, sent anew over one connection whenever they changed.

Nothing is queued for readers: each gets how things are now, when it is ready for it, and one that is not
ready for long is let go. However many read, the parts are made once a moment.
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from aiohttp import web

READERS = 16
"""How many may read at once."""
PACE = 1.0
"""How long nothing is sent after something was, in seconds."""
PATIENCE = 5.0
"""How long a reader may take to take what it is sent, in seconds."""
GONE = 30.0
"""After how many seconds one that no longer answers, such as a laptop that was closed, counts as gone."""
STAY = 3600.0
"""How long a reader may stay, in seconds; browsers come back by themselves."""
_BEAT = 15
"""After how many moments in which nothing changed something is sent nevertheless, so that proxies stay patient."""

Parts = Mapping[str, str]
KEEP: web.AppKey[Callable[[web.Request, float], None]] = web.AppKey("keep")
"""What lets the connection of a request last longer than others, in seconds from now."""


class Events:
    """Sends parts, by their names, to whoever reads."""

    def __init__(
        self, parts: Callable[[], Awaitable[Parts]], *, pace: float = PACE, patience: float = PATIENCE
    ) -> None:
        self._make = parts
        self._pace = pace
        self._patience = patience
        self._turn = asyncio.Lock()
        self._parts: Parts = {}
        self._until = 0.0
        self._closing = asyncio.Event()
        self.readers = 0

    async def close(self) -> None:
        """Let all readers go."""
        self._closing.set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a reader until it goes, does not listen, or has stayed for long enough."""
        if self.readers >= READERS:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "30"})
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers={**headers, "X-Content-Type-Options": "nosniff"})
        response.force_close()
        request.app[KEEP](request, STAY)
        _drop_when_gone(request)
        self.readers += 1
        try:
            await self._tell(request, response)
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self.readers -= 1
        return response

    async def _tell(self, request: web.Request, response: web.StreamResponse) -> None:
        await response.prepare(request)
        sent: dict[str, str] = {}
        quiet = 0
        while not self._closing.is_set() and request.transport is not None:
            now = await self._now()
            news = [[name, part] for name, part in now.items() if sent.get(name) != part]
            quiet = 0 if news else quiet + 1
            if news or quiet % _BEAT == 0:
                text = "".join(f"event: part\ndata: {json.dumps(one)}\n\n" for one in news) or ":\n\n"
                async with asyncio.timeout(self._patience):
                    await response.write(text.encode())
            sent.update(now)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace):
                    await self._closing.wait()

    async def _now(self) -> Parts:
        """Return the parts as they are now, or were a moment ago."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            if loop.time() >= self._until:
                self._parts = await self._make()
                self._until = loop.time() + self._pace / 2
            return self._parts


def _drop_when_gone(request: web.Request) -> None:
    """Have the kernel end the connection where what is sent is not acknowledged for long, if it can."""
    if request.transport is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        connection: socket.socket = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(GONE * 1000))
