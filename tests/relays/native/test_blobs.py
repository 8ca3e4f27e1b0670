import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.images import Image
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import DregsyError, Unauthorized
from dregsy.journal import FRESH, Journal
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import Descriptor
from dregsy.model.report import Moved
from relays.native.blobs import Blobs, How
from relays.native.source import Source
from tests.testbed.copying import Workshop
from tests.testbed.proxy import Fault, Gate, RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]
NO_MOUNT = Fault(path="mount=", method="POST", status=404, times=-1)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A native relay."""
    async with Workshop(tmp_path) as workshop:
        yield workshop


def below(image: Image) -> int:
    """Count the bytes of an image's blobs."""
    return sum(map(len, image.blobs.values()))


async def test_there_already(shop: Workshop, embedded_pair: Pair) -> None:
    """A blob that the target repository has is not read and not sent."""
    a, b = embedded_pair
    image = images.image("x/1", layers=3)
    await images.seed(a, "app", image)
    base = image.top.blobs[1].digest
    b.store.open("app").blobs[base] = image.blobs[base]
    moved = await shop.moved(image.digest, f"{a.host}/app", f"{b.host}/app:v1")
    assert (moved.blobs_moved, moved.blobs_mounted, moved.blobs_skipped) == (3, 0, 1)
    assert (a.count("GET", str(base)), b.count("PUT", str(base))) == (0, 0)


