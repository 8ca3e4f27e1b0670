"""A stand-in for snapshot.debian.org: under every day it has what Debian's own archive has now."""

from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from tests.testbed.serving import Served

_ARCHIVE = "http://deb.debian.org"
_LIMIT = aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=20)
"""A server that says nothing for that long is asked again by apt, which waits for longer than a test may take."""
_KEPT = ("Content-Length", "Content-Type", "Last-Modified")


class Snapshots(Served):
    """Serves ``/archive/SUITE/STAMP/PATH`` from Debian's archive; ``asked`` is which suites, and which stamps."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []
        self._client: aiohttp.ClientSession | None = None

    async def application(self) -> web.Application:
        """Pass everything on."""
        app = web.Application()
        app.router.add_get("/archive/{suite}/{stamp}/{path:.*}", self._fetch)
        app.cleanup_ctx.append(self._connected)
        return app

    async def _connected(self, app: web.Application) -> AsyncIterator[None]:
        del app
        async with aiohttp.ClientSession(auto_decompress=False, trust_env=True, timeout=_LIMIT) as self._client:
            yield

    async def _fetch(self, request: web.Request) -> web.StreamResponse:
        suite, stamp, path = (request.match_info[part] for part in ("suite", "stamp", "path"))
        self.asked.append((suite, stamp))
        assert self._client is not None
        async with self._client.get(f"{_ARCHIVE}/{suite}/{path}") as answer:
            kept = {name: answer.headers[name] for name in _KEPT if name in answer.headers}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_chunked(2**18):
                await response.write(chunk)
            return response
