"""One HTTP exchange: connections, TLS, proxies, time limits. The only place that knows the HTTP library.

What the library raises is translated here into this project's errors, so that nothing above
depends on it.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from yarl import URL

from dregsy import __version__
from dregsy.errors import DregsyError, RegistryError, Unreachable
from dregsy.model.endpoint import Endpoint
from dregsy.registry import proxies, tls

BUFFER = 2**20
JSON_LIMIT = 16 * 2**20
HEADER_LIMIT = 32 * 2**10


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for a connection, for the next bytes of an answer, and for room to send more."""

    connect: float = 20.0
    read: float = 60.0
    stall: float = 60.0
    commit: float = 300.0
    """For the answer to an upload: registries hash and store the whole blob before they answer."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request body of ``length`` bytes that is produced while it is sent."""

    length: int
    chunks: Callable[[], AsyncIterator[bytes]]


class NoTLS(Unreachable):
    """The other side answers, but speaks no TLS."""


class UntrustedCertificate(Unreachable):
    """The other side's certificate is signed by nobody we trust, has run out, or is for another name."""


class Response:
    """The status and headers of an answer, and its body when it is asked for."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.method = answer.method
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self.url = str(answer.url)

    def release(self) -> None:
        """Give the connection back, or close it where a part of the body was not read."""
        self._answer.release()

    def header_values(self, name: str) -> list[str]:
        """Return every line of a header that may come more than once."""
        return self._answer.headers.getall(name, [])

    async def read(self, limit: int = JSON_LIMIT) -> bytes:
        """Read the whole body; RegistryError when it is larger than ``limit`` bytes."""
        parts, size = [], 0
        async for chunk in self.chunks():
            parts.append(chunk)
            size += len(chunk)
            if size > limit:
                raise RegistryError(
                    f"{show(self.url)} answered with more than {limit} bytes",
                    method=self.method,
                    url=show(self.url),
                    status=self.status,
                )
        return b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body as it arrives."""
        try:
            async for chunk in self._answer.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise translate(error, self.method, self.url) from error


class Wire:
    """The connections of one registry, and to the token and storage servers it sends its clients to."""

    def __init__(
        self, endpoint: Endpoint, environ: Mapping[str, str], timeouts: Timeouts | None = None, places: int = 32
    ) -> None:
        self._endpoint = endpoint
        self._environ = environ
        self._timeouts = timeouts or Timeouts()
        self._places = places
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[str, tuple[object, ssl.SSLContext]] = {}

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None = None
    ) -> Response:
        """Send one request and return the answer, whatever its status; follows no redirect.

        The caller releases the answer. Raises Unreachable when there is none. An error that the
        body's producer raises passes through as it is, and the connection is cut, so that the
        receiver cannot take the part for the whole.
        """
        try:
            return Response(await self._answer(method, url, headers, body))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise translate(error, method, url) from error

    async def _answer(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None
    ) -> aiohttp.ClientResponse:
        parts = urlsplit(url)
        proxy = proxies.proxy_for(parts.scheme, parts.netloc, self._environ)
        login = proxy.login if proxy else None
        auth = None
        if login is not None and login.password is not None:
            auth = aiohttp.BasicAuth(login.username, login.password.reveal(), "utf-8")
        secure = self._context(parts.netloc) if parts.scheme == "https" else True
        headers = {"Accept-Encoding": "identity", **headers}
        session = self._ready()
        source = _Sending(body, self._timeouts) if isinstance(body, Body) else None
        if source is not None:
            headers["Content-Length"] = str(source.body.length)
        try:
            async with asyncio.timeout(None) as guard:
                return await session.request(
                    method,
                    URL(url, encoded=True),
                    headers=headers,
                    timeout=self._limit(self._timeouts.commit if source else self._timeouts.read),
                    data=source.produce(guard) if source else body,
                    allow_redirects=False,
                    ssl=secure,
                    proxy=proxy.url if proxy else None,
                    proxy_auth=auth,
                )
        except (aiohttp.ClientError, TimeoutError, OSError):
            if source is not None and source.error is not None:
                raise source.error from None
            raise

    def _ready(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._places, keepalive_timeout=75),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"dregsy/{__version__}"},
                auto_decompress=False,
                read_bufsize=BUFFER,
                max_line_size=HEADER_LIMIT,
                max_field_size=HEADER_LIMIT,
                trust_env=False,
            )
        return self._session

    def _limit(self, read: float) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=None, connect=None, sock_connect=self._timeouts.connect, sock_read=read)

    def _context(self, netloc: str) -> ssl.SSLContext:
        """Return the TLS settings for a host; made anew when its certificates changed on disk."""
        endpoint = replace(self._endpoint, host=netloc)
        mark = tls.fingerprint(endpoint)
        known = self._contexts.get(netloc)
        if known is None or known[0] != mark:
            known = self._contexts[netloc] = (mark, tls.context_for(endpoint))
        return known[1]


