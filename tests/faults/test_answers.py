"""Answers that are wrong in themselves: lengths, packed JSON, no HEAD, addresses that run out, uploads that vanish.

Each in every phase that it can meet: passing ones are outlived, lasting ones do no harm.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dregsy.model.endpoint import Endpoint
from dregsy.model.report import Report, Status
from tests.faults.conftest import LONG, PHASES, graph_at
from tests.faults.test_table import made
from tests.testbed.certificates import Authority
from tests.testbed.clients import given, registries
from tests.testbed.copying import Workshop, rule, task
from tests.testbed.faults import Fault
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import bearer, push
from tests.testbed.servers import DockerRegistry
from tests.testbed.tokens import Grant, TokenServer

BOMB = gzip.compress(bytes(2**26))
DEEP = b'{"tags":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
UNKNOWN = json.dumps({"errors": [{"code": "BLOB_UPLOAD_UNKNOWN", "message": "blob upload unknown to registry"}]})

TOKEN = "token"
AT_TARGET = {
    "target's head": PHASES["head"],
    "target's blob head": Fault(method="HEAD", path="/blobs/sha256"),
    **{name: PHASES[name] for name in ("upload start", "upload body", "manifest put")},
}
AT_SOURCE = {name: PHASES[name] for name in ("list", "head", "manifest get", "blob get")}
WHERE = {TOKEN: Fault(method="GET", path="^/token"), **AT_SOURCE, **AT_TARGET}
BODIES = (TOKEN, "list", "manifest get", "blob get")
HEADS = ("head", "target's head", "target's blob head")


@dataclass(frozen=True)
class Kind:
    """A fault, the phases that it can meet, and those in which it does no harm however long it lasts."""

    at: Callable[[Fault], Fault]
    phases: tuple[str, ...]
    harmless: tuple[str, ...] = ()


KINDS = {
    "length too large": Kind(lambda at: replace(at, claims=10), BODIES, ("blob get",)),
    "length too small": Kind(lambda at: replace(at, claims=-10), BODIES),
    "length of nothing": Kind(lambda at: replace(at, claims=-(10**9)), BODIES),
    "gzip": Kind(lambda at: replace(at, packs=True), BODIES, (TOKEN, "list", "manifest get")),
    "gzip without end": Kind(lambda at: replace(at, status=200, body=gzip.compress(b"{}")[:-4]), BODIES),
    "gzip that is none": Kind(lambda at: replace(at, status=200, body=b"\x1f\x8bno"), BODIES),
    "bomb": Kind(lambda at: replace(at, status=200, body=BOMB), BODIES),
    "bomb in an error": Kind(lambda at: replace(at, status=500, body=BOMB), tuple(WHERE)),
    "deep JSON": Kind(lambda at: replace(at, status=200, body=DEEP), BODIES),
    "deep JSON in an error": Kind(lambda at: replace(at, status=500, body=DEEP), tuple(WHERE)),
    "HEAD is not allowed": Kind(lambda at: replace(at, status=405), HEADS, HEADS),
    "HEAD is unknown": Kind(lambda at: replace(at, status=501), HEADS, HEADS),
    "HEAD finds nothing": Kind(lambda at: replace(at, status=404), HEADS, HEADS),
    "an address that ran out": Kind(lambda at: replace(at, redirect=True, expired=True), ("manifest get", "blob get")),
    "an upload that is unknown": Kind(lambda at: replace(at, status=404, body=UNKNOWN.encode()), ("upload body",)),
    "an upload that vanishes": Kind(lambda at: replace(at, status=201), ("upload body", "upload start")),
    "a manifest that vanishes": Kind(lambda at: replace(at, status=201), ("manifest put",)),
}
ALL = [(kind, phase) for kind, one in KINDS.items() for phase in one.phases]
FINAL = {("bomb", phase) for phase in (TOKEN, "list", "manifest get")}
"""What is not asked for again: it does not come about by accident."""


@dataclass
class Bed:
    """A source with a token server, both behind proxies, and a target behind another."""

    login: TokenServer
    source: RecordingProxy
    tokens: RecordingProxy
    target: RecordingProxy

    def place(self, phase: str) -> RecordingProxy:
        """The proxy that a phase passes."""
        return self.tokens if phase == TOKEN else self.target if phase in AT_TARGET else self.source


@pytest.fixture(scope="module")
def login_server(authority: Authority) -> Iterator[TokenServer]:
    """Tokens for alice, who may do everything."""
    users = {"alice": "correct-horse"}
    with TokenServer(authority, users=users, grants=[Grant("alice", "*", frozenset({"pull", "push"}))]) as server:
        yield server


@pytest.fixture(scope="module")
def bed(
    login_server: TokenServer, registry_b: DockerRegistry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bed]:
    """All that stands in the way of a copy."""
    with RecordingProxy(login_server.host) as tokens:
        config = login_server.config()
        config["auth"]["token"]["realm"] = f"http://{tokens.host}/token"
        folder = tmp_path_factory.mktemp("guarded")
        with (
            DockerRegistry(folder, extra=config) as guarded,
            RecordingProxy(guarded.host) as source,
            RecordingProxy(registry_b.host) as target,
        ):
            yield Bed(login_server, source, tokens, target)


async def outcome(bed: Bed, kind: str, phase: str, times: int, repository: str, folder: Path) -> tuple[Report, str]:
    """Copy an image with a fault in the way; it must have struck."""
    image = made(repository)
    token = bed.login.mint("alice", f"repository:{repository}:pull,push")
    push(bed.source.host, repository, image, "v1", headers=bearer(token))
    fault = KINDS[kind].at(WHERE[phase])
    fault.times = times
    proxy = bed.place(phase)
    proxy.faults = [fault]
    try:
        async with Workshop(folder, timeouts=LONG) as shop:
            way = task(bed.source.host, (bed.target.host,), rule(repository))
            way = replace(way, source=Endpoint(bed.source.host, credentials=given("alice", "correct-horse")))
            report = await shop.run(way, retries=2)
    finally:
        proxy.faults = []
    assert fault.times < times
    async with registries() as clients:
        return report, await graph_at(clients, bed.target.host, repository, "v1", image)


@pytest.mark.parametrize(("kind", "phase"), ALL)
async def test_a_passing_fault(kind: str, phase: str, bed: Bed, repo: str, tmp_path: Path) -> None:
    """What goes wrong twice costs time and nothing else, unless it cannot be an accident."""
    report, found = await outcome(bed, kind, phase, 2, repo, tmp_path)

    expected = ("nothing", Status.FAILED) if (kind, phase) in FINAL else ("whole", Status.COPIED)
    assert [(found, one.status) for one in report.outcomes] == [expected], report.failures


@pytest.mark.parametrize(("kind", "phase"), ALL)
async def test_a_lasting_fault(kind: str, phase: str, bed: Bed, repo: str, tmp_path: Path) -> None:
    """What always goes wrong has an end, is told in words, and leaves nothing at the target that is not whole."""
    report, found = await outcome(bed, kind, phase, -1, repo, tmp_path)

    assert found in {"nothing", "whole"}
    assert report.ok == (phase in KINDS[kind].harmless)
    assert found == "whole" or not report.ok
    assert [one.failure.kind for one in report.failures if one.failure and one.failure.kind == "bug"] == []
