"""Stands in front of a real registry: writes down every request, and breaks the answers it is told to break."""

import asyncio
import json
import re
import socket
import uuid
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlencode
from weakref import WeakSet

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from tests.testbed.faults import NO_FAULT, Fault, Gate, Paging, Seen
from tests.testbed.forwarding import Severed, forward, reset, without
from tests.testbed.serving import Served

SECONDS = 60
"""The longest that a request to the real registry may take."""

_TURNS = 4

__all__ = ["Cdn", "Fault", "Gate", "Paging", "RecordingProxy", "Seen"]


class Forwarding(Served):
    """What the proxy and its content network have in common: a client for the registry, and a list of requests."""

    def __init__(self, upstream: str) -> None:
        super().__init__()
        self.seen: list[Seen] = []
        self.upstream = f"http://{upstream}"
        self._client: aiohttp.ClientSession | None = None

    @property
    def client(self) -> aiohttp.ClientSession:
        """The client with which to ask the registry; only while serving."""
        assert self._client is not None
        return self._client

    def count(self, method: str, expression: str) -> int:
        """Count the requests of a method whose path and query contain a match of ``expression``."""
        asked = [f"{one.path}?{one.query}" for one in list(self.seen) if one.method == method]
        return sum(re.search(expression, one) is not None for one in asked)

    async def application(self) -> web.Application:
        """Serve every path."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve_request)
        app.cleanup_ctx.append(self._connected)
        return app

    @abstractmethod
    async def answer(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        """Answer a request."""

    async def _connected(self, app: web.Application) -> AsyncIterator[None]:
        del app
        limit = aiohttp.ClientTimeout(total=SECONDS)
        sockets: WeakSet[socket.socket] = WeakSet()

        def made(address: aiohttp.AddrInfoType) -> socket.socket:
            one = socket.socket(*address[:3])
            one.setblocking(False)
            sockets.add(one)
            return one

        connector = aiohttp.TCPConnector(socket_factory=made)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=limit) as self._client:
            yield
        for one in sockets:
            with suppress(OSError):  # it is closed already
                one.shutdown(socket.SHUT_RDWR)
        for _ in range(_TURNS):  # of the loop, in which it lets go of them
            await asyncio.sleep(0)

    async def _serve_request(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, or break the connection where the answer or the registry breaks."""
        seen = Seen.of(request)
        self.seen.append(seen)
        try:
            response = await self.answer(request, seen)
        except (Severed, aiohttp.ClientError, ConnectionError):
            reset(request)
            return web.Response()
        seen.status = response.status
        return response


class Cdn(Forwarding):
    """A content network: hands out what a signed address stands for, to clients that do not send a login along."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self._signed: dict[str, tuple[str, str]] = {}
        self.once: Fault | None = None
        """With this, an address is good for one request, and this is what becomes of its answer."""

    def sign(self, request: web.Request) -> str:
        """Return an address that stands for what ``request`` asks the registry for."""
        key = uuid.uuid4().hex
        self._signed[key] = (request.path_qs, request.headers.get("Authorization", ""))
        return f"http://localhost:{self.host.rpartition(':')[2]}/content?X-Amz-Signature={key}"

    def expire(self) -> None:
        """Let all addresses so far be worthless."""
        self._signed.clear()

    async def answer(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        """Send the content, or refuse like S3: 400 to a login, 403 to an address that is not or no longer good."""
        if "Authorization" in request.headers:
            return web.Response(status=400, text="Only one auth mechanism allowed")
        key = request.query.get("X-Amz-Signature", "")
        if key not in self._signed:
            return web.Response(status=403, text="Request has expired")
        path, login = self._signed[key]
        if self.once is not None:
            del self._signed[key]
        headers = without(request.headers.copy(), "Host")
        if login:
            headers["Authorization"] = login
        return await forward(self.client, self.upstream + path, headers, request, self.once or NO_FAULT, seen)


class RecordingProxy(Forwarding):
    """A reverse proxy for the registry at ``upstream`` (host:port, plain HTTP); ``faults`` may change at any time.

    ``seen`` are the requests in order, ``cdn.seen`` those to the content network. The registry gets the
    Host header of the client, so the addresses it makes lead here. ``revoked`` tells of a Bearer token
    whether to hide it from the registry, which then asks for another.
    """

    def __init__(
        self,
        upstream: str,
        *faults: Fault,
        paging: Paging | None = None,
        page_size: int = 100,
        revoked: Callable[[str], bool] = lambda _token: False,
    ) -> None:
        super().__init__(upstream)
        self.faults = list(faults)
        self.cdn = Cdn(upstream)
        self._paging = paging
        self._page_size = page_size
        self._revoked = revoked
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.cdn)
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            super().__exit__(kind, error, trace)

    async def answer(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        """Do what the first fault that fits says, and else what the registry does."""
        fault = next((one for one in self.faults if one.take(request)), NO_FAULT)
        if fault.gate is not None and fault.stop_at < 0:
            await fault.gate.hold()
        if fault.status:
            return web.Response(status=fault.status, headers=fault.headers, body=fault.body)
        if fault.redirect:
            location = self.cdn.sign(request)
            if fault.expired:
                self.cdn.expire()
            return web.Response(status=307, headers={"Location": location})
        headers = without(request.headers.copy())
        if self._revoked(headers.get("Authorization", "").partition(" ")[2]):
            del headers["Authorization"]
        if self._paging and request.path.endswith("/tags/list"):
            return await self._page(request, headers, self._paging)
        return await forward(self.client, self.upstream + request.path_qs, headers, request, fault, seen)

    async def _page(self, request: web.Request, headers: CIMultiDict[str], paging: Paging) -> web.Response:
        """Cut one page out of the whole list, which docker-registry always sends."""
        async with self.client.get(self.upstream + request.path, headers=headers) as answer:
            body = await answer.read()
            if answer.status != 200:
                return web.Response(status=answer.status, headers=without(answer.headers.copy()), body=body)
        size = int(request.query.get("n", self._page_size))
        if paging is Paging.LIMITED and size > self._page_size:
            errors = {"errors": [{"code": "PAGINATION_NUMBER_INVALID", "message": "n is too large"}]}
            return web.json_response(errors, status=400)
        document = json.loads(body)
        rest = [tag for tag in sorted(document["tags"]) if tag > request.query.get("last", "")]
        page = rest[: min(size, self._page_size)]
        link = {"Link": f'<{self._next(request, page[-1], paging)}>; rel="next"'} if len(page) < len(rest) else {}
        return web.json_response({**document, "tags": page}, headers=link)

    def _next(self, request: web.Request, last: str, paging: Paging) -> str:
        if paging is Paging.STUCK:
            return request.path_qs
        path = f"{request.path}?{urlencode({**request.query, 'last': last})}"
        origins = {Paging.ABSOLUTE: f"http://{self.host}", Paging.FOREIGN: f"http://{self.cdn.host}"}
        return origins.get(paging, "") + path
