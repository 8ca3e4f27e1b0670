"""Requests to one registry: finds its scheme, logs in, follows redirects, tries again, translates answers.

Credentials go to the registry's own host and its token server, and nowhere else.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urljoin, urlsplit

from dregsy.credentials import Logins
from dregsy.errors import DregsyError, RateLimited, RegistryError, Unauthorized, Unreachable
from dregsy.model.endpoint import Endpoint
from dregsy.registry.answers import failure
from dregsy.registry.authorizer import Authorizer
from dregsy.registry.limits import Lane, Limits
from dregsy.registry.retry import Backoff
from dregsy.registry.wire import Body, NoTLS, Response, Timeouts, UntrustedCertificate, Wire, show

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REDIRECT_LIMIT = 5


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a registry; ``target`` is a path below its root, or a URL it handed out.

    ``repository`` and ``scopes`` say which login and which rights it needs. ``accept`` are the
    statuses that are answers; any other is an error. ``lane`` is None where the caller holds a place.
    """

    method: str
    target: str
    repository: str = ""
    scopes: tuple[str, ...] = ()
    accept: frozenset[int] = frozenset({200})
    headers: Mapping[str, str] | None = None
    body: bytes | Body | None = None
    lane: Lane | None = Lane.CONTROL


class Transport:
    """Sends requests to the registry of one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        logins: Logins,
        environ: Mapping[str, str],
        *,
        timeouts: Timeouts | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._limits = Limits()
        self._wire = Wire(endpoint, environ, timeouts)
        self._authorizer = Authorizer(endpoint, logins, self._wire)
        self._backoff = backoff or Backoff()
        self._root = ""
        self._finding_root = asyncio.Lock()
        self._failed: tuple[float, DregsyError] | None = None

    async def close(self) -> None:
        """Close all connections."""
        await self._wire.close()

    def place(self, lane: Lane) -> asyncio.Semaphore:
        """Enter this with ``async with`` to take one of the registry's places for that kind of work."""
        return self._limits.place(lane)

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Response]:
        """Send ``request`` and give an answer whose status is one of ``request.accept``.

        Tries again after passing faults, unless the body is a stream, which can't be sent twice.
        Raises Unauthorized, NotFound, RateLimited, Unreachable or another RegistryError.
        """
        async with self.place(request.lane) if request.lane else nullcontext():
            response = await self._attempts(request)
            try:
                yield response
            finally:
                response.release()

    async def _attempts(self, request: Request) -> Response:
        """Send a request as often as its errors allow."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._accepted(request)
            except RegistryError as error:
                asked = error.retry_after if isinstance(error, RateLimited) else None
                once = isinstance(request.body, Body) or not error.retryable
                wait = None if once else self._backoff.wait(attempt, asked)
                if wait is None:
                    raise
            await asyncio.sleep(wait)

    async def _accepted(self, request: Request) -> Response:
        """One attempt, ending in an accepted answer or an error."""
        response = await self._authorized(request, urljoin(await self.root(), request.target))
        if response.status in request.accept:
            return response
        try:
            raise await failure(response)
        finally:
            response.release()

    async def _authorized(self, request: Request, url: str) -> Response:
        """Send a request with a login; once again with a new one where the registry calls it stale."""
        sent = await self._headers(request, url)
        response = await self._redirected(request, url, sent)
        if response.status != 401 or not self._is_own(response.url):
            return response
        try:
            renewed = await self._authorizer.renew(
                response, request.repository, request.scopes, sent.get("Authorization")
            )
        except DregsyError:
            response.release()
            raise
        if not renewed:
            return response
        response.release()
        if isinstance(request.body, Body):
            raise Unauthorized(
                f"{self.endpoint.host} wanted a new login in the middle of an upload",
                method=request.method,
                url=show(url),
                status=401,
                retryable=True,
            )
        return await self._redirected(request, url, await self._headers(request, url))

    async def _headers(self, request: Request, url: str) -> dict[str, str]:
        headers = dict(request.headers or {})
        if self._is_own(url):
            headers |= await self._authorizer.headers(request.repository, request.scopes)
        return headers

    async def _redirected(self, request: Request, url: str, headers: Mapping[str, str]) -> Response:
        """Follow redirects of reads, by hand: another host never sees the registry's credentials."""
        for _ in range(_REDIRECT_LIMIT):
            response = await self._wire.exchange(request.method, url, headers, request.body)
            location = response.headers.get("Location", "")
            if response.status not in _REDIRECTS or not location or request.method not in {"GET", "HEAD"}:
                return response
            response.release()
            target = urljoin(url, location)
            if not _is_safe_redirect(url, target):
                raise RegistryError(
                    f"{show(url)} redirects to an address that is not safe: {show(target)}",
                    method=request.method,
                    url=show(url),
                )
            if _origin(target) != _origin(url):
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = target
        raise RegistryError(f"{show(url)} redirects too often", method=request.method, url=show(url))

    def _is_own(self, url: str) -> bool:
        """Whether ``url`` belongs to the registry itself, so that its credentials may go there."""
        return _origin(url) == _origin(self._root)

    def location(self, response: Response) -> str:
        """The URL that an answer's Location names, as an upload goes on there; RegistryError without one.

        A registry behind a proxy that ends TLS may name itself with http: the scheme that works is kept.
        """
        named = response.headers.get("Location", "")
        target = urlsplit(urljoin(response.url, named))
        own = urlsplit(self._root)
        if target.netloc == own.netloc:
            target = target._replace(scheme=own.scheme)
        if not named or target.scheme not in {own.scheme, "https"} or not target.hostname:
            raise RegistryError(
                f"{show(response.url)} opens an upload without saying where",
                method=response.method,
                url=show(response.url),
            )
        return target.geturl()

    async def root(self) -> str:
        """The registry's root URL; asks it on first use which of https and http it speaks.

        http is tried only for loopback hosts and where the endpoint allows it (``verify`` off), and
        only where https finds no TLS at all: a certificate that is not trusted stays an error.
        """
        if not self._root:
            asked = asyncio.get_running_loop().time()
            async with self._finding_root:
                if self._failed is not None and self._failed[0] >= asked:
                    raise self._failed[1]  # found while this one waited: all that wait share the answer
                self._root = self._root or await self._try_root()
        return self._root

    async def _try_root(self) -> str:
        try:
            return await self._find_root()
        except DregsyError as error:
            self._failed = asyncio.get_running_loop().time(), error
            raise

    async def _find_root(self) -> str:
        host = self.endpoint.api_host
        secure, plain = f"https://{host}/", f"http://{host}/"
        plain_allowed = not self.endpoint.verify or is_loopback(host)
        try:
            await self._greet(secure)
        except Unreachable as error:
            if isinstance(error, NoTLS) and not plain_allowed:
                error.hint = "set skip-tls-verify for it if plain http is what you want"
            may_be_plain = isinstance(error, NoTLS) or urlsplit(secure).port is None
            if isinstance(error, UntrustedCertificate) or not (may_be_plain and plain_allowed):
                raise
            await self._greet(plain)
            return plain
        return secure

    async def _greet(self, root: str) -> None:
        """Ask for the API's version (OCI distribution spec, end-1) and note which login is wanted."""
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._wire.exchange("GET", f"{root}v2/", {})
            except Unreachable as error:
                wait = self._backoff.wait(attempt) if error.retryable else None
                if wait is None:
                    raise
                await asyncio.sleep(wait)
                continue
            self._authorizer.learn(response, root)
            response.release()
            return


def is_loopback(netloc: str) -> bool:
    """Whether a host (with or without port) is this machine, by its name or address alone."""
    host = urlsplit(f"//{netloc}").hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL (RFC 6454)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _is_safe_redirect(source: str, target: str) -> bool:
    """A redirect may not leave the web, nor go from https to http."""
    return urlsplit(target).scheme == "https" or (
        urlsplit(target).scheme == "http" and urlsplit(source).scheme == "http"
    )