async def test_known_elsewhere(
    shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A blob that went to another repository of the same registry is mounted there: nothing is read or sent."""
    image = images.image(repo)
    push(registry_a.host, repo, image)
    with RecordingProxy(registry_a.host) as source:
        await shop.moved(image.digest, f"{source.host}/{repo}", f"{registry_b.host}/{repo}/one:v1")
        moved = await shop.moved(image.digest, f"{source.host}/{repo}", f"{registry_b.host}/{repo}/two:v1")
        assert source.count("GET", "/blobs/") == len(image.blobs)
    assert (moved.blobs_mounted, moved.bytes_read, moved.bytes_written) == (len(image.blobs), 0, 0)


async def test_within_one_registry(shop: Workshop, registry_a: DockerRegistry, repo: str) -> None:
    """Between repositories of one registry everything is mounted."""
    image = images.image(repo)
    push(registry_a.host, repo, image)
    moved = await shop.moved(image.digest, f"{registry_a.host}/{repo}", f"{registry_a.host}/{repo}/copy:v1")
    assert (moved.blobs_mounted, moved.bytes_read, moved.bytes_written) == (len(image.blobs), 0, 0)


@pytest.mark.parametrize("refusal", [{"status": 202}, {"status": 401}, {"status": 403}, {"status": 400}])
async def test_mount_refused(refusal: dict[str, int], shop: Workshop, embedded_pair: Pair) -> None:
    """Where mounting is refused in whatever way, the bytes come from the target registry, not from the source."""
    a, b = embedded_pair
    image = images.image("x")
    await images.seed(a, "app", image)
    fault = Fault(path="mount=", method="POST", times=-1, status=refusal["status"])
    with RecordingProxy(b.host) as target:
        await shop.moved(image.digest, f"{a.host}/app", f"{target.host}/one:v1")
        if refusal["status"] != 202:
            target.faults = [fault]
        else:  # the registry opens an upload instead, as the specification wants
            b.store.mount = lambda *_: False  # type: ignore[method-assign]
        moved = await shop.moved(image.digest, f"{a.host}/app", f"{target.host}/two:v1")
    assert a.count("GET", "/blobs/") == b.count("GET", "/one/blobs/") == len(image.blobs)
    assert (moved.blobs_moved, moved.bytes_read, moved.bytes_written) == (len(image.blobs), 0, below(image))


async def test_a_login_that_runs_out_on_the_way(shop: Workshop, embedded_pair: Pair) -> None:
    """An upload whose login is called stale begins again with a new one."""
    a, b = embedded_pair
    image = images.image("x")
    await images.seed(a, "app", image)
    with RecordingProxy(b.host) as target:
        bearer = {"WWW-Authenticate": f'Bearer realm="http://{target.host}/token"'}
        token = Fault(path="^/token", status=200, body=b'{"token": "new"}', times=-1)
        target.faults = [Fault(path="digest=", method="PUT", status=401, headers=bearer), token]
        moved = await shop.moved(image.digest, f"{a.host}/app", f"{target.host}/app:v1")
    assert moved.blobs_moved == len(image.blobs)
    assert b.store.find("app").resolve("v1") == image.digest


async def test_a_login_that_is_refused_on_the_way(shop: Workshop, embedded_pair: Pair) -> None:
    """An upload that is refused, and for which there is no other login, is not sent again."""
    a, b = embedded_pair
    image = images.image("x", layers=0)
    await images.seed(a, "app", image)
    with RecordingProxy(b.host, Fault(path="digest=", method="PUT", status=401, times=-1)) as target:
        (result,) = await shop.copy(image.digest, f"{a.host}/app", f"{target.host}/app:v1")
        assert target.count("PUT", "digest=") == 1
    assert isinstance(result, Unauthorized)


@pytest.mark.parametrize("trouble", ["gone", "forbidden", "damaged"])
async def test_home_of_no_use(trouble: str, shop: Workshop, embedded_pair: Pair) -> None:
    """Where the other repository has the blob no more, or does not give it, it is read from the source again."""
    a, b = embedded_pair
    image = images.image("x")
    await images.seed(a, "app", image)
    with RecordingProxy(b.host) as target:
        await shop.moved(image.digest, f"{a.host}/app", f"{target.host}/one:v1")
        if trouble == "gone":
            b.store.open("one").blobs.clear()
        elif trouble == "forbidden":
            target.faults = [NO_MOUNT, Fault(path="/one/blobs/", method="GET", status=403, times=-1)]
        else:
            target.faults = [NO_MOUNT, Fault(path="/one/blobs/", method="GET", flip_at=3, times=-1)]
        moved = await shop.moved(image.digest, f"{a.host}/app", f"{target.host}/two:v1")
    assert moved.blobs_moved == len(image.blobs)
    assert a.count("GET", "/blobs/") == 2 * len(image.blobs)
    assert b.store.find("two").resolve("v1") == image.digest


@pytest.mark.parametrize("mounts", [True, False])
async def test_never_twice(mounts: bool, shop: Workshop, embedded_pair: Pair) -> None:
    """However many images, tags and repositories share blobs and are copied at once: each is read and sent once."""
    a, b = embedded_pair
    all_images = [images.image(f"base/{number % 10}", layers=4) for number in range(40)]
    for number, image in enumerate(all_images):
        await images.seed(a, f"app{number % 5}", image, f"v{number}")
    every = {digest for image in all_images for digest in image.blobs}
    with RecordingProxy(b.host, *([] if mounts else [NO_MOUNT])) as target:
        places = asyncio.Semaphore(8)

        async def copy(number: int, image: Image) -> Moved:
            async with places:
                name = f"app{number % 5}"
                return await shop.moved(image.digest, f"{a.host}/{name}", f"{target.host}/{name}:v{number}")

        async with asyncio.TaskGroup() as group:
            copies = [group.create_task(copy(number, image)) for number, image in enumerate(all_images)]
    read = [one.path.rpartition("/")[2] for one in a.requests if one.method == "GET" and "/blobs/" in one.path]
    assert sorted(read) == sorted(map(str, every))
    if mounts:
        assert sum(one.result().blobs_moved or 0 for one in copies) == b.count("PUT", "/blobs/uploads/") == len(every)


async def test_leader_fails(shop: Workshop, embedded_pair: Pair) -> None:
    """When the copy that brings a shared blob fails, one that waited for it takes over."""
    a, b = embedded_pair
    image = images.image("x", layers=1)
    for name in ("one", "two"):
        await images.seed(a, name, image)
    gate = Gate()
    bad = Fault(path="/one/blobs/uploads/", method="PUT", status=507, gate=gate, times=-1)
    with RecordingProxy(b.host, bad) as target:
        async with asyncio.TaskGroup() as group:
            leader = group.create_task(shop.copy(image.digest, f"{a.host}/one", f"{target.host}/one:v1"))
            await gate.arrival()
            next_one = group.create_task(shop.copy(image.digest, f"{a.host}/two", f"{target.host}/two:v1"))
            gate.open()
    assert isinstance(leader.result()[0], DregsyError)
    assert isinstance(next_one.result()[0], Moved)
    assert b.store.find("two").resolve("v1") == image.digest


async def test_leader_cancelled(shop: Workshop, embedded_pair: Pair) -> None:
    """When the copy that brings a shared blob is cancelled, one that waited for it takes over."""
    a, b = embedded_pair
    image = images.image("x", layers=1)
    await images.seed(a, "app", image)
    gate = Gate()
    with RecordingProxy(b.host, Fault(path="/one/blobs/uploads/", method="PUT", gate=gate, times=-1)) as target:
        async with asyncio.TaskGroup() as group:
            leader = group.create_task(shop.copy(image.digest, f"{a.host}/app", f"{target.host}/one:v1"))
            await gate.arrival()
            next_one = group.create_task(shop.moved(image.digest, f"{a.host}/app", f"{target.host}/two:v1"))
            while not target.count("HEAD", "/v2/") and not target.count("POST", "/one/"):
                await asyncio.sleep(0)
            leader.cancel()
        gate.open()
    assert leader.cancelled()
    assert next_one.result().blobs_moved == len(image.blobs)


async def test_one_tag_by_two(shop: Workshop, embedded_pair: Pair) -> None:
    """Two copies of the same tag at the same time do not get in each other's way, nor read anything twice."""
    a, b = embedded_pair
    image = images.image("x")
    await images.seed(a, "app", image)
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(shop.moved(image.digest, f"{a.host}/app", f"{b.host}/app:v1"))
    assert b.store.find("app").resolve("v1") == image.digest
    assert a.count("GET", "/blobs/") == len(image.blobs)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_ensure(algorithm: str, tmp_path: Path, shop: Workshop, embedded_pair: Pair) -> None:
    """A blob is moved, then mounted, then known; what was forgotten is asked for again."""
    a, b = embedded_pair
    content = b"some layer"
    blob = Descriptor(images.OCI_LAYER, Digest.of(content, algorithm), len(content))
    a.store.open("app").blobs[blob.digest] = content
    target, known, sent = shop.registries.at(Endpoint(b.host)), Blobs(shop.journal), list[int]()
    registry = shop.registries.at(Endpoint(a.host))
    async with Source(registry, "app", 1, tmp_path, lambda _: None, {}) as source:

        async def bring(repository: str) -> How:
            return await known.ensure(target, repository, blob, source, sent.append)

        assert [await bring(name) for name in ("one", "one", "two")] == [How.MOVED, How.BELIEVED, How.MOUNTED]
        known.forget(target, [blob, Descriptor("", Digest.of(b"never seen"), 1)])
        assert await bring("two") is How.SKIPPED
        known.forget(target, [blob])
        assert await bring("three") is How.MOVED
    assert (sum(sent), b.count("HEAD", "/blobs/")) == (2 * len(content), 3)


async def test_old_knowledge_is_not_believed(tmp_path: Path, embedded_pair: Pair) -> None:
    """Where a blob is is looked up again after a while: the target may have deleted what nobody named."""
    a, b = embedded_pair
    image = images.image("x/1")
    await images.seed(a, "app", image)
    now = [1e9]
    async with Workshop(tmp_path / "shop", journal=Journal(now=lambda: now[0])) as shop:
        first = await shop.moved(image.digest, f"{a.host}/app", f"{b.host}/app:v1")
        now[0] += FRESH
        b.log.clear()
        second = await shop.moved(image.digest, f"{a.host}/app", f"{b.host}/app:v2")
    assert (first.blobs_moved, second.blobs_skipped) == (len(image.blobs), len(image.blobs))
    assert b.count("HEAD", "/blobs/") == len(image.blobs)
