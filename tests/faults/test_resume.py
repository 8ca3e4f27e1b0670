"""A large layer over links that keep breaking arrives, with each byte read about once."""

from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.images import Image
from dregsy.embedded.server import EmbeddedRegistry
from tests.testbed.copying import Workshop
from tests.testbed.faults import Fault
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

MIB = 2**20
SIZE = 64 * MIB
BREAK = 10 * MIB
SENDING = r"/blobs/uploads/\w"


@pytest.fixture(scope="module")
def large() -> Image:
    """An image with one layer of 64 MiB that no compression or period makes smaller."""
    return images.image("large", layers=1, size=SIZE)


def moved(proxy: RecordingProxy, direction: str) -> int:
    """Count the bytes of blobs that went through a proxy, ``up`` or ``down``."""
    return sum(getattr(one, f"bytes_{direction}") for one in proxy.seen if "/blobs/" in one.path)


@pytest.mark.parametrize("targets", [1, 3])
async def test_the_source_keeps_breaking(
    targets: int, large: Image, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, tmp_path: Path
) -> None:
    """From a real registry that is cut off every 10 MiB, for one target and several: each byte is read about once."""
    push(registry_a.host, repo, large)
    cut = Fault(method="GET", path="/blobs/", cut_at=BREAK, hangs_up=True, times=-1)
    with RecordingProxy(registry_a.host, cut) as source:
        async with Workshop(tmp_path) as shop:
            to = [f"{registry_b.host}/{repo}/to{number}:v1" for number in range(targets)]
            results = await shop.copy(large.digest, f"{source.host}/{repo}", *to)

        assert [getattr(one, "digest", one) for one in results] == [large.digest] * targets
        assert SIZE < moved(source, "down") < 1.25 * SIZE  # more by what lay in buffers when it broke


@pytest.mark.parametrize("targets", [1, 2])
async def test_everything_keeps_breaking(targets: int, large: Image, repo: str, tmp_path: Path) -> None:
    """Where both links break, what the target did not get is read again, and not much more than that."""
    async with EmbeddedRegistry() as a, EmbeddedRegistry() as b:
        await images.seed(a, repo, large)
        down = Fault(method="GET", path="/blobs/sha256", cut_at=BREAK, hangs_up=True, times=-1)
        up = Fault(path=SENDING, cut_upload_at=BREAK - 7, times=-1)
        with RecordingProxy(a.host, down) as source, RecordingProxy(b.host, up) as target:
            async with Workshop(tmp_path, attempts=8) as shop:
                to = [f"{target.host}/{repo}/to{number}:v1" for number in range(targets)]
                results = await shop.copy(large.digest, f"{source.host}/{repo}", *to)

            assert [getattr(one, "digest", one) for one in results] == [large.digest] * targets
            assert moved(source, "down") < 2 * SIZE
            assert moved(target, "up") < 1.5 * SIZE * targets
        for number in range(targets):
            assert b.store.find(f"{repo}/to{number}").resolve("v1") == large.digest
