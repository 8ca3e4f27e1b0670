from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.images import Image
from dregsy.embedded.server import EmbeddedRegistry
from tests.testbed.copying import Workshop
from tests.testbed.proxy import Fault, RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A native relay."""
    async with Workshop(tmp_path) as workshop:
        yield workshop


async def three(shop: Workshop, source: EmbeddedRegistry, target: str) -> list[Image]:
    """Copy three images that share nothing, one after the other, to one repository."""
    made = [images.image(f"x{number}/app", layers=2) for number in range(3)]
    for number, image in enumerate(made):
        await images.seed(source, "app", image)
        await shop.moved(image.digest, f"{source.host}/app", f"{target}:v{number}")
    return made


async def test_proven(shop: Workshop, embedded_pair: Pair) -> None:
    """A registry that finds a blob by a mount from its own repository is sent no HEAD for blobs after that.

    The blobs of one image are asked for at once: those of the second are, when its first one is the proof.
    """
    a, b = embedded_pair
    made = await three(shop, a, f"{b.host}/app")
    blobs = [len(image.blobs) for image in made]
    assert b.count("HEAD", "/blobs/") == blobs[0] + blobs[1]
    assert b.count("POST", "/blobs/uploads/") == sum(blobs) + 1
    assert all(set(image.blobs) <= set(b.store.open("app").blobs) for image in made)


async def test_proven_and_there(shop: Workshop, embedded_pair: Pair) -> None:
    """A blob that is there already is found by the mount, neither read nor sent."""
    a, b = embedded_pair
    await three(shop, a, f"{b.host}/app")
    image = images.image("x/new", layers=2)
    await images.seed(a, "app", image)
    there = image.top.blobs[1].digest
    b.store.open("app").blobs[there] = image.blobs[there]
    moved = await shop.moved(image.digest, f"{a.host}/app", f"{b.host}/app:new")
    assert (moved.blobs_moved, moved.blobs_skipped) == (len(image.blobs) - 1, 1)
    assert a.count("GET", str(there)) == b.count("PUT", str(there)) == 0


async def test_real_registry(shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str) -> None:
    """docker-registry finds blobs by a mount."""
    made = [images.image(f"{repo[5:]}{number}/app", layers=2) for number in range(3)]
    with RecordingProxy(registry_b.host) as target:
        for number, image in enumerate(made):
            push(registry_a.host, repo, image)
            await shop.moved(image.digest, f"{registry_a.host}/{repo}", f"{target.host}/{repo}:v{number}")
        assert target.count("HEAD", "/blobs/") == 2 * len(made[0].blobs)


@pytest.mark.parametrize("status", [202, 400, 401, 403, 405])
async def test_not_proven(status: int, shop: Workshop, embedded_pair: Pair) -> None:
    """A registry that refuses such a mount, in whatever way, is asked for each blob by HEAD, and once for the proof.

    The upload that it may open for the proof is used: nothing is left open, and no request is lost.
    """
    a, b = embedded_pair
    upload = f"/v2/app/blobs/uploads/{b.store.open('app').start_upload().id}"
    with RecordingProxy(
        b.host, Fault(path="mount=", method="POST", times=-1, status=status, headers={"Location": upload})
    ) as target:
        made = await three(shop, a, f"{target.host}/app")
        blobs = sum(len(image.blobs) for image in made)
        assert target.count("POST", "mount=") == 1
        assert target.count("HEAD", "/blobs/") == blobs
        assert target.count("POST", "/uploads/") == (blobs if status == 202 else blobs + 1)
    assert all(set(image.blobs) <= set(b.store.open("app").blobs) for image in made)


async def test_a_mount_that_lies(shop: Workshop, embedded_pair: Pair) -> None:
    """A registry that says of every mount that it is done gets all blobs nevertheless, before any manifest."""
    a, b = embedded_pair
    lie = Fault(path="mount=", method="POST", times=-1, status=201)
    with RecordingProxy(b.host, lie) as target:
        made = await three(shop, a, f"{target.host}/app")
    assert all(set(image.blobs) <= set(b.store.open("app").blobs) for image in made)
    assert set(b.store.open("app").tags) == {"v0", "v1", "v2"}
