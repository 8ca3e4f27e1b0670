"""Runs the embedded registry on a free port of 127.0.0.1: logins, error bodies, and a log of all requests."""

import asyncio
import base64
import binascii
import hmac
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Handler

from dregsy.embedded.api import EXCHANGE, Api
from dregsy.embedded.requestlog import Request, RequestLog
from dregsy.embedded.store import Store
from dregsy.errors import RegistryError

CLIENT_GONE = 499
"""The status in the log of a request whose client hung up; nobody gets to see it."""

Transports = dict[web.RequestHandler, asyncio.Transport]
_TURNS = 10

SHUTDOWN_SECONDS = 0.5
"""How long requests that are going on may take when the registry stops."""


class EmbeddedRegistry:
    """A registry inside this process while its ``async with`` lasts; speaks plain HTTP on 127.0.0.1.

    ``users`` maps names to passwords; without it everybody may do everything. ``host`` is the
    address as it is written in references, such as ``127.0.0.1:40001``.
    """

    def __init__(self, *, users: Mapping[str, str] | None = None, store: Store | None = None) -> None:
        self.store = store or Store()
        self.host = ""
        self.log = RequestLog()
        self._logins = [f"{name}:{password}".encode() for name, password in (users or {}).items()]
        self._runner: web.AppRunner | None = None
        self._transports: Transports = {}
        self._listening: socket.socket | None = None

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order in which they arrived."""
        return list(self.log)

    def count(self, method: str, expression: str) -> int:
        """Count the requests of a method whose path and query contain a match of ``expression`` (RE2)."""
        return self.log.count(method, expression)

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._logged, self._refusing])
        app.add_routes(Api(self.store).routes())
        app.on_response_prepare.append(_note)
        self._runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=SHUTDOWN_SECONDS)
        await self._runner.setup()
        self._transports = record(self._runner)
        self._listening = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(self._runner, self._listening).start()
        address, port = self._runner.addresses[0][:2]
        self.host = f"{address}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None and self._listening is not None:
            await end(self._runner, self._listening, self._transports)

    @web.middleware
    async def _logged(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        request[EXCHANGE] = self.log.begin(request.method, request.path, request.query_string)
        return await handler(request)

    @web.middleware
    async def _refusing(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer refusals with the error body of the API (OCI distribution spec, Error Codes)."""
        try:
            self._authorize(request)
            return await handler(request)
        except RegistryError as error:
            headers = {"WWW-Authenticate": 'Basic realm="dregsy"'} if error.status == 401 else {}
            body = {"errors": [{"code": code, "message": error.message} for code in error.codes]}
            return web.json_response(body, status=error.status, headers=headers)
        except ConnectionError:
            return web.Response(status=CLIENT_GONE)

    def _authorize(self, request: web.Request) -> None:
        """Let a request pass when there are no users, or it carries the login of one (RFC 7617)."""
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True) if scheme.lower() == "basic" else b""
        except binascii.Error:
            given = b""
        if self._logins and not any(hmac.compare_digest(given, login) for login in self._logins):
            raise RegistryError("authentication required", status=401, codes=["UNAUTHORIZED"])


def record(runner: web.AppRunner) -> Transports:
    """Return what holds all connections of a server from now on, each until it is lost."""
    transports: Transports = {}
    server = runner.server
    assert server is not None
    made, lost = server.connection_made, server.connection_lost

    def noting(handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        transports[handler] = transport
        made(handler, transport)

    def forgetting(handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        transports.pop(handler, None)  # a transport that is lost can't be aborted any more (asyncio)
        lost(handler, exc)

    server.connection_made = noting  # type: ignore[method-assign]  # the library has no hook for this
    server.connection_lost = forgetting  # type: ignore[method-assign]  # as above
    return transports


async def end(runner: web.AppRunner, listening: socket.socket, transports: Transports) -> None:
    """End a server and all its connections for good.

    A server that is closed loses connections that it took a moment before and never closes them (asyncio), and
    closing alone waits for clients to take what they were sent, which some do not.
    """
    if listening.fileno() >= 0:  # else it has ended before
        asyncio.get_running_loop().remove_reader(listening)
    for _ in range(_TURNS):  # what was taken becomes known in the loop's next turns, not at once
        await asyncio.sleep(0)
    await runner.cleanup()
    for _ in range(_TURNS):
        while transports:
            transports.popitem()[1].abort()
        await asyncio.sleep(0)


async def _note(request: web.Request, response: web.StreamResponse) -> None:
    """Complete the log before the first byte of an answer leaves, so that who has the answer sees it there."""
    response.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
    exchange = request[EXCHANGE]
    exchange.status = response.status
    exchange.bytes_in = request.content.total_bytes
    if isinstance(response, web.Response) and request.method != "HEAD" and isinstance(response.body, bytes):
        exchange.bytes_out = len(response.body)
