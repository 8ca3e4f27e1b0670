"""A stand-in for snapshot.debian.org: under every day it has what Debian's own archive has now."""

from aiohttp import web

from tests.testbed.serving import Served

_ARCHIVE = "http://deb.debian.org"


class Snapshots(Served):
    """Leads ``/archive/SUITE/STAMP/PATH`` to Debian's archive; ``asked`` is which suites, and which stamps."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []

    async def application(self) -> web.Application:
        """Answer everything with a redirect, which apt follows."""
        app = web.Application()
        app.router.add_get("/archive/{suite}/{stamp}/{path:.*}", self._lead)
        return app

    async def _lead(self, request: web.Request) -> web.Response:
        suite, stamp, path = (request.match_info[part] for part in ("suite", "stamp", "path"))
        self.asked.append((suite, stamp))
        return web.Response(status=302, headers={"Location": f"{_ARCHIVE}/{suite}/{path}"})
