"""One exchange: what goes over the wire, what may go wrong there, and what is said about it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from aiohttp.client_exceptions import UnixClientConnectorError
from aiohttp.client_reqrep import ConnectionKey, RequestInfo
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from dregsy.errors import CredentialsError, RegistryError, Unreachable, UsageError
from dregsy.model.endpoint import Endpoint
from dregsy.model.timeouts import Timeouts
from dregsy.registry.wire import Body, NoTLS, UntrustedCertificate, Wire, _Sending, show, translate
from tests.testbed.certificates import Authority
from tests.testbed.clients import tasks, trusting
from tests.testbed.raw import TLS_HELLO, Conversation, ForwardProxy, RawServer, head, saying
from tests.testbed.servers import DockerRegistry

BRIEF = Timeouts(connect=0.05, first=0.05, read=0.05, stall=0.05, commit=0.05, whole=0.05)
SECRET_URL = "https://user:s3cret@reg.test:5000/v2/a/b?sig=s3cret#s3cret"


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """Connections to nobody in particular; none is in use at the end."""
    opened = Wire(Endpoint("127.0.0.1:5000"), {})
    yield opened
    session = opened._session
    assert not (session and session.connector and session.connector._acquired)
    await opened.close()
    assert tasks() == []


async def get(wire: Wire, host: str) -> tuple[int, bytes]:
    """Status and body of a GET."""
    response = await wire.exchange("GET", f"http://{host}/v2/?sig=s3cret", {})
    try:
        return response.status, await response.read()
    finally:
        await response.release()


# --- what is not HTTP ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\xff" * 100, b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad Header\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"", b"HTTP/1.1 200 O", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nno\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsho",
    ],
    ids=lambda answer: repr(answer[:60]),
)  # fmt: skip
async def test_garbage(wire: Wire, answer: bytes) -> None:
    """What is no HTTP, and what breaks off, is an error that names the host and nothing secret."""
    async with RawServer(saying(answer)) as server:
        with pytest.raises(Unreachable, match=f"{server.host} (answered|broke)|connection to {server.host}") as caught:
            await get(wire, server.host)

    assert "s3cret" not in f"{caught.value!r} {vars(caught.value)}"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "127.1", "2130706433"])
async def test_into_this_machine(name: str) -> None:
    """Where a registry elsewhere sends its clients to this machine, by name or address, no connection is made."""
    async with RawServer(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as server:
        wire = Wire(Endpoint("203.0.113.1"), {})
        with pytest.raises(Unreachable, match=r"no business|not a usable address") as caught:
            await get(wire, f"{name}:{server.host.partition(':')[2]}")
        await wire.close()
        assert server.connections == 0

    assert not caught.value.retryable


async def test_bodies_are_not_unpacked(wire: Wire) -> None:
    """Bytes come as they are sent, whatever their encoding is said to be; none is asked for."""
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await head(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
        await writer.drain()

    async with RawServer(talk) as server:
        assert await get(wire, server.host) == (200, b"abc")

    assert b"accept-encoding: identity" in heads[0].lower()
    assert b"user-agent: dregsy/" in heads[0].lower()


async def test_an_answer_too_large(wire: Wire) -> None:
    """Of an answer that is kept in memory no more is read than the limit."""
    async with RawServer(saying(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000)) as server:
        response = await wire.exchange("GET", f"http://{server.host}/?sig=s3cret", {})
        with pytest.raises(RegistryError, match="more than 99999 bytes") as caught:
            await response.read(99_999)
        await response.release()

    assert "s3cret" not in str(caught.value)


# --- time ------------------------------------------------------------------------------------------------------------


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the head of the request, and never say a word."""
    await head(reader)
    await asyncio.Event().wait()
    writer.close()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say a little, again and again, and never come to an end."""
    await head(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.005)


async def drip_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send header after header, and never come to the body."""
    await head(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n")
        await asyncio.sleep(0.005)


async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Stop in the middle of the body."""
    await head(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await asyncio.Event().wait()


@pytest.mark.parametrize("conversation", [silence, drip, drip_head, half])
@pytest.mark.parametrize("body", [None, b"x" * 2**23])
async def test_no_answer_in_time(conversation: Conversation, body: bytes | None) -> None:
    """Silence, drops, and a body that stops are given up in time; so is a request that nobody reads."""
    wire = Wire(Endpoint("127.0.0.1"), {}, BRIEF)
    async with RawServer(conversation) as server:
        with pytest.raises(Unreachable, match=f"{server.host} did not answer in time") as caught:
            await whole(wire, "PUT" if body else "GET", f"http://{server.host}/", body)
    await wire.close()

    assert caught.value.retryable


async def whole(wire: Wire, method: str, url: str, body: bytes | None) -> None:
    """Send a request and read all of its answer."""
    response = await wire.exchange(method, url, {}, body)
    try:
        await response.read()
    finally:
        await response.release()


async def test_an_upload_that_nobody_takes() -> None:
    """When the other side stops reading, the upload is given up after ``stall`` seconds, and its producer ended."""
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(2**16)
        finally:
            ended.set()

    wire = Wire(Endpoint("127.0.0.1"), {}, Timeouts(stall=0.05))
    async with RawServer(silence) as server:
        with pytest.raises(Unreachable, match="did not answer in time"):
            await wire.exchange("PUT", f"http://{server.host}/", {}, Body(10**9, endless))
        assert ended.is_set()
    await wire.close()


async def test_a_closed_wire_has_let_go_of_an_upload_that_nobody_takes() -> None:
    """What was sent and not taken keeps no connection open once all are closed."""

    async def deaf(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await head(reader)
        await asyncio.Event().wait()

    async def much() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield bytes(2**20)

    async with RawServer(deaf) as server:
        wire = Wire(Endpoint(server.host), {}, BRIEF)
        with pytest.raises(Unreachable):
            await wire.exchange("PUT", f"http://{server.host}/", {}, Body(64 * 2**20, much))
        await wire.close()

        assert [
            one for one in connections() if one.raddr and one.raddr.port == int(server.host.rpartition(":")[2])
        ] == []


def connections() -> list[Any]:
    """The open sockets of this process."""
    return psutil.Process().net_connections("tcp4")


async def test_an_upload_that_nobody_confirms() -> None:
    """When the last byte is sent, the answer is waited for as long as ``commit``, not as long as ``read``."""

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        await reader.readexactly(1)
        await asyncio.sleep(0.1)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async def never(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await head(reader)
        await reader.readexactly(1)
        await reader.read()

    async with RawServer(late) as server:
        patient = Wire(Endpoint("127.0.0.1"), {}, Timeouts(first=0.01, read=0.01))
        response = await patient.exchange("PUT", f"http://{server.host}/", {}, Body(1, lambda: once(b"x")))
        assert response.status == 201
        await response.release()
        await patient.close()
    async with RawServer(never) as server:
        hasty = Wire(Endpoint("127.0.0.1"), {}, Timeouts(commit=0.01))
        with pytest.raises(Unreachable, match="did not answer in time"):
            await hasty.exchange("PUT", f"http://{server.host}/", {}, Body(1, lambda: once(b"x")))
        await hasty.close()


async def once(chunk: bytes) -> AsyncIterator[bytes]:
    """Give one chunk."""
    yield chunk


async def test_a_slow_producer_is_not_the_registrys_fault() -> None:
    """While the producer takes its time no limit of the connection runs."""
    hasty = Wire(Endpoint("127.0.0.1"), {}, Timeouts(first=0.01, read=0.01, commit=20.0))

    async def slow() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(0.05)
            yield b"x"

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        await reader.readexactly(3)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with RawServer(take) as server:
        response = await hasty.exchange("PUT", f"http://{server.host}/", {}, Body(3, slow))
        assert response.status == 201
        await response.release()
    await hasty.close()


async def test_no_connection_in_time() -> None:
    """A TLS handshake that nobody answers, and a proxy that does not either, are given up."""
    async with RawServer(silence) as server:
        for environ in ({}, {"HTTPS_PROXY": f"http://{server.host}"}):
            wire = Wire(Endpoint("reg.test" if environ else server.host), environ, BRIEF)
            url = "https://reg.test/v2/" if environ else f"https://{server.host}/v2/"
            for body in (None, Body(1, lambda: once(b"x"))):
                with pytest.raises(Unreachable, match="did not answer in time"):
                    await wire.exchange("PUT", url, {}, body)
            await wire.close()


# --- connections -----------------------------------------------------------------------------------------------------


async def test_connections_are_used_again(wire: Wire) -> None:
    """Requests that follow each other share a connection; a body that was not read costs it."""
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"] * 3
    async with RawServer(saying(*answers)) as server:
        for _ in range(3):
            await get(wire, server.host)
        assert server.connections == 1


async def test_a_dead_connection_never_swallows_an_upload(wire: Wire) -> None:
    """An upload over a connection that the server has closed meanwhile is an error, or sent whole: never in part."""
    bodies: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = await head(reader)
            if asked.startswith(b"PUT") and not bodies:
                bodies.append(b"")
                return
            if asked.startswith(b"PUT"):
                bodies.append(await reader.readexactly(4))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()

    async with RawServer(talk) as server:
        await get(wire, server.host)
        with pytest.raises(Unreachable, match="broke"):
            await wire.exchange("PUT", f"http://{server.host}/", {}, Body(4, lambda: once(b"data")))
        response = await wire.exchange("PUT", f"http://{server.host}/", {}, Body(4, lambda: once(b"data")))
        await response.release()

    assert bodies == [b"", b"data"]


async def test_a_body_is_never_taken_up_half_way() -> None:
    """What the library's first attempt has taken of a body no second attempt goes on with."""
    sending = _Sending(Body(2, lambda: once(b"xy")), Timeouts())

    async def take() -> bytes:
        return await anext(sending)

    async with asyncio.TaskGroup() as group:
        first = group.create_task(take())
    with pytest.raises(ConnectionAbortedError):
        await take()
    await sending.close()

    assert first.result() == b"xy"


async def test_no_warning_about_tls_connections(tmp_path: Path, authority: Authority) -> None:
    """TLS connections, read or not, are closed without a trace."""
    with DockerRegistry(tmp_path / "r", tls=authority.issue("wire")) as registry:
        wire = Wire(trusting(tmp_path, registry.host, authority.ca_file), {})
        read = await wire.exchange("GET", f"https://{registry.host}/v2/", {})
        await read.read()
        await read.release()
        unread = await wire.exchange("GET", f"https://{registry.host}/v2/_catalog", {})
        await unread.release()
        await wire.close()
    assert (read.status, unread.status) == (200, 200)


async def test_certificates_may_change_while_running(tmp_path: Path, authority: Authority) -> None:
    """A CA that is put into the folder later counts from the next request on."""
    with DockerRegistry(tmp_path / "r", tls=authority.issue("changing")) as registry:
        wire = Wire(Endpoint(registry.host, certs=(tmp_path / "certs.d",)), {})
        with pytest.raises(Unreachable, match="whom nobody here trusts"):
            await wire.exchange("GET", f"https://{registry.host}/v2/", {})
        trusting(tmp_path, registry.host, authority.ca_file)
        response = await wire.exchange("GET", f"https://{registry.host}/v2/", {})
        await response.release()
        await wire.close()

    assert response.status == 200


async def test_an_unusable_certificate_file_is_named(tmp_path: Path) -> None:
    """What is wrong in the certificates folder is said as it is, and user info of a URL is not part of it."""
    (tmp_path / "cdn.test:443").mkdir()
    (tmp_path / "cdn.test:443" / "ca.crt").write_text("nothing")
    opened = Wire(Endpoint("reg.test", certs=(tmp_path,)), {})
    with pytest.raises(CredentialsError, match=r"ca\.crt") as caught:
        await opened.exchange("GET", "https://user:s3cret@cdn.test:443/", {})
    await opened.close()

    assert "s3cret" not in f"{caught.value} {vars(caught.value)}"


# --- proxies ---------------------------------------------------------------------------------------------------------


def well(heads: list[bytes]) -> Conversation:
    """Answer one request with 200, and note its head."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await head(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    return talk


async def test_https_through_a_proxy(tmp_path: Path, authority: Authority) -> None:
    """TLS goes through the proxy's tunnel; its login goes to the proxy, and not to the registry."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("proxied", names=["reg.test"]))
    heads: list[bytes] = []
    async with await asyncio.start_server(well(heads), "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        async with ForwardProxy(f"127.0.0.1:{port}") as way:
            environ = {"HTTPS_PROXY": f"http://us%40er:p%3A%C3%BC@{way.host}"}
            wire = Wire(trusting(tmp_path, "reg.test", authority.ca_file), environ)
            response = await wire.exchange("GET", "https://reg.test/v2/", {})
            await response.release()
            await wire.close()

    assert response.status == 200
    assert way.asked() == ["CONNECT reg.test:443"]
    assert "Proxy-Authorization: Basic dXNAZXI6cDrDvA==" in way.heads[0]
    assert b"proxy-authorization" not in heads[0].lower()


async def test_http_through_a_proxy(registry_a: DockerRegistry) -> None:
    """Plain http is handed to the proxy as a whole, with its login; NO_PROXY and loopback go around it."""
    async with ForwardProxy(registry_a.host) as way:
        environ = {"http_proxy": f"http://user:word@{way.host}", "NO_PROXY": "direct.test"}
        wire = Wire(Endpoint("reg.test"), environ)
        response = await wire.exchange("GET", "http://reg.test/v2/", {})
        await response.release()
        response = await wire.exchange("GET", f"http://{registry_a.host}/v2/", {})
        await response.release()
        with pytest.raises(Unreachable, match=r"direct\.test"):
            await wire.exchange("GET", "http://direct.test:1/v2/", {})
        await wire.close()

    assert way.asked() == ["GET http://reg.test/v2/"]
    assert "Proxy-Authorization: Basic dXNlcjp3b3Jk" in way.heads[0]


async def test_http_through_a_proxy_that_speaks_tls(tmp_path: Path, authority: Authority) -> None:
    """The proxy's certificate counts as any server's: by the authorities of its folder, and no others."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("proxy"))
    heads: list[bytes] = []
    async with await asyncio.start_server(well(heads), "127.0.0.1", 0, ssl=context) as server:
        way = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        environ = {"HTTP_PROXY": f"https://user:word@{way}"}
        wire = Wire(replace(trusting(tmp_path, way, authority.ca_file), host="reg.test"), environ)
        response = await wire.exchange("GET", "http://reg.test/v2/", {})
        await response.release()
        await wire.close()
        distrusting = Wire(Endpoint("reg.test"), environ)
        with pytest.raises(UntrustedCertificate):
            await distrusting.exchange("GET", "http://reg.test/v2/", {})
        await distrusting.close()

    assert response.status == 200
    assert heads[0].startswith(b"GET http://reg.test/v2/ ")
    assert b"Proxy-Authorization: Basic dXNlcjp3b3Jk" in heads[0]


@pytest.mark.parametrize(
    ("status", "retryable"), [("407 Proxy Authentication Required", False), ("403 No", False), ("502 Down", True)]
)
async def test_a_proxy_that_refuses(status: str, retryable: bool) -> None:
    """What the proxy refuses is told from what the registry refuses."""
    async with ForwardProxy("127.0.0.1:9", status=status) as way:
        wire = Wire(Endpoint("reg.test"), {"HTTPS_PROXY": f"http://user:s3cret@{way.host}"})
        with pytest.raises(Unreachable, match=rf"the proxy on the way to reg\.test .*\({status[:3]}\)") as caught:
            await wire.exchange("GET", "https://reg.test/v2/", {})
        await wire.close()

    assert retryable == caught.value.retryable
    assert "s3cret" not in f"{caught.value} {vars(caught.value)}"


async def test_a_proxy_that_is_not_there() -> None:
    """A proxy that cannot be reached is not taken for the registry; one that cannot be is named by its variable."""
    wire = Wire(Endpoint("reg.test"), {"HTTPS_PROXY": "http://user:s3cret@127.0.0.1:1"})
    with pytest.raises(Unreachable, match=r"the proxy on the way to reg\.test cannot be reached"):
        await wire.exchange("GET", "https://reg.test/v2/", {})
    await wire.close()
    wire = Wire(Endpoint("reg.test"), {"HTTPS_PROXY": "http://no-such-proxy.invalid:1"})
    with pytest.raises(Unreachable, match=r"the name no-such-proxy\.invalid does not resolve"):
        await wire.exchange("GET", "https://reg.test/v2/", {})
    await wire.close()
    wire = Wire(Endpoint("reg.test"), {"HTTPS_PROXY": "socks5://user:s3cret@127.0.0.1:1"})
    with pytest.raises(UsageError, match="HTTPS_PROXY") as caught:
        await wire.exchange("GET", "https://reg.test/v2/", {})
    await wire.close()

    assert "s3cret" not in str(caught.value)


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (SECRET_URL, "https://reg.test:5000/v2/a/b"),
        ("https://a@b@c.test/x", "https://c.test/x"),
        ("http://[::1]:5000/v2/?x", "http://[::1]:5000/v2/"),
        ("http://[half/x?sig=s3cret", "(address)"),
        ("", ""),
    ],
)
def test_show(url: str, expected: str) -> None:
    """A URL is shown without user info, query and fragment."""
    assert expected == show(url)


def made(kind: type[Exception]) -> Exception:
    """An error of the HTTP library as it raises it."""
    key = ConnectionKey("reg.test", 5000, True, True, None, None, None)
    info = RequestInfo(
        URL(SECRET_URL), "GET", CIMultiDictProxy(CIMultiDict({"Authorization": "s3cret"})), URL(SECRET_URL)
    )
    if issubclass(kind, aiohttp.ClientConnectorCertificateError):
        return kind(key, ssl.SSLCertVerificationError("certificate has expired"))
    if issubclass(kind, UnixClientConnectorError):
        return kind("/s3cret", key, OSError(111, "refused"))
    if issubclass(kind, aiohttp.ClientConnectorError):
        return kind(key, OSError(111, "refused"))
    if issubclass(kind, aiohttp.ClientResponseError):
        return kind(info, (), status=502, message="s3cret")
    if issubclass(kind, aiohttp.ServerFingerprintMismatch):
        return kind(b"a", b"b", "reg.test", 5000)
    if issubclass(kind, aiohttp.InvalidURL):
        return kind(SECRET_URL)
    return kind("s3cret")


def errors_of_the_library() -> Iterator[type[Exception]]:
    """Every error of the HTTP client."""
    waiting: list[type[Exception]] = [aiohttp.ClientError]
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting += kind.__subclasses__()


@pytest.mark.parametrize("kind", sorted(set(errors_of_the_library()), key=str))
def test_every_error_of_the_library_has_words(kind: type[Exception]) -> None:
    """None comes through as it is, none is without a sentence and a host, none tells a secret."""
    found = translate(made(kind), "GET", SECRET_URL)

    assert isinstance(found, Unreachable)
    assert "reg.test:5000" in found.message
    assert (found.method, found.url) == ("GET", "https://reg.test:5000/v2/a/b")
    assert "s3cret" not in f"{found} {found!r} {vars(found)}"


@pytest.mark.parametrize(
    ("error", "text", "retryable"),
    [
        (TimeoutError(), "reg.test:5000 did not answer in time", True),
        (ConnectionResetError(104, "x"), "the connection to reg.test:5000 broke: connection reset by peer", True),
        (BrokenPipeError(), "the connection to reg.test:5000 broke", True),
        (ValueError("s3cret"), "reg.test:5000 is not a usable address", False),
        (UnicodeError("s3cret"), "reg.test:5000 is not a usable address", False),
        (aiohttp.ServerDisconnectedError(), "the connection to reg.test:5000 broke", True),
        (aiohttp.NonHttpUrlClientError("x"), "reg.test:5000 is not a usable address", False),
    ],
)
def test_what_is_said(error: Exception, text: str, retryable: bool) -> None:
    """The usual mishaps, in words, and whether another attempt makes sense."""
    found = translate(error, "GET", SECRET_URL)

    assert isinstance(found, Unreachable)
    assert (text, retryable) == (found.message, found.retryable)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://127.0.0.1:1/?sig=s3cret", "cannot connect to 127.0.0.1:1: connection refused"),
        ("http://no-such-host.invalid/", "the name no-such-host.invalid does not resolve"),
        ("http://[half/?sig=s3cret", "the address is not a usable address"),
        ("ftp://reg.test/?sig=s3cret", "reg.test is not a usable address"),
        (f"http://{'x' * 64}.test/", "not a usable address"),
        ("http:///?sig=s3cret", "not a usable address"),
    ],
)
async def test_addresses_that_lead_nowhere(wire: Wire, url: str, text: str) -> None:
    """Refusals, names that do not resolve, and what is no address."""
    with pytest.raises(Unreachable) as caught:
        await wire.exchange("GET", url, {})

    assert text in caught.value.message
    assert "s3cret" not in f"{caught.value} {vars(caught.value)}"


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.0 400 Bad Request\r\n\r\n", b"<html>plain http to an https port</html>", b"SSH-2.0-x\r\n"]
)
async def test_no_tls_there(wire: Wire, answer: bytes) -> None:
    """A server that answers a TLS hello with something else speaks no TLS."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await head(reader))[0] == TLS_HELLO
        writer.write(answer)
        await writer.drain()

    async with RawServer(talk) as server:
        with pytest.raises(NoTLS, match="cannot agree on TLS"):
            await wire.exchange("GET", f"https://{server.host}/", {})
