import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import DregsyError, ImageError, NotFound, RelayError
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import UNKNOWN_SIZE, Descriptor
from dregsy.model.platform import Platform
from dregsy.model.report import Moved
from dregsy.model.subset import subset
from relays.native.source import Shared, Source
from tests.testbed.copying import Workshop, kept_in
from tests.testbed.proxy import Fault, Gate, RecordingProxy

Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]
CONTENT = bytes(range(256)) * 1000
BLOB = Descriptor(images.OCI_LAYER, Digest.of(CONTENT), len(CONTENT))


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A native relay, for its registry clients."""
    async with Workshop(tmp_path) as workshop:
        yield workshop


def reading(shop: Workshop, host: str, *, readers: int = 2, shared: Shared | None = None, name: str = "app") -> Source:
    """Begin to read from a repository."""
    registry = shop.registries.at(Endpoint(host))
    return Source(registry, name, readers, shop.scratch, lambda _: None, {} if shared is None else shared)


async def taken(source: Source, blob: Descriptor = BLOB) -> tuple[int, bytes]:
    """Read a blob to its end."""
    async with source.blob(blob) as stream:
        return stream.size, b"".join([chunk async for chunk in stream.chunks])


async def test_manifest_once(shop: Workshop, embedded_pair: Pair) -> None:
    """A manifest is fetched once, however many ask for it, also at the same time."""
    a, _ = embedded_pair
    image = images.image("x")
    await images.seed(a, "app", image)
    async with reading(shop, a.host) as source, asyncio.TaskGroup() as group:
        asked = [group.create_task(source.manifest(image.digest)) for _ in range(3)]
    assert [one.result().raw for one in asked] == [image.top.raw] * 3
    assert a.count("GET", "/manifests/") == 1


async def test_cut(shop: Workshop, embedded_pair: Pair) -> None:
    """An index of some platforms is made as it was decided on, or not at all."""
    a, _ = embedded_pair
    arm = Platform("linux", "arm64")
    index = images.index(images.image("x"), images.image("x/arm", platform=arm))
    await images.seed(a, "app", index)
    made = subset(index.top, [arm], name="x")
    async with reading(shop, a.host) as source:
        await source.cut(index.digest, [arm], made.digest)
        assert (await source.manifest(made.digest)).raw == made.raw
        with pytest.raises(ImageError, match="report it"):
            await source.cut(index.digest, [images.AMD64], made.digest)


@pytest.mark.parametrize("readers", [1, 2])
@pytest.mark.parametrize("size", [len(CONTENT), UNKNOWN_SIZE])
async def test_blob(readers: int, size: int, shop: Workshop, embedded_pair: Pair) -> None:
    """A blob comes whole and with its size, also where the manifest and the registry tell none."""
    a, _ = embedded_pair
    a.store.open("app").blobs[BLOB.digest] = CONTENT
    with RecordingProxy(a.host, Fault(path="/blobs/", strip=("Content-Length",), times=-1)) as proxy:
        async with reading(shop, proxy.host, readers=readers) as source:
            blob = Descriptor(BLOB.media_type, BLOB.digest, size)
            assert [await taken(source, blob) for _ in range(readers)] == [(len(CONTENT), CONTENT)] * readers
    assert a.count("GET", "/blobs/") == 1


async def test_nobody_wants_it(shop: Workshop, embedded_pair: Pair) -> None:
    """A read that nobody waits for any more ends with the copy."""
    a, _ = embedded_pair
    a.store.open("app").blobs[BLOB.digest] = CONTENT
    gate = Gate()
    with RecordingProxy(a.host, Fault(path="/blobs/", gate=gate)) as proxy:
        shared: Shared = {}
        async with reading(shop, proxy.host, shared=shared) as source, source.blob(BLOB):
            await gate.arrival()
            (spool,) = shared.values()
        gate.open()
    assert (shared, spool.file.is_open) == ({}, False)
    assert isinstance(spool.error, RelayError)


async def test_one_file(shop: Workshop, embedded_pair: Pair) -> None:
    """However many blobs of a copy are kept for slow targets, they take one open file."""
    a, _ = embedded_pair
    contents = [str(number).encode() * 1000 for number in range(40)]
    a.store.open("app").blobs.update({Digest.of(one): one for one in contents})
    async with reading(shop, a.host) as source:
        for one in contents:
            assert await taken(source, Descriptor("", Digest.of(one), len(one))) == (len(one), one)
        before = a.count("GET", "/blobs/")
        for one in contents:
            assert await taken(source, Descriptor("", Digest.of(one), len(one))) == (len(one), one)
        assert len(kept_in(shop.scratch)) == 1
    assert kept_in(shop.scratch) == []
    assert a.count("GET", "/blobs/") == before == 40


async def test_shared(shop: Workshop, embedded_pair: Pair) -> None:
    """Two copies that need the same blob at the same time read it once, also from different repositories."""
    a, _ = embedded_pair
    for name in ("one", "two"):
        a.store.open(name).blobs[BLOB.digest] = CONTENT
    shared: Shared = {}
    async with reading(shop, a.host, shared=shared, name="two") as late:
        async with reading(shop, a.host, shared=shared, name="one") as source:
            assert await taken(source) == (len(CONTENT), CONTENT)
            joined = late.blob(BLOB)
            stream = await joined.__aenter__()
        assert shared == {}
        assert b"".join([chunk async for chunk in stream.chunks]) == CONTENT, "the file stays while it is read"
        await joined.__aexit__(None, None, None)
    assert a.count("GET", "/blobs/") == 1


async def test_other_copy_fails(shop: Workshop, embedded_pair: Pair) -> None:
    """Where another copy cannot read a shared blob, each reads it for itself before it gives up."""
    a, _ = embedded_pair
    a.store.open("two").blobs[BLOB.digest] = CONTENT
    shared: Shared = {}
    async with reading(shop, a.host, shared=shared, name="one") as one:
        async with reading(shop, a.host, shared=shared, name="two") as two, asyncio.TaskGroup() as group:
            refused = group.create_task(_refused(one))
            joined = group.create_task(taken(two))
        assert isinstance(refused.result(), NotFound)
        assert joined.result() == (len(CONTENT), CONTENT)


async def _refused(source: Source) -> DregsyError:
    with pytest.raises(DregsyError) as caught:
        await taken(source)
    return caught.value


async def test_other_copy_gives_up(shop: Workshop, embedded_pair: Pair) -> None:
    """A read that is broken off in the middle by the copy that began it fails those that joined, for another round."""
    a, _ = embedded_pair
    large = b"x" * 5_000_000
    blob = Descriptor(BLOB.media_type, Digest.of(large), len(large))
    a.store.open("app").blobs[blob.digest] = large
    shared: Shared = {}
    async with reading(shop, a.host, shared=shared) as two:
        async with reading(shop, a.host, shared=shared) as one, one.blob(blob):
            joined = two.blob(blob)
            stream = await joined.__aenter__()
            first = await anext(stream.chunks)
        assert large.startswith(first)
        with pytest.raises(RelayError) as caught:
            async for _ in stream.chunks:
                pass
        assert caught.value.retryable
        await joined.__aexit__(None, None, None)


async def test_one_read_for_a_run(shop: Workshop, embedded_pair: Pair) -> None:
    """Many copies at once to two registries, sharing layers, read each blob from the source once in all."""
    a, b = embedded_pair
    many = [images.image(f"base/{number % 7}", layers=4) for number in range(40)]
    for number, image in enumerate(many):
        await images.seed(a, f"app{number % 5}", image)
    async with EmbeddedRegistry() as c:
        places = asyncio.Semaphore(8)

        async def copy(name: str, number: int) -> list[Moved | DregsyError]:
            async with places:
                targets = [
                    f"{host}/{name}:v{number}" for host in ((b.host, c.host) if number % 2 else (c.host, b.host))
                ]
                return await shop.copy(many[number].digest, f"{a.host}/{name}", *targets)

        async with asyncio.TaskGroup() as group:
            copies = [group.create_task(copy(f"app{number % 5}", number)) for number in range(len(many))]
        results = [one for copy in copies for one in copy.result()]
        assert {type(one) for one in results} == {Moved}
        every = {digest for image in many for digest in image.blobs}
        for registry in (a, b, c):
            moved = "GET" if registry is a else "PUT"
            assert registry.count(moved, "/blobs/") == len(every)
