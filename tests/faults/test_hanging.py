"""Servers that take connections and never say a word, and addresses that are good for one request only."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.model.report import Report
from dregsy.model.timeouts import Timeouts
from tests.faults.conftest import graph_at
from tests.testbed.clients import registries
from tests.testbed.copying import Workshop, rule, task
from tests.testbed.faults import Fault
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

TINY = Timeouts(connect=1.0, first=1.0, read=1.0, stall=1.0, commit=1.0, whole=1.0, greeting=1.0)


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of a server whose system takes connections, and which itself never does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield "{}:{}".format(*listening.getsockname())


async def copied(folder: Path, source: str, target: str, repo: str, limits: Timeouts = TINY) -> Report:
    """Run a task for all tags of a repository."""
    async with Workshop(folder, timeouts=limits) as shop:
        return await shop.run(task(source, (target,), rule(repo)), retries=1)


@pytest.mark.parametrize("side", ["source", "target"])
async def test_a_registry(side: str, mute: str, registry_a: DockerRegistry, repo: str, tmp_path: Path) -> None:
    """A source or target that hangs is named, and nothing waits for it for ever."""
    push(registry_a.host, repo, images.image(repo), "v1")
    hosts = (mute, registry_a.host) if side == "source" else (registry_a.host, mute)
    report = await copied(tmp_path, *hosts, repo)

    assert [(one.failure.kind, mute in one.failure.message) for one in report.failures if one.failure] == [
        ("unreachable", True)
    ]


WAYS = {
    "a token server": lambda mute: Fault(
        path="^/v2/", status=401, headers={"WWW-Authenticate": f'Bearer realm="http://{mute}/token"'}, times=-1
    ),
    "a content network": lambda mute: Fault(
        path="/blobs/sha256", method="GET", status=307, headers={"Location": f"http://{mute}/blob?sig=x"}, times=-1
    ),
    "a place for uploads": lambda mute: Fault(
        path="/blobs/uploads/", method="POST", status=202, headers={"Location": f"http://{mute}/u?_state=x"}, times=-1
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_where_a_registry_leads(
    way: str, mute: str, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, tmp_path: Path
) -> None:
    """What a registry sends its clients to may hang: that is told with its address, and the tag is not written."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    fault = WAYS[way](mute)
    with RecordingProxy(registry_a.host) as source, RecordingProxy(registry_b.host) as target:
        (target if way == "a place for uploads" else source).faults = [fault]
        report = await copied(tmp_path, source.host, target.host, repo)

    assert fault.times < -1
    assert [(one.failure.kind, mute in one.failure.message) for one in report.failures if one.failure] == [
        ("unreachable", True)
    ]
    async with registries() as clients:
        assert await graph_at(clients, registry_b.host, repo, "v1", image) == "nothing"


async def test_an_address_that_is_good_once(
    registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, tmp_path: Path
) -> None:
    """A download that breaks off asks the registry for a new signed address: the first one is refused by now."""
    image = images.image(repo, layers=1, size=3 * 2**20)
    push(registry_a.host, repo, image, "v1")
    with RecordingProxy(registry_a.host) as source:
        source.faults = [Fault(path="/blobs/sha256", method="GET", redirect=True, times=-1)]
        source.cdn.once = Fault(path="", cut_at=2**20, hangs_up=True)
        report = await copied(tmp_path, source.host, registry_b.host, repo, replace(TINY, greeting=5.0, connect=5.0))

        assert (report.failures, report.ok) == ((), True)
        addresses = [one.query for one in source.cdn.seen]
        assert len(addresses) == len(set(addresses)) > len(image.blobs)
    async with registries() as clients:
        assert await graph_at(clients, registry_b.host, repo, "v1", image) == "whole"
