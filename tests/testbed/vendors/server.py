"""A registry in the dress of its maker: the embedded registry's images, the maker's tokens, and the maker's own API."""

import base64
import socket
import ssl
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, ClassVar, Self

from aiohttp import web
from aiohttp.typedefs import Handler

from dregsy.embedded import images
from dregsy.embedded.api import EXCHANGE, Api
from dregsy.embedded.requestlog import RequestLog
from dregsy.embedded.server import Transports, end, record
from dregsy.embedded.store import Store
from dregsy.errors import RegistryError
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Anonymous, Endpoint
from dregsy.registry.vendors.api import Names, Tags
from tests.testbed.clients import given

IMAGE = images.image("vendor")
OTHER = images.image("another")
SINCE = datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)


class VendorServer(ABC):
    """Runs in the test's own loop while its ``async with`` lasts.

    ``users`` with their passwords make everything private. ``claims`` holds, by repository, what the
    maker's API says of tags though it is not so; None leaves a tag out. ``pushed`` is since when tags point at
    what they do, in all repositories. ``tls`` makes it speak https.
    """

    realm: ClassVar[str]
    service: ClassVar[str]
    scheme: ClassVar[str] = "Bearer"

    def __init__(self, *, users: Mapping[str, str] | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.store = Store()
        self.log = RequestLog()
        self.host = ""
        self.users = dict(users or {})
        self.claims: dict[str, dict[str, str | None]] = {}
        self.pushed: dict[str, datetime] = {}
        self._tokens: dict[str, set[str]] = {}
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self._listening: socket.socket
        self._transports: Transports

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """Return the maker's own API."""

    def endpoint(self, prefix: str = "", *, login: tuple[str, str] | None = None) -> Endpoint:
        """Return the registry as a task sees it."""
        return Endpoint(self.host, prefix, given(*login) if login else Anonymous())

    def put(self, repository: str, tags: Iterable[str] = ("v1",)) -> None:
        """Give a repository an image under many tags."""
        opened = self.store.open(repository)
        for image in (IMAGE, OTHER):
            opened.blobs.update(image.blobs)
            for manifest in image.manifests:
                opened.put_manifest(str(manifest.digest), manifest.raw, manifest.media_type)
        opened.tags.update(dict.fromkeys(tags, IMAGE.digest))

    def digests(self, repository: str) -> dict[str, str]:
        """Return what the maker's API says of a repository's tags, in order; 404 where there is no such repository."""
        if repository not in self.store.names():
            raise web.HTTPNotFound
        true = {tag: str(digest) for tag, digest in sorted(self.store.find(repository).tags.items())}
        said = {**true, **self.claims.get(repository, {})}
        return {tag: digest for tag, digest in said.items() if digest is not None}

    def since(self, tag: str) -> str:
        """Return when a tag was pushed, as most makers write it."""
        return self.pushed.get(tag, SINCE).isoformat().replace("+00:00", "Z")

    def seconds(self, tags: Iterable[str]) -> int:
        """Return when the first of an image's tags was pushed, in seconds since 1970."""
        return int(min(self.pushed.get(tag, SINCE) for tag in tags).timestamp())

    def user(self, request: web.Request) -> str:
        """Return who logs in by Basic; 401 for a wrong password, and for nobody where everything is private."""
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic" and not self.users:
            return ""
        name, _, password = base64.b64decode(encoded if scheme == "Basic" else b"").decode().partition(":")
        if self.users.get(name) != password:
            raise web.HTTPUnauthorized
        return name

    def may(self, request: web.Request, scope: str) -> bool:
        """Tell whether a request carries a token for a scope."""
        return scope in self._tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "), set())

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._guarded])
        if self.scheme == "Bearer":
            app.router.add_get(self.realm, self._token)
        app.add_routes([*self.routes(), *Api(self.store).routes()])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        self._listening, self._transports = socket.create_server(("127.0.0.1", 0)), record(self._runner)
        await web.SockSite(self._runner, self._listening, ssl_context=self._tls).start()
        self.host = "{}:{}".format(*self._runner.addresses[0][:2])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await end(self._runner, self._listening, self._transports)

    async def _token(self, request: web.Request) -> web.Response:
        """Grant all that is asked for, to whoever may have it (Docker token authentication)."""
        self.user(request)
        token = uuid.uuid4().hex
        self._tokens[token] = set(request.query.getall("scope", []))
        return web.json_response({"token": token, "expires_in": 300})

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        request[EXCHANGE] = self.log.begin(request.method, request.raw_path.partition("?")[0], request.query_string)
        route: Any = request.match_info.handler
        if isinstance(getattr(route, "__self__", None), Api) and not self._passes(request):
            return self.challenged()
        try:
            return await handler(request)
        except RegistryError as error:
            return web.json_response({"errors": []}, status=error.status)

    def _passes(self, request: web.Request) -> bool:
        name = request.match_info.get("name")
        if self.scheme == "Basic":
            return not self.users or "Authorization" in request.headers
        if name is None:
            return request.path != "/v2/" and self.may(request, "registry:catalog:*")
        return self.may(request, f"repository:{name}:pull") or self.may(request, f"repository:{name}:pull,push")

    def challenged(self) -> web.Response:
        """Ask for a login."""
        way = "https" if self._tls else "http"
        text = f'{self.scheme} realm="{way}://{self.host}{self.realm}",service="{self.service}"'
        return web.json_response({"errors": []}, status=401, headers={"WWW-Authenticate": text})


def numbered(count: int) -> list[str]:
    """Make many tags, in order."""
    return [f"t{number:04}" for number in range(count)]


def expected(count: int, digest: Digest = IMAGE.digest) -> dict[str, str]:
    """Return what many tags of the usual image point at."""
    return dict.fromkeys(numbered(count), str(digest))


def sliced(request: web.Request, items: list[Any], size: str, default: int, most: int) -> tuple[list[Any], bool]:
    """Cut the page out of a list that a request asks for by number; tell whether there are more."""
    number, length = int(request.query.get("page", "1")), min(int(request.query.get(size, default)), most)
    return items[(number - 1) * length : number * length], len(items) > number * length


async def tags_of(pages: Tags) -> dict[str, str]:
    """Read all pages of tags."""
    return {tag: listed.digest async for page in pages for tag, listed in page.items()}


async def dates_of(pages: Tags) -> dict[str, datetime | None]:
    """Read since when all tags point at what they do."""
    return {tag: listed.since async for page in pages for tag, listed in page.items()}


async def names_of(pages: Names) -> list[str]:
    """Read all pages of names."""
    return [name async for page in pages for name in page]
