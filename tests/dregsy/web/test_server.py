import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from functools import partial
from urllib.parse import urlsplit

import pytest

from dregsy.errors import UsageError
from dregsy.model.listen import Listen
from dregsy.model.report import Waiting
from dregsy.web.health import Health
from dregsy.web.metrics import Metrics
from dregsy.web.server import CONNECTIONS, Server
from tests.testbed.asking import Answer, ask, figures

ANY = Listen.parse(":0")


class Site:
    """A server whose clock stands still until it is told."""

    def __init__(self) -> None:
        self.time = 0.0
        self.health = Health(60.0, now=lambda: self.time)
        self.server = Server(ANY, Metrics(()).registry, self.health)

    async def ask(self, path: str, *, method: str = "GET", accept: str = "") -> Answer:
        """Send one request."""
        return await asyncio.to_thread(partial(ask, self.server.url, path, method=method, accept=accept))


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """Return a server that is up, of a dregsy that is, too."""
    site = Site()
    site.health(Waiting(0.0))
    async with site.server:
        yield site


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    """Close all sockets that are put in here."""
    with ExitStack() as stack:
        yield stack


def visit(stack: ExitStack, url: str, said: bytes = b"") -> socket.socket:
    """Connect, say something, and hold on."""
    host, _, port = urlsplit(url).netloc.rpartition(":")
    made = stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
    made.sendall(said)
    return made


def is_cut(client: socket.socket) -> bool:
    """Whether the server ends a connection; waits for that."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


async def test_metrics_are_what_prometheus_reads(site: Site) -> None:
    """The answer has the content type of the text format, and Prometheus' own parser reads it."""
    answer = await site.ask("/metrics")

    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert figures(answer.text)["dregsy_config_last_reload_successful"] == 1.0


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
async def test_head(site: Site, path: str) -> None:
    """HEAD is answered like GET, without a body; what answers is not to be kept, and ends the connection."""
    answer = await site.ask(path, method="HEAD")

    assert (answer.status, answer.text) == (200, "")
    assert (answer.headers["Cache-Control"], answer.headers["Connection"]) == ("no-store", "close")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/metrics", 405), ("GET", "/", 404), ("PUT", "/x", 404)]
)
async def test_what_there_is_not(site: Site, method: str, path: str, status: int) -> None:
    """Other paths are not there, and nothing can be written."""
    answer = await site.ask(path, method=method)

    assert (answer.status, answer.headers["Connection"]) == (status, "close")


async def test_states_in_a_line_or_json(site: Site) -> None:
    """Health is told in one line; in JSON to who accepts that; 503 tells of trouble, and what it is."""
    good = [await site.ask("/healthz"), await site.ask("/readyz", accept="application/json")]
    site.time = 1000.0
    bad = [await site.ask("/healthz"), await site.ask("/readyz", accept="application/json")]

    assert [(one.status, one.text) for one in good] == [(200, "ok\n"), (200, '{"ok": true, "trouble": null}')]
    trouble = "the scheduler is stuck: it has not looked at its tasks for 1000 s"
    assert (bad[0].status, bad[0].text) == (503, f"{trouble}\n")
    assert (bad[1].status, json.loads(bad[1].text)) == (503, {"ok": False, "trouble": trouble})


async def test_an_address_that_is_taken(site: Site) -> None:
    """The error names the address, and the exit code is that of a wrong config."""
    address = Listen.parse(urlsplit(site.server.url).netloc)

    with pytest.raises(UsageError) as caught:
        async with Server(address, Metrics(()).registry, site.health):
            pass

    assert caught.value.message == f"cannot listen on {address}: address already in use"
    assert caught.value.exit_code == 1


async def test_a_host_that_is_not_ours(site: Site) -> None:
    """A name that nobody knows cannot be listened on either."""
    with pytest.raises(UsageError, match=r"cannot listen on nobody\.invalid:0: the name does not resolve"):
        async with Server(Listen.parse("nobody.invalid:0"), Metrics(()).registry, site.health):
            pass


async def test_slow_clients_hold_up_nobody(site: Site, sockets: ExitStack) -> None:
    """However many connect and never end their requests, others are answered; the oldest connections go."""
    slow = [visit(sockets, site.server.url, b"GET /metrics HTTP/1.1\r\nHost: x\r\n") for _ in range(CONNECTIONS + 9)]

    answer = await site.ask("/healthz")

    assert answer.status == 200
    assert all([await asyncio.to_thread(is_cut, client) for client in slow[:10]])


async def test_every_connection_has_an_end(sockets: ExitStack) -> None:
    """A connection that does nothing is cut when its time is over."""
    async with Server(ANY, Metrics(()).registry, Health(60.0), life=0.01) as server:
        client = visit(sockets, server.url, b"GET /met")

        assert await asyncio.to_thread(is_cut, client)


async def test_the_end_waits_for_no_client(sockets: ExitStack) -> None:
    """When the server ends, whoever is still connected is cut, and the address is free."""
    async with Server(ANY, Metrics(()).registry, Health(60.0)) as server:
        clients = [visit(sockets, server.url, said) for said in (b"", b"GET /metrics HTTP/1.1\r\n", b"\0\r\n\r\n")]
        await asyncio.to_thread(clients[2].recv, 1)
    address = Listen.parse(urlsplit(server.url).netloc)

    assert is_cut(clients[0])
    assert is_cut(clients[1])
    async with Server(address, Metrics(()).registry, Health(60.0)):
        pass
