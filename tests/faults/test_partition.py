"""The network between here and the registries goes away in the middle of a copy: no packet passes, and nobody says so.

Or some packets do not. Two network namespaces, joined by a wire in user space that can be cut; needs root.
"""

from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from benchmarks.link import REGISTRY_ADDRESS, Link, inside
from dregsy.embedded import images
from tests.e2e.test_signals import end, wait_for, wait_until
from tests.testbed.command import Dregsy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

SECONDS = 0.02
"""From one side to the other, so that a layer takes a while."""
SIZE = 40 * 2**20
SOME = 2**20
"""Bytes of an upload, after which the link is cut."""
LOSSY_SIZE = 2 * 2**20
LIMITS = {"connect": "1s", "first-byte": "1s", "stalled": "1s", "upload-answer": "2s"}


@pytest.fixture
def link() -> Iterator[Link]:
    """The only way between the command and its registries."""
    with Link(SECONDS) as link:
        yield link


@pytest.fixture
def ends(link: Link, tmp_path: Path) -> Iterator[tuple[DockerRegistry, DockerRegistry]]:
    """Source and target, both at the other end."""
    within = ("ip", "netns", "exec", link.registries)
    with (
        DockerRegistry(tmp_path / "source", address=REGISTRY_ADDRESS, within=within) as source,
        DockerRegistry(tmp_path / "target", address=REGISTRY_ADDRESS, within=within) as target,
    ):
        yield source, target


def uploaded(registry: DockerRegistry) -> int:
    """How many bytes of uploads have arrived."""
    files = registry.data.glob("docker/registry/v2/repositories/app/_uploads/*/data")
    return sum(file.stat().st_size for file in files)


def cut_off(link: Link, ends: tuple[DockerRegistry, DockerRegistry], dregsy: Dregsy) -> "Popen[str]":
    """Start a copy, and lose the link when a part of a layer has arrived."""
    source, target = ends
    with inside(link.registries):
        push(source.host, "app", images.image("partition", layers=1, size=SIZE), "v1")
    places = [{"registry": one.host, "skip-tls-verify": True} for one in ends]
    task = {"name": "over", "source": places[0], "target": places[1], "mappings": [{"from": "app"}]}
    file = dregsy.config({"relay": "native", "timeouts": LIMITS, "retries": 1, "tasks": [task]})
    process = dregsy.start("-config", file)
    wait_until(lambda: uploaded(target) > SOME or process.poll() is not None)
    link.cut()
    assert process.poll() is None, (dregsy.folder / "out").read_text()
    return process


@pytest.fixture
def lossy() -> Iterator[Link]:
    """A way on which two of a hundred packets are lost."""
    with Link(0.001, lost=0.02) as link:
        yield link


def test_packets_are_lost(lossy: Link, tmp_path: Path) -> None:
    """A copy over a bad link takes longer, and is whole."""
    dregsy = Dregsy(tmp_path / "user", within=("ip", "netns", "exec", lossy.tools))
    within = ("ip", "netns", "exec", lossy.registries)
    with (
        DockerRegistry(tmp_path / "source", address=REGISTRY_ADDRESS, within=within) as source,
        DockerRegistry(tmp_path / "target", address=REGISTRY_ADDRESS, within=within) as target,
    ):
        with inside(lossy.registries):
            push(source.host, "app", images.image("loss", size=LOSSY_SIZE), "v1", "v2")
        places = [{"registry": one.host, "skip-tls-verify": True} for one in (source, target)]
        task = {"name": "over", "source": places[0], "target": places[1], "mappings": [{"from": "app"}]}
        done = dregsy.run("-config", dregsy.config({"relay": "native", "tasks": [task]}))
        assert (done.code, done.err) == (0, "")
        assert dregsy.run("verify", "--deep", "-config", "sync.yaml").out == "2 whole\n"


def test_it_comes_back(link: Link, ends: tuple[DockerRegistry, DockerRegistry], tmp_path: Path) -> None:
    """Once packets pass again, the copy goes on, and comes to its end in the same run."""
    dregsy = Dregsy(tmp_path / "user", within=("ip", "netns", "exec", link.tools))
    process = cut_off(link, ends, dregsy)
    wait_for(dregsy.folder / "out", " in time; ")
    link.mend()

    assert end(process) == 0, (dregsy.folder / "out").read_text()
    assert dregsy.run("verify", "--deep", "-config", "sync.yaml").out == "1 whole\n"


def test_it_stays_away(link: Link, ends: tuple[DockerRegistry, DockerRegistry], tmp_path: Path) -> None:
    """Where no packet passes any more, the run ends by its limits and says why; the target has no tag, until later."""
    dregsy = Dregsy(tmp_path / "user", within=("ip", "netns", "exec", link.tools))
    process = cut_off(link, ends, dregsy)

    assert end(process) == 1
    said = (dregsy.folder / "out").read_text()
    assert f"failed: {ends[0].host}/app:v1 -> {ends[1].host}/app:v1: " in said
    assert REGISTRY_ADDRESS in said.partition("failed: ")[2].partition(": ")[2]
    link.mend()
    assert dregsy.run("verify", "-config", "sync.yaml").out.endswith("1 missing\n")
    assert dregsy.run("-config", "sync.yaml").code == 0
    assert dregsy.run("verify", "--deep", "-config", "sync.yaml").out == "1 whole\n"
