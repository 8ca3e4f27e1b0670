"""One HTTP exchange: connections, TLS, proxies, time limits. The only place that knows the HTTP library.

What the library raises is translated here into this project's errors, so that nothing above
depends on it.
"""

import asyncio
import base64
import io
import os
import socket
import ssl
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit
from weakref import WeakSet

from yarl import URL

from dregsy import __version__
from dregsy.errors import DregsyError, RegistryError, Unreachable
from dregsy.model.endpoint import Endpoint, Login
from dregsy.model.timeouts import Timeouts
from dregsy.registry import certificates, proxies, refusals, tls
from dregsy.registry.collected import Collected, TooLarge
from dregsy.registry.reach import Inside, Reach

with tls.without_authorities():  # for contexts of its own, which are not used here, it would read them all, twice
    import aiohttp

BUFFER = 2**20
JSON_LIMIT = 16 * 2**20
HEADER_LIMIT = 32 * 2**10
HEADERS = 128
_KEEPALIVE = 30.0
"""Seconds that a connection may idle; shorter than what servers allow, so that few are found dead when used."""
_TURNS = 4
"""Of the event loop, after which it has let go of a socket that was shut down."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request body of ``length`` bytes that is produced while it is sent; a negative length stands for unknown."""

    length: int
    chunks: Callable[[], AsyncIterator[bytes]]


class NoTLS(Unreachable):
    """The other side answers, but speaks no TLS."""


class NotHTTP(Unreachable):
    """The other side says something that is no HTTP."""


class Refused(Unreachable):
    """Nobody listens at that address."""


class UntrustedCertificate(Unreachable):
    """The other side's certificate is signed by nobody we trust, has run out, or is for another name."""


class _Names(aiohttp.ThreadedResolver):
    """Finds the addresses of hosts, without those that a registry has no business to send us to."""

    def __init__(self, reach: Reach) -> None:
        super().__init__()
        self._reach = reach

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        found = await super().resolve(host, port, family)
        left = set(self._reach.sifted(host, [one["host"] for one in found]))
        return [one for one in found if one["host"] in left]


