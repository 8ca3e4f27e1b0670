"""Requests to one registry: finds its scheme, logs in, follows redirects, tries again, translates answers.

Credentials go to the registry's own host and its token server, and nowhere else.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

from dregsy.credentials import Logins
from dregsy.errors import DregsyError, RegistryError, Unauthorized, Unreachable
from dregsy.model.endpoint import Endpoint, Login
from dregsy.model.report import Listener, RequestRetried
from dregsy.model.timeouts import Timeouts
from dregsy.registry.addresses import is_loopback, is_safe, origin
from dregsy.registry.allowance import Allowance, allowance
from dregsy.registry.answers import failure, is_expired
from dregsy.registry.authorizer import Authorizer
from dregsy.registry.breaker import Breakers
from dregsy.registry.challenge import Challenge
from dregsy.registry.guarded import GuardedWire
from dregsy.registry.limits import Lane, Limits
from dregsy.registry.retry import RETRYABLE_STATUS, Backoff
from dregsy.registry.wire import JSON_LIMIT, Body, NotHTTP, NoTLS, Refused, Response, show

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REDIRECT_LIMIT = 5
_API = "v2/"
"""What paths of the distribution API begin with."""
_LOGINS = frozenset({"Authorization", "PRIVATE-TOKEN", "JOB-TOKEN"})
"""Headers with secrets; the latter two are GitLab's."""
_SLOWER = frozenset({429, 503})
"""What a registry answers that has too much to do (RFC 6585 §4, RFC 9110 §15.6.4)."""
_LOG = logging.getLogger(__name__)

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a registry; ``target`` is a path below its root, or a URL it handed out.

    ``repository`` and ``scopes`` say which login and which rights it needs. ``accept`` are the
    statuses that are answers; any other is an error. ``lane`` is the kind of work; the caller ``holds`` a
    place for it, or one is taken while the request is under way.
    ``logs_in`` is off for what is no part of the distribution API: its login is in ``headers``.
    """

    method: str
    target: str
    repository: str = ""
    scopes: tuple[str, ...] = ()
    accept: frozenset[int] = frozenset({200})
    headers: Mapping[str, str] | None = None
    body: bytes | Body | None = None
    lane: Lane = Lane.CONTROL
    holds: bool = False
    logs_in: bool = True


class _Silent(Unreachable):
    """A registry did not answer its greeting, which takes long enough to be tried once only."""


class Transport:
    """Sends requests to the registry of one endpoint."""

    def __init__(  # noqa: PLR0913 - what it shares with the other clients of a run
        self,
        endpoint: Endpoint,
        logins: Logins,
        environ: Mapping[str, str],
        *,
        timeouts: Timeouts | None = None,
        backoff: Backoff | None = None,
        breakers: Breakers | None = None,
        emit: Listener = lambda _: None,
    ) -> None:
        self.endpoint = endpoint
        self._limits = Limits()
        self.timeouts = timeouts or Timeouts()
        self._emit = emit
        self._breakers = breakers or Breakers(self.timeouts.down)
        self._wire = GuardedWire(endpoint, environ, self.timeouts, emit, breakers=self._breakers)
        self._authorizer = Authorizer(endpoint, logins, self._wire)
        self.backoff = backoff or Backoff()
        self._root = ""
        self._finding_root = asyncio.Lock()
        self.allowance: Allowance | None = None
        """How many pulls are left, as the registry last told."""
        self._failed: tuple[float, DregsyError] | None = None

    async def close(self) -> None:
        """Close all connections."""
        await self._wire.close()

    async def challenge(self) -> Challenge | None:
        """Return how the registry asks for logins, which also tells who made it; None where it asks for none."""
        await self.root()
        return self._authorizer.challenge

    async def login(self, repository: str) -> Login:
        """Return the login for a repository, for what does not take the registry's own kind of authorization."""
        return await self._authorizer.login(repository)

    def redacted(self, text: str) -> str:
        """Take out of a registry's words, an address that it gave perhaps, what was sent to it as a login."""
        return self._authorizer.redacted(text)

    def place(self, lane: Lane) -> AbstractAsyncContextManager[None]:
        """Enter this with ``async with`` to take one of the registry's places for that kind of work."""
        return self._limits.gate(lane).place()

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Response]:
        """Send ``request`` and give an answer whose status is one of ``request.accept``.

        Tries again after passing faults, unless the body is a stream, which can't be sent twice.
        Raises Unauthorized, NotFound, RateLimited, Unreachable or another RegistryError.
        """
        url = await self._url(request)
        async with nullcontext() if request.holds else self.place(request.lane):
            response = await self._attempts(request, partial(self._accepted, request, url))
            try:
                yield response
            finally:
                await response.release()

    async def fetch(self, request: Request, limit: int = JSON_LIMIT) -> tuple[Response, bytes]:
        """Send ``request`` like ``send`` and read the answer's body, of at most ``limit`` bytes.

        An answer that breaks off is one of the faults after which it is tried again.
        """
        url = await self._url(request)

        async def whole() -> tuple[Response, bytes]:
            response = await self._accepted(request, url)
            try:
                return response, await response.read(limit)
            finally:
                await response.release()

        async with nullcontext() if request.holds else self.place(request.lane):
            return await self._attempts(request, whole)

    async def _url(self, request: Request) -> str:
        """The whole URL of a request. Finding the root has attempts of its own, which a request does not multiply."""
        root, target = await self.root(), request.target
        return root + target if target.startswith(_API) else urljoin(root, target)

    async def _attempts(self, request: Request, send: Callable[[], Awaitable[Answer]]) -> Answer:
        """Send a request as often as its errors allow."""
        gate, attempt, since = self._limits.gate(request.lane), 0, self._breakers.now()
        chances = self._breakers.at(self._root).chances
        while True:
            attempt += 1
            generation = gate.generation
            try:
                answer = await send()
            except RegistryError as error:
                self._wire.pauses.note(error, self.backoff.patience)
                if error.status in _SLOWER and not error.unasked:
                    gate.slow_down(generation)
                once = isinstance(request.body, Body) or not error.retryable
                wait = None if once else self._wait(attempt, error)
                if wait is None or not chances.take():
                    if isinstance(error, Unreachable) and not once and not error.unasked and error.url:
                        self._breakers.at(error.url).gave_up(error, since)
                    raise
                _LOG.info("%s; trying again in %.1f s", error.message, wait)
            else:
                gate.went_well()
                chances.earn()
                return answer
            await self._pause(wait)

    def _wait(self, attempt: int, error: RegistryError) -> float | None:
        """Seconds to wait after an attempt, or None to give up."""
        if error.unasked and error.retry_after is None:
            return None
        return self.backoff.wait(attempt, error.retry_after)

    async def _pause(self, seconds: float) -> None:
        """Wait before a request is sent again."""
        self._emit(RequestRetried(self.endpoint.api_host))
        await asyncio.sleep(seconds)

    async def _accepted(self, request: Request, url: str) -> Response:
        """One attempt, ending in an accepted answer or an error."""
        try:
            response, sent = await self._authorized(request, url)
        except RegistryError as lost:  # it may name an address that the registry gave
            lost.retell(self.redacted(lost.message))
            raise
        if response.status in request.accept:
            self._authorizer.accepted(sent)
            return response
        try:
            elsewhere = request.logs_in and not self._is_own(response.url)
            redacted = partial(self._authorizer.redacted, sent=sent)
            error = await failure(response, elsewhere=elsewhere, redacted=redacted)
            self._authorizer.advise(error)
            if is_expired(error) and request.logs_in:
                error.retryable = await self._authorizer.expired(request.repository, sent)
            elif isinstance(error, Unauthorized) and request.logs_in and self._is_own(response.url):
                error.knows_us = await self._authorizer.knows_us(request.repository, sent, error.status)
            raise error
        finally:
            await response.release()

    async def _authorized(self, request: Request, url: str) -> tuple[Response, str | None]:
        """Send a request with a login, once again with a new one where the registry calls it stale; tell which."""
        headers = await self._headers(request, url)
        sent = headers.get("Authorization")
        response = await self._redirected(request, url, headers)
        if response.status != 401 or not request.logs_in or not self._is_own(response.url):
            return response, sent
        async with AsyncExitStack() as stack:
            stack.push_async_callback(response.release)
            if not await self._authorizer.renew(response, request.repository, request.scopes, sent):
                stack.pop_all()
                return response, sent
        if isinstance(request.body, Body):
            raise Unauthorized(
                f"{self.endpoint.host} wanted a new login in the middle of an upload",
                method=request.method,
                url=show(url),
                status=401,
                retryable=True,
            )
        headers = await self._headers(request, url)
        return await self._redirected(request, url, headers), headers.get("Authorization")

    async def _headers(self, request: Request, url: str) -> dict[str, str]:
        headers = dict(request.headers or {})
        if request.logs_in and self._is_own(url):
            headers |= await self._authorizer.headers(request.repository, request.scopes)
        return headers

    async def _redirected(self, request: Request, url: str, headers: Mapping[str, str]) -> Response:
        """Follow redirects of reads, by hand: another host never sees the registry's credentials."""
        for _ in range(_REDIRECT_LIMIT):
            response = await self._exchange(request.method, url, headers, request.body)
            location = response.headers.get("Location", "")
            if response.status not in _REDIRECTS or not location or request.method not in {"GET", "HEAD"}:
                return response
            await response.release()
            target = _joined(url, location)
            if not is_safe(target, verify=self.endpoint.verify) or _is_downgrade(url, target):
                raise RegistryError(
                    f"{show(url)} redirects to an address that is not safe: {show(target)}",
                    method=request.method,
                    url=show(url),
                )
            if origin(target) != origin(url):
                headers = {name: value for name, value in headers.items() if name not in _LOGINS}
            url = target
        raise RegistryError(f"{show(url)} redirects too often", method=request.method, url=show(url))

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None = None
    ) -> Response:
        """One request and the head of its answer; told at debug level, without what a URL's query may hold."""
        started = time.monotonic()
        response = await self._wire.exchange(method, url, headers, body)
        if self._is_own(url):
            self.allowance = allowance(response.headers) or self.allowance
        if _LOG.isEnabledFor(logging.DEBUG):
            _LOG.debug("%s %s: %d in %.0f ms", method, show(url), response.status, 1000 * (time.monotonic() - started))
        return response

    def _is_own(self, url: str) -> bool:
        """Whether ``url`` belongs to the registry itself, so that its credentials may go there."""
        return bool(self._root) and (url.startswith(self._root) or origin(url) == origin(self._root))

    def location(self, response: Response) -> str:
        """The URL that an answer's Location names, as an upload goes on there; RegistryError without one.

        A registry behind a proxy that ends TLS may name itself with http: the scheme that works is kept.
        """
        named = response.headers.get("Location", "")
        target, own = urlsplit(_joined(response.url, named)), urlsplit(self._root)
        is_own = target.netloc == own.netloc
        if is_own:
            target = target._replace(scheme=own.scheme)
        verify = self.endpoint.verify or own.scheme == "https"
        if not named or not (is_own or is_safe(target.geturl(), verify=verify)):
            where = f"at an address that is not safe: {show(target.geturl())}" if named else "without saying where"
            raise RegistryError(
                self.redacted(f"{show(response.url)} opens an upload {where}"),
                method=response.method,
                url=show(response.url),
                hint="the registry's external address is probably not configured",
            )
        return target.geturl()

    async def root(self) -> str:
        """The registry's root URL; asks it on first use which of https and http it speaks.

        http is tried only for loopback hosts and where the endpoint allows it (``verify`` off), and
        only where https finds no TLS at all, or nobody on its own port: all else stays an error.
        """
        if not self._root:
            asked = asyncio.get_running_loop().time()
            async with self._finding_root:
                if self._failed is not None and asked < self._failed[0] + self.timeouts.down:
                    raise self._failed[
                        1
                    ].afresh()  # all that ask while, or shortly after, it was found share the answer
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
            may_be_plain = isinstance(error, NoTLS) or (isinstance(error, Refused) and urlsplit(secure).port is None)
            if not (may_be_plain and plain_allowed):
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
                await self._greeted(root)
            except RegistryError as error:
                self._wire.pauses.note(error, self.backoff.patience)
                again = error.retryable and not isinstance(error, NotHTTP | _Silent)  # the former is no registry
                wait = self._wait(attempt, error) if again else None
                if wait is None:
                    raise
                _LOG.info("%s; trying again in %.1f s", error.message, wait)
            else:
                return
            await self._pause(wait)

    async def _greeted(self, root: str) -> None:
        """Greet once; an answer of who has too much to do says nothing of logins."""
        try:
            async with asyncio.timeout(self.timeouts.greeting):
                response = await self._exchange("GET", f"{root}v2/", {})
        except TimeoutError:
            raise _Silent(
                f"{urlsplit(root).netloc} takes connections, but does not answer",
                method="GET",
                url=root,
                retryable=True,
                hint="check that the registry is well, and what is between here and there",
            ) from None
        try:
            if response.status in RETRYABLE_STATUS:
                raise await failure(response)
            self._authorizer.learn(response)
        finally:
            await response.release()


def _joined(url: str, location: str) -> str:
    """The address that ``location`` means in an answer of ``url``; RegistryError when it means none."""
    try:
        target = urljoin(url, location)
        origin(target)
    except ValueError:
        raise RegistryError(f"{show(url)} sends its clients to an address that is none", url=show(url)) from None
    return target


def _is_downgrade(source: str, target: str) -> bool:
    """Whether a redirect goes from https to http."""
    return (urlsplit(source).scheme, urlsplit(target).scheme) == ("https", "http")