class _Sending:
    """Feeds a body to the HTTP library, notes what its producer raised, and keeps the time limit moving."""

    def __init__(self, body: Body, timeouts: Timeouts) -> None:
        self.body = body
        self.error: DregsyError | None = None
        self._timeouts = timeouts

    async def produce(self, guard: asyncio.Timeout) -> AsyncIterator[bytes]:
        now = asyncio.get_running_loop().time
        try:
            async for chunk in self.body.chunks():
                guard.reschedule(now() + self._timeouts.stall)
                yield chunk
                guard.reschedule(None)  # the producer has time limits of its own
        except DregsyError as error:
            self.error = error
            raise
        guard.reschedule(now() + self._timeouts.commit)


def show(url: str) -> str:
    """The URL without user info, query and fragment, which may hold secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def translate(error: Exception, method: str, url: str) -> DregsyError:
    """Say in this project's words what the HTTP library, the socket or TLS reported."""
    if isinstance(error, DregsyError):
        return error
    place = urlsplit(show(url)).netloc
    inner = error.__cause__ if isinstance(error.__cause__, OSError) else error
    cause = getattr(error, "os_error", None) or inner
    text, hint, retryable = _explain_connection(error, cause, place) or _explain_answer(error, place)
    kind = Unreachable
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        kind = UntrustedCertificate
    elif _is_plain(cause):
        kind = NoTLS
    return kind(text, method=method, url=show(url), retryable=retryable, hint=hint)


Explanation = tuple[str, str, bool]


def _is_plain(cause: Exception) -> bool:
    """Whether the TLS handshake met a server that speaks something else."""
    return isinstance(cause, ssl.SSLError) and (cause.reason or "") in _PLAIN_REASONS


_PLAIN_REASONS = frozenset({"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})


def _explain_connection(error: Exception, cause: Exception, place: str) -> Explanation | None:
    """Text, hint and whether to try again, for what kept the connection from coming about."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or error.certificate_error
        hint = f"put the CA that signed it into the certificates folder as {place}/ca.crt, or mend the certificate"
        return f"the certificate of {place} is not trusted: {reason}", hint, False
    if isinstance(cause, ssl.SSLError):
        reason = (cause.reason or str(cause)).replace("_", " ").lower()
        hint = f"if the registry wants a client certificate, put client.cert and client.key into {place}/"
        return f"{place} and this machine cannot agree on TLS: {reason}", hint, False
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return f"the proxy on the way to {place} refuses the connection", "check HTTPS_PROXY and NO_PROXY", True
    if isinstance(cause, socket.gaierror):
        again = cause.errno == socket.EAI_AGAIN
        return f"the name {place} does not resolve", "check the registry's name and this machine's DNS", again
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else "no connection"
        return f"cannot connect to {place}: {reason}", "check the address, and that the registry is running", True
    return None


def _explain_answer(error: Exception, place: str) -> Explanation:
    """Text, hint and whether to try again, for what went wrong on an open connection."""
    if isinstance(error, TimeoutError):
        return f"{place} did not answer in time", "", True
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        return f"{place or 'the address'} is not a usable address", "", False
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{place} answered with something that is not proper HTTP", "", False
    return f"the connection to {place} broke", "", True