class Response:
    """The status and headers of an answer, and its body when it is asked for."""

    def __init__(self, answer: aiohttp.ClientResponse, limits: Timeouts, sending: "_Sending | None") -> None:
        self._answer = answer
        self._limits = limits
        self._sending = sending
        self.method = answer.method
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self.url = str(answer.url)
        if answer.connection is not None and answer.connection.protocol is not None:
            answer.connection.protocol.read_timeout = None  # it has begun: `chunks` has a limit of its own

    async def release(self) -> None:
        """Give the connection back, or close it where a body was not read or not sent to its end.

        A producer of a body has ended when this returns.
        """
        self._answer.release()
        if self._sending is not None:
            await self._sending.close()

    def header_values(self, name: str) -> list[str]:
        """Return every line of a header that may come more than once."""
        return self._answer.headers.getall(name, [])

    async def read(self, limit: int = JSON_LIMIT) -> bytes:
        """Read the whole body, unpacked; RegistryError when it is larger than ``limit`` bytes."""
        body, url = Collected(limit), show(self.url)
        try:
            async with asyncio.timeout(self._limits.whole):
                async for chunk in self.chunks():
                    body.add(chunk)
            return body.whole()
        except TimeoutError as error:
            raise translate(error, self.method, self.url) from None
        except TooLarge as error:
            text = f"{url} answered with {error}"
            raise RegistryError(text, method=self.method, url=url, status=self.status) from None
        except ValueError as error:
            raise Unreachable(f"{url} answered with {error}", method=self.method, url=url, retryable=True) from None

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Give the body as it arrives."""
        try:
            while True:
                async with asyncio.timeout(self._limits.read):
                    chunk = await self._answer.content.readany()
                if not chunk:
                    return
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise translate(error, self.method, self.url) from None


class Wire:
    """The connections of one registry, and to the token and storage servers it sends its clients to."""

    def __init__(self, endpoint: Endpoint, environ: Mapping[str, str], timeouts: Timeouts | None = None) -> None:
        self._endpoint = endpoint
        self._environ = dict(environ)  # the process's own is slow to look into
        self._timeouts = timeouts or Timeouts()
        self._session: aiohttp.ClientSession | None = None
        self._contexts = tls.Contexts(endpoint)
        self._reach = Reach(endpoint)
        self._sockets: WeakSet[socket.socket] = WeakSet()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        for one in self._sockets:
            with suppress(OSError):  # it is closed already
                one.shutdown(socket.SHUT_RDWR)
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket of a connection. A closed one waits for its peer to take what was sent, and some do not."""
        made = socket.socket(*address[:3])
        made.setblocking(False)
        self._sockets.add(made)
        return made

    async def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None = None
    ) -> Response:
        """Send one request and return the answer, whatever its status; follows no redirect.

        The caller releases the answer. Raises Unreachable when there is none. An error that the
        body's producer raises passes through as it is, and the connection is cut, so that the
        receiver cannot take the part for the whole.
        """
        content = _Sending(body, self._timeouts) if isinstance(body, Body) else body
        sending = content if isinstance(content, _Sending) else None
        async with sending or nullcontext():
            try:
                answer = await self._answer(method, url, headers, content)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                # Without a cause: the library's errors repeat URLs with their queries.
                raise translate(error, method, url, self._endpoint) from None
            return Response(answer, self._timeouts, sending)

    async def _answer(
        self, method: str, url: str, headers: Mapping[str, str], body: "bytes | _Sending | None"
    ) -> aiohttp.ClientResponse:
        parts = urlsplit(url)
        netloc = parts.netloc.rpartition("@")[2]
        proxy = proxies.proxy_for(parts.scheme, netloc, self._environ)
        login = {"Proxy-Authorization": basic(proxy.login)} if proxy and proxy.login else {}
        self._reach.check(parts.hostname or "")
        if proxy:
            self._reach.trust(urlsplit(proxy.url).hostname or "")
        tunnels = parts.scheme == "https"
        met = netloc if tunnels else proxy.url.removeprefix("https://") if proxy else ""
        secure = self._contexts.at(met) if tunnels or (proxy and proxy.url.startswith("https:")) else True
        headers = {"Accept-Encoding": "identity", **headers}
        limits, begin, total = self._timeouts, self._timeouts.first, None
        if isinstance(body, _Sending):
            begin = limits.commit
            headers |= body.headers
        else:
            total = limits.connect + limits.stall + limits.first
        async with asyncio.timeout(total) as guard:
            if isinstance(body, _Sending):
                body.guard = guard
            return await self._ready().request(
                method,
                URL(url, encoded=True),
                headers=headers if tunnels else headers | login,
                timeout=aiohttp.ClientTimeout(total=None, connect=limits.connect, sock_read=begin),
                data=io.BytesIO(body) if isinstance(body, bytes) and body else body,  # it warns of large bytes as such
                allow_redirects=False,
                ssl=secure,
                proxy=proxy.url if proxy else None,
                proxy_headers=login if tunnels else None,
            )

    def _ready(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(  # Limits bounds them
                    limit=0,
                    keepalive_timeout=_KEEPALIVE,
                    socket_factory=self._socket,
                    resolver=_Names(self._reach),
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"dregsy/{__version__}"},
                auto_decompress=False,
                read_bufsize=BUFFER,
                max_line_size=HEADER_LIMIT,
                max_field_size=HEADER_LIMIT,
                max_headers=HEADERS,
                trust_env=False,
            )
        return self._session


