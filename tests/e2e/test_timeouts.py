"""Time limits of the config file: a short one is obeyed, by the command itself, and told in words."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dregsy.embedded import images
from tests.testbed.command import Dregsy, mirror
from tests.testbed.faults import Fault, Gate
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield "{}:{}".format(*listening.getsockname())


def said(folder: Path, source: str, target: str, repo: str, **timeouts: str) -> str:
    """Run a task that is to fail; return what it said."""
    dregsy = Dregsy(folder / "user")
    document = {"relay": "native", "retries": 0, "timeouts": timeouts, **mirror(source, target, {"from": repo})}
    done = dregsy.run("-config", dregsy.config(document))
    assert done.code == 1
    return done.said


def test_connect(mute: str, tmp_path: Path) -> None:
    """A registry that takes connections and says nothing is waited for so long."""
    assert f"{mute} takes connections, but does not answer" in said(tmp_path, mute, mute, "a/b", connect="500ms")


FAULTS = {
    "first-byte": Fault(path="/tags/list", gate=Gate(), times=-1),
    "stalled": Fault(path="/blobs/{layer}", method="GET", gate=Gate(), stop_at=1, times=-1),
    "upload-answer": Fault(path="/blobs/uploads/", method="PUT", gate=Gate(), times=-1),
}


@pytest.mark.parametrize("key", FAULTS)
def test_an_answer(key: str, tmp_path: Path, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str) -> None:
    """An answer that does not begin, one that does not go on, and one to an upload have each a limit of their own."""
    image = images.image(repo, layers=1, size=300_000)
    push(registry_a.host, repo, image, "v1")
    fault = replace(FAULTS[key], path=FAULTS[key].path.replace("{layer}", str(image.top.blobs[-1].digest)))
    with RecordingProxy(registry_a.host) as source, RecordingProxy(registry_b.host) as target:
        proxy = target if key == "upload-answer" else source
        proxy.faults = [fault]
        try:
            told = said(tmp_path, source.host, target.host, repo, **{key: "500ms"})
        finally:
            assert fault.gate is not None
            fault.gate.open()

    assert f"{proxy.host} did not answer in time" in told
