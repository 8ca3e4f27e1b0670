"""The HTTP server: one address, and pages that whoever reaches it may read.

Nobody who connects can hold it up: a connection serves one request and has an end, and there are only so many.
"""

import asyncio
import os
from ipaddress import ip_address
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from dregsy.errors import UsageError
from dregsy.model.listen import Listen
from dregsy.web.events import KEEP
from dregsy.web.faults import LOGGER
from dregsy.web.health import Health
from dregsy.web.origin import is_meant
from dregsy.web.site import Site

CONNECTIONS = 64
"""How many connections there may be at once; the oldest has to go for the next."""
LIFE = 30.0
"""For how many seconds a connection may last, whatever happens on it."""
LARGEST = 2**14
"""The most bytes of a request."""
_NOT_MEANT = (
    "only this machine is served here, and that is not one of its names:"
    " ask for localhost or an address; a proxy has to send 'Host: localhost'\n"
)
_LAST = 1.0
"""How long, in seconds, answers that are under way may take when the server ends."""
_TURNS = 4
"""Of the event loop, after which it has let go of connections that were cut."""


class Server:
    """Serves metrics, health and a site at an address while its ``async with`` lasts; ``url`` is where.

    Entering it raises UsageError when that address cannot be had.
    """

    def __init__(
        self,
        address: Listen,
        registry: CollectorRegistry,
        health: Health,
        site: Site | None = None,
        *,
        life: float = LIFE,
    ) -> None:
        self.url = ""
        self._is_private = True
        self._address = address
        self._registry = registry
        self._health = health
        self._visitors = Visitors(life)
        app = web.Application(middlewares=[_once, self._meant], client_max_size=LARGEST)
        app[KEEP] = self._visitors.keep
        app.add_routes(
            [web.get("/metrics", self._metrics), web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)]
        )
        if site is not None:
            site.add_to(app)
        self._runner = web.AppRunner(
            app, access_log=None, logger=LOGGER, handler_cancellation=True, shutdown_timeout=_LAST
        )

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        assert self._runner.server is not None
        self._visitors.watch(self._runner.server)
        try:
            await web.TCPSite(self._runner, self._address.host, self._address.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise _not_had(self._address, error) from None
        self.url = f"http://{Listen(self._address.host, self._runner.addresses[0][1])}/"
        self._is_private = all(ip_address(one[0].partition("%")[0]).is_loopback for one in self._runner.addresses)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        self._visitors.dismiss()
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    @web.middleware
    async def _meant(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Tell nothing to a site whose name leads here, where only this machine is to be told anything."""
        if self._is_private and not is_meant(request.headers.get("Host", ""), self._address.host):
            return web.Response(status=421, text=_NOT_MEANT)
        return await handler(request)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _healthz(self, request: web.Request) -> web.Response:
        return _state(request, self._health.trouble)

    async def _readyz(self, request: web.Request) -> web.Response:
        return _state(request, self._health.lack)


class Visitors:
    """The connections that are open; each has an end."""

    def __init__(self, life: float) -> None:
        self._life = life
        self._open: dict[web.RequestHandler, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}

    def watch(self, server: web.Server) -> None:
        """Hear of all connections that a server takes from now on."""
        made, lost = server.connection_made, server.connection_lost

        def came(handler: web.RequestHandler, transport: asyncio.Transport) -> None:
            made(handler, transport)
            self._open[handler] = transport, asyncio.get_running_loop().call_later(self._life, transport.abort)
            if len(self._open) > CONNECTIONS:
                self._cut(next(iter(self._open)))

        def left(handler: web.RequestHandler, exc: BaseException | None = None) -> None:
            lost(handler, exc)
            if handler in self._open:
                self._open.pop(handler)[1].cancel()

        server.connection_made = came  # type: ignore[method-assign]  # the library has no hooks for these
        server.connection_lost = left  # type: ignore[method-assign]

    def keep(self, request: web.Request, seconds: float) -> None:
        """Let the connection of a request last so much longer."""
        if request.protocol in self._open:
            transport, end = self._open[request.protocol]
            end.cancel()
            self._open[request.protocol] = transport, asyncio.get_running_loop().call_later(seconds, transport.abort)

    def dismiss(self) -> None:
        """Cut all that are left."""
        for handler in list(self._open):
            self._cut(handler)

    def _cut(self, handler: web.RequestHandler) -> None:
        transport, end = self._open.pop(handler)
        end.cancel()
        transport.abort()


@web.middleware
async def _once(request: web.Request, handler: Handler) -> web.StreamResponse:
    """End the connection after its first answer, which nobody is to keep."""
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        response = web.Response(status=refusal.status, text=f"{refusal.reason}\n", headers=refusal.headers)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.force_close()
    return response


def _state(request: web.Request, trouble: str) -> web.Response:
    """Say in a line, or in JSON to who asks for that, that all is well, or what is not."""
    status = 503 if trouble else 200
    if "application/json" in request.headers.get("Accept", ""):
        return web.json_response({"ok": not trouble, "trouble": trouble or None}, status=status)
    return web.Response(text=f"{trouble or 'ok'}\n", status=status)


def _not_had(address: Listen, error: OSError) -> UsageError:
    # The library's text repeats the address as Python writes it.
    why = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else "the name does not resolve"
    return UsageError(
        f"cannot listen on {address}: {why}",
        hint="give another address or port with 'listen' or --listen; is another dregsy running?",
    )