class _Sending:
    """A body as the HTTP library takes it, on a task of the library's own.

    Entered while the request is under way: keeps the time limit ``guard`` moving, brings back what
    the producer raised, and leaves no producer running where the request fails.
    """

    def __init__(self, body: Body, timeouts: Timeouts) -> None:
        self.headers = {"Content-Length": str(body.length)} if body.length >= 0 else {}
        self.guard: asyncio.Timeout | None = None
        self._chunks = body.chunks()
        self._timeouts = timeouts
        self._task: asyncio.Task[object] | None = None
        self._error: BaseException | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.guard = None
        if error is None:
            return
        await self.close()
        if isinstance(self._error, Exception) and isinstance(error, Exception):
            raise self._error from None

    async def close(self) -> None:
        """End the producer, and the library's task; to be called when the request is over."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if isinstance(self._chunks, AsyncGenerator):
            await self._chunks.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        task = asyncio.current_task()
        self._task = self._task or task
        if self._task is not task:
            raise ConnectionAbortedError  # a second attempt of the library's own: what went out is gone
        self._limit(None)  # the producer has time limits of its own
        try:
            chunk = await anext(self._chunks, None)
        finally:
            self._error = sys.exception()
        self._limit(self._timeouts.commit if chunk is None else self._timeouts.stall)
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    def _limit(self, seconds: float | None) -> None:
        if self.guard is not None and not self.guard.expired():
            now = asyncio.get_running_loop().time()
            self.guard.reschedule(None if seconds is None else now + seconds)


def basic(login: Login) -> str:
    """Return what logs in by user name and password, in UTF-8 (RFC 7617)."""
    password = login.password.reveal() if login.password else ""
    return "Basic " + base64.b64encode(f"{login.username}:{password}".encode()).decode("ascii")


def show(url: str) -> str:
    """The URL without user info, query and fragment, which may hold secrets."""
    try:
        parts = urlsplit(url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:  # half an IPv6 address, perhaps: nobody can tell what the rest is
        return "(address)"


def translate(error: Exception, method: str, url: str, registry: Endpoint | None = None) -> DregsyError:
    """Say in this project's words what the HTTP library, the socket or TLS reported.

    ``registry`` is whose certificates counted, also where it sent us to another server.
    """
    place = urlsplit(show(url)).netloc
    cause = getattr(error, "os_error", None) or error
    if not isinstance(cause, ssl.SSLError) and isinstance(cause.__cause__, ssl.SSLError):
        cause = cause.__cause__  # TLS 1.3 tells only after the handshake that a client certificate is missing
    counting = certificates.counting(registry or Endpoint(place), place)
    text, hint, retryable = _explain_connection(error, cause, place, counting) or _explain_answer(error, cause, place)
    if registry is not None and place != registry.api_host:
        text += f" (on behalf of {registry.host})"
    kind = Unreachable
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        kind = UntrustedCertificate
    elif isinstance(cause, ssl.SSLError) and (cause.reason or "") in _PLAIN_REASONS:
        kind = NoTLS
    elif isinstance(cause, ConnectionRefusedError):
        kind = Refused
    elif isinstance(error, aiohttp.ClientResponseError) and not isinstance(error, aiohttp.ClientHttpProxyError):
        kind = NotHTTP
    return kind(text, method=method, url=show(url), retryable=retryable, hint=hint)


Explanation = tuple[str, str, bool]

_PLAIN_REASONS = frozenset({"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
"""What TLS says when it meets a server that speaks something else."""


def _explain_connection(error: Exception, cause: BaseException, place: str, counting: Endpoint) -> Explanation | None:
    """Text, hint and whether to try again, for what kept the connection from coming about."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    if isinstance(cause, ssl.SSLError):
        return (*refusals.explain(cause, place, counting), isinstance(cause, ssl.SSLEOFError))
    if isinstance(cause, Inside):
        return f"{place} is inside of where the registry has no business to send anybody", cause.hint, False
    if isinstance(error, aiohttp.ClientHttpProxyError):
        hint = "check HTTPS_PROXY and NO_PROXY, and the login in it"
        return f"the proxy on the way to {place} refuses the connection ({error.status})", hint, error.status >= 500
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"the proxy on the way to {place} cannot be reached", "check HTTPS_PROXY and NO_PROXY", True
    if isinstance(cause, socket.gaierror):
        name = getattr(error, "host", place)  # that of a proxy, perhaps
        again = cause.errno == socket.EAI_AGAIN
        return f"the name {name} does not resolve", "check how it is written, and this machine's DNS", again
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {place}{_reason(cause)}", "check the address, and that the registry is running", True
    return None


def _explain_answer(error: Exception, cause: BaseException, place: str) -> Explanation:
    """Text, hint and whether to try again, for what went wrong on an open connection."""
    if isinstance(error, TimeoutError):
        return f"{place} did not answer in time", "", True
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError | ValueError):
        return f"{place or 'the address'} is not a usable address", "", False
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{place} answered with something that is not proper HTTP", "is it a registry?", True
    return f"the connection to {place} broke{_reason(cause)}", "", True


def _reason(cause: BaseException) -> str:
    """What the system says about an error; an aiohttp text of its own may repeat a URL, and is not shown."""
    number = cause.errno if isinstance(cause, OSError) else None
    return f": {os.strerror(number).lower()}" if number else ""
