import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from dregsy import app
from dregsy.config.load import load
from dregsy.embedded.images import image, seed
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import UsageError
from dregsy.model.listen import Listen
from dregsy.model.plan import Plan, RelayChoice
from dregsy.model.report import Waiting
from dregsy.web import site as web_site
from dregsy.web.health import PATIENCE, Health
from dregsy.web.metrics import Metrics
from dregsy.web.server import CONNECTIONS, Server
from tests.dregsy.web.stage import Stage
from tests.testbed.asking import Answer, ask, figures
from tests.testbed.command import mirror

ANY = Listen.parse(":0")


class Site:
    """A server whose clock stands still until it is told."""

    def __init__(self) -> None:
        self.time = 0.0
        self.health = Health(3600.0, now=lambda: self.time)
        self.server = Server(ANY, Metrics(()).registry, self.health)

    async def ask(self, path: str, **more: Any) -> Answer:
        """Send one request."""
        return await asyncio.to_thread(partial(ask, self.server.url, path, **more))


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


async def test_a_site_whose_name_leads_here_learns_nothing(site: Site) -> None:
    """Where only this machine is served, a browser that asks for another name is told nothing but that."""
    paths = ("/metrics", "/healthz", "/", "/none")
    theirs = [await site.ask(path, headers={"Host": "evil.example:8080"}) for path in paths]
    ours = [
        await site.ask("/healthz", headers={"Host": host}) for host in ("localhost:8080", "[::1]", "10.244.0.7:8080")
    ]

    assert [(one.status, one.text.startswith("only this machine is served here")) for one in theirs] == [
        (421, True)
    ] * 4
    assert [one.status for one in ours] == [200] * 3


async def test_probes_by_any_name_elsewhere(site: Site) -> None:
    """Who listens for others is asked by all kinds of names."""
    async with Server(Listen.parse("0.0.0.0:0"), Metrics(()).registry, site.health) as server:
        answers = [
            await asyncio.to_thread(partial(ask, server.url, path, headers={"Host": host}))
            for path in ("/metrics", "/healthz")
            for host in ("dregsy.default.svc:8080", "10.244.0.7:8080")
        ]

    assert [one.status for one in answers] == [200] * 4


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
    slow = [
        visit(sockets, site.server.url, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n") for _ in range(CONNECTIONS + 9)
    ]

    answer = await site.ask("/healthz")

    assert answer.status == 200
    assert all([await asyncio.to_thread(is_cut, client) for client in slow[:10]])


class Patient(web_site.Site):
    """Answers nobody, and counts who waits for that."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.view, stage.desk)
        self.begun = self.waiting = 0
        self.changed = asyncio.Event()

    def add_to(self, app: web.Application) -> None:
        """Serve one page."""
        app.add_routes([web.get("/wait", self._wait)])

    async def _wait(self, _: web.Request) -> web.Response:
        self.begun += 1
        self.waiting += 1
        self.changed.set()
        try:
            await asyncio.Event().wait()
            return web.Response()
        finally:
            self.waiting -= 1
            self.changed.set()

    def has_begun(self, count: int) -> bool:
        """Whether so many have come."""
        return self.begun == count

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        while not is_so():
            self.changed.clear()
            await self.changed.wait()


async def test_nothing_is_done_for_who_has_gone(sockets: ExitStack) -> None:
    """The work for a request ends with its connection, whoever ended that: there is no more work than connections."""
    patient = Patient(Stage())
    async with Server(ANY, Metrics(()).registry, Health(60.0), patient) as server, asyncio.timeout(30):
        for count in range(1, CONNECTIONS + 10):
            visit(sockets, server.url, b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await patient.until(partial(patient.has_begun, count))
        await patient.until(lambda: patient.waiting == CONNECTIONS)
        sockets.close()
        await patient.until(lambda: patient.waiting == 0)

    assert patient.begun == CONNECTIONS + 9


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


@pytest.mark.parametrize("part", ["enter", "copy"])
async def test_a_part_that_hangs_is_told(
    part: str, embedded_pair: tuple[EmbeddedRegistry, EmbeddedRegistry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that hangs while it starts means not ready; one that hangs in a copy means stuck, until it goes on."""
    relay = Hanging(part)
    plan = await hanging_plan(relay, embedded_pair, tmp_path, monkeypatch)
    site = Site()

    async with site.server, asyncio.TaskGroup() as group:
        running = group.create_task(app.run(plan, environ=os.environ, listeners=[site.health]))
        await relay.hangs.wait()
        early = [(await site.ask(path)).status for path in ("/healthz", "/readyz")]
        site.time = plan.timeout + PATIENCE + 1.0
        late = await site.ask("/healthz")
        relay.may_go_on.set()
        code = await running
        after = [(await site.ask(path)).status for path in ("/healthz", "/readyz")]

    stuck = {
        "enter": "the scheduler is stuck: it has not looked at its tasks for 3901 s\n",
        "copy": "the task 'only' is stuck: nothing has happened in it for 3901 s\n",
    }
    assert early == {"enter": [200, 503], "copy": [200, 200]}[part]
    assert (late.status, late.text) == (503, stuck[part])
    assert (code, after) == (0, [200, 200])


@dataclass
class Hanging:
    """What a relay does that hangs in one of its parts."""

    part: str
    hangs: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, part: str) -> None:
        """Begin a part."""
        if part == self.part:
            self.hangs.set()
            await self.may_go_on.wait()


RELAY = '''
from pydantic import BaseModel
from dregsy.model.digest import Digest
from dregsy.model.report import Moved
from dregsy.relay import Feature


class Relay:
    """Copies nothing; its settings are a function that is called for each part."""

    Settings = BaseModel
    features = frozenset(Feature)

    def __init__(self, settings, toolbox):
        self.begin = settings

    async def __aenter__(self):
        await self.begin("enter")
        return self

    async def __aexit__(self, *error):
        pass

    async def copy(self, copy, source, targets):
        await self.begin("copy")
        return [Moved(Digest.of(b"")) for _ in targets]
'''


async def hanging_plan(
    relay: Hanging, pair: tuple[EmbeddedRegistry, EmbeddedRegistry], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Plan:
    """Install the relay as pip would, and plan one copy with it."""
    info = folder / "site/hanging-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "hanging_relay.py").write_text(RELAY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hanging\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dregsy.relays.v1]\nhanging = hanging_relay:Relay\n")
    monkeypatch.syspath_prepend(info.parent)
    await seed(pair[0], "app", image("app"), "v1")
    document = mirror(pair[0].host, pair[1].host, {"from": "app"}, name="only")
    (folder / "sync.yaml").write_text(json.dumps(document))
    plan = load(str(folder / "sync.yaml"), environ={}).plan
    return replace(plan, relay=RelayChoice("hanging", relay))
