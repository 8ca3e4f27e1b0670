import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from dregsy.embedded import images
from dregsy.embedded.images import Image
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import DigestMismatch, DregsyError, NotFound, RegistryError, RelayError
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import DOCKER_SCHEMA1_SIGNED, OCI_INDEX, OCI_MANIFEST, Manifest
from dregsy.model.plan import Copy
from dregsy.model.platform import Platform
from dregsy.model.ref import Ref
from dregsy.model.report import CopyProgress, Moved
from dregsy.model.subset import subset
from dregsy.relay import Feature
from relays.native.relay import NativeRelay, Settings
from tests.testbed.copying import Workshop, kept_in, left_over, retopped
from tests.testbed.proxy import Fault, Gate, RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo

ARM64 = Platform("linux", "arm64")
Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A native relay that gives up after one repetition."""
    async with Workshop(tmp_path) as workshop:
        yield workshop


def plain_entries(image: Image) -> Image:
    """Take the platforms out of an index."""
    entries = json.loads(image.top.raw)["manifests"]
    return retopped(image, manifests=[{k: v for k, v in one.items() if k != "platform"} for one in entries])


GRAPHS: dict[str, Callable[[str], Image]] = {
    "oci image": images.image,
    "docker image": lambda text: images.image(text, docker=True),
    "no layers": lambda text: images.image(text, layers=0),
    "oci index": lambda text: images.index(images.image(text), images.image(f"{text}/arm", platform=ARM64)),
    "docker index": lambda text: images.index(images.image(text, docker=True), docker=True),
    "attested": lambda text: images.index(images.image(text), attested=True),
    "nested index": lambda text: images.index(images.index(images.image(text)), images.image(f"{text}/2")),
    "index without platforms": lambda text: plain_entries(images.index(images.image(text))),
    "one child twice": lambda text: images.index(images.image(text), images.image(text)),
    "unknown fields": lambda text: retopped(images.image(text), futuristic={"of": [text, None, 1.50]}),
    "empty index": lambda text: retopped(images.index(), annotations={"of": text}),
}


@pytest.mark.parametrize("kind", GRAPHS)
async def test_whole_graph(
    kind: str, shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """What lands at a real registry is byte for byte what was at the source, all the way down, as skopeo sees it."""
    image = GRAPHS[kind](repo)
    push(registry_a.host, repo, image, "v1")
    source, target = f"{registry_a.host}/{repo}", f"{registry_b.host}/{repo}/copy:v1"
    moved = await shop.moved(image.digest, source, target)
    assert moved.digest == image.digest
    assert skopeo.inspect_raw(target) == image.top.raw
    assert skopeo.same_image(f"{source}:v1", target)
    assert moved.bytes_written == moved.bytes_read == sum(map(len, image.blobs.values()))
    assert len(image.blobs) == moved.blobs_moved


@pytest.mark.parametrize("docker", [False, True])
async def test_some_platforms(  # what lands is judged by skopeo, which copies it on with all that it lists
    docker: bool, shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """A subset is a valid index of its own; only what it lists is read from the source."""
    platforms = [images.AMD64, ARM64, Platform("linux", "s390x")]
    members = [images.image(f"{repo}/{one}", platform=one, docker=docker) for one in platforms]
    index = images.index(*members, docker=docker, attested=not docker)
    push(registry_a.host, repo, index, "v1")
    made = subset(index.top, platforms[:2], name="x")
    target = f"{registry_b.host}/{repo}/some:v1"
    with RecordingProxy(registry_a.host) as proxy:
        source = Ref(proxy.host, repo, "v1", made.digest)
        copy = Copy("t", source, (Ref.parse(target),), (0,), subset=tuple(platforms[:2]), index=index.digest)
        (moved,) = await shop.relay.copy(copy, Endpoint(proxy.host), [Endpoint(registry_b.host)])
        assert isinstance(moved, Moved)
        assert moved.digest == made.digest
        assert proxy.count("GET", f"/manifests/{members[2].digest}") == 0
    assert skopeo.inspect_raw(target) == made.raw
    skopeo.copy(target, f"{registry_b.host}/{repo}/again:v1")
    assert set(skopeo.digests(target)) == {str(made.digest), *(str(one.digest) for one in made.children)}


async def test_subject(shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str) -> None:
    """An artifact that refers to an image is copied by itself: its subject is neither needed nor brought along."""
    subject = images.image(repo)
    artifact = images.artifact(subject)
    push(registry_a.host, repo, subject)
    push(registry_a.host, repo, artifact, "sbom")
    await shop.moved(artifact.digest, f"{registry_a.host}/{repo}", f"{registry_b.host}/{repo}:sbom")
    raw, _ = await fetched(registry_b.host, repo, "sbom")
    assert artifact.top.raw == raw


async def fetched(host: str, repository: str, reference: str, accept: str = "") -> tuple[bytes, str]:
    """Read a manifest straight from a registry, with its media type."""
    url = f"http://{host}/v2/{repository}/manifests/{reference}"
    headers = {"Accept": accept or f"{OCI_INDEX}, {OCI_MANIFEST}"}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        assert answer.status == 200
        return await answer.read(), answer.content_type


async def test_schema1(shop: Workshop, tmp_path: Path, repo: str) -> None:
    """A signed schema 1 manifest is copied as it is, and its layers with it though it tells no sizes."""
    image = images.image(repo, docker=True)
    old = {"compatibility": {"schema1": {"enabled": True}}}
    with DockerRegistry(tmp_path / "a", extra=old) as a, DockerRegistry(tmp_path / "b", extra=old) as b:
        push(a.host, repo, image, "v2")
        signed, kind = await fetched(a.host, repo, "v2", DOCKER_SCHEMA1_SIGNED)
        assert kind == DOCKER_SCHEMA1_SIGNED
        top = Manifest.parse(signed, kind)
        push(a.host, repo, Image(empty_layer(), (top,)), "v1")
        (one, two) = await shop.copy(
            top.digest, f"{a.host}/{repo}", f"{b.host}/{repo}/one:v1", f"{b.host}/{repo}/two:v1"
        )
        assert isinstance(one, Moved)
        assert isinstance(two, Moved)
        for target in ("one", "two"):
            raw, kind = await fetched(b.host, f"{repo}/{target}", "v1", DOCKER_SCHEMA1_SIGNED)
            assert kind == DOCKER_SCHEMA1_SIGNED
            assert top.digest == Manifest.parse(raw, kind).digest  # the registry signs anew whatever it is asked for


def empty_layer() -> dict[Digest, bytes]:
    """Return the layer that docker-registry invents when it makes a schema 1 manifest."""
    raw = bytes.fromhex("1f8b080000096e8800ff621805a360148c5800080000ffff2eafb5ef00040000")
    return {Digest.of(raw): raw}


async def test_order(shop: Workshop, embedded_pair: Pair) -> None:
    """Blobs and children are there before what names them, and the tag is the very last that is written."""
    a, b = embedded_pair
    image = images.index(*(images.image(f"x/{number}") for number in range(6)), attested=True)
    await images.seed(a, "app", image)
    await shop.moved(image.digest, f"{a.host}/app", f"{b.host}/app:v1")
    written = [
        (one.path.rpartition("/")[2], one.query.rpartition("digest=")[2]) for one in b.requests if one.method == "PUT"
    ]
    order = {query if "sha256" in query else path: place for place, (path, query) in enumerate(written)}
    for manifest in image.manifests[:-1]:
        assert all(order[str(blob.digest)] < order[str(manifest.digest)] for blob in manifest.blobs)
        assert order[str(manifest.digest)] < order["v1"]
    assert order["v1"] == len(written) - 1


@pytest.mark.parametrize(("flip", "cut"), [(100, -1), (-1, 100), (-1, 0)])
@pytest.mark.parametrize("copies", [1, 2])
async def test_damage(flip: int, cut: int, copies: int, shop: Workshop, embedded_pair: Pair) -> None:
    """A wrong byte or a body that always breaks off never becomes an image: the tag stays, other blobs or not."""
    a, b = embedded_pair
    old, new = images.image("old"), images.image("new", layers=1, size=300_000)
    await images.seed(a, "app", new)
    for number in range(copies):
        await images.seed(b, f"app{number}", old, "v1")
    fault = Fault(path="/blobs/", method="GET", flip_at=flip, cut_at=cut, times=1 if cut < 0 else -1)
    with RecordingProxy(a.host, fault) as source:
        results = await shop.copy(
            new.digest, f"{source.host}/app", *(f"{b.host}/app{number}:v1" for number in range(copies))
        )
    assert any(isinstance(one, DregsyError) for one in results)
    for number, result in enumerate(results):
        if isinstance(result, DregsyError):
            assert getattr(result, "retryable", False)
            assert old.digest == b.store.find(f"app{number}").resolve("v1")
    for name in b.store.names():
        assert all(digest.matches(bytes(blob)) for digest, blob in b.store.find(name).blobs.items())


async def test_wrong_manifest(shop: Workshop, embedded_pair: Pair) -> None:
    """A manifest that is not the one asked for is refused before anything is written."""
    a, b = embedded_pair
    image = images.image("x")
    await images.seed(a, "app", image)
    with RecordingProxy(a.host, Fault(path="/manifests/", method="GET", flip_at=10, times=-1)) as source:
        (result,) = await shop.copy(image.digest, f"{source.host}/app", f"{b.host}/app:v1")
    assert isinstance(result, DigestMismatch)
    assert b.requests == []


async def test_missing_blob(shop: Workshop, embedded_pair: Pair) -> None:
    """A blob that is not at the source fails the copy to all targets with its name, and nobody waits for it."""
    a, b = embedded_pair
    image = images.image("x")
    await images.seed(a, "app", image)
    lost = image.top.blobs[-1].digest
    a.store.find("app").delete_blob(lost)
    results = await shop.copy(image.digest, f"{a.host}/app", f"{b.host}/one:v1", f"{b.host}/two:v1")
    assert [NotFound, NotFound] == [type(one) for one in results]
    assert all(str(lost) in str(one) for one in results)


async def test_one_read_feeds_all(shop: Workshop, embedded_pair: Pair) -> None:
    """With several targets every manifest and every blob is read from the source exactly once."""
    a, b = embedded_pair
    image = images.index(*(images.image(f"x/{number}") for number in range(4)))
    await images.seed(a, "app", image)
    async with EmbeddedRegistry() as c:
        results = await shop.copy(image.digest, f"{a.host}/app", f"{b.host}/app:v1", f"{c.host}/app:v1")
        assert all(image.digest == one.store.find("app").resolve("v1") for one in (b, c))
    assert all(isinstance(one, Moved) for one in results)
    assert len(image.manifests) == a.count("GET", "/manifests/")
    assert len(image.blobs) == a.count("GET", "/blobs/")
    size = sum(map(len, image.blobs.values()))
    assert [size, 0] == [one.bytes_read for one in results if isinstance(one, Moved)]
    assert [size, size] == [one.bytes_written for one in results if isinstance(one, Moved)]
    assert list(shop.scratch.iterdir()) == []


async def test_slow_target(shop: Workshop, embedded_pair: Pair) -> None:
    """A target that hangs delays no other: that one has its tag while the first still waits for its layer."""
    a, b = embedded_pair
    image = images.image("x", layers=3)
    await images.seed(a, "app", image)
    gate = Gate()
    async with EmbeddedRegistry() as c, asyncio.TaskGroup() as group:
        with RecordingProxy(c.host, Fault(path="/blobs/uploads/", method="PUT", gate=gate, times=-1)) as slow:
            copying = group.create_task(
                shop.copy(image.digest, f"{a.host}/app", f"{slow.host}/app:v1", f"{b.host}/app:v1")
            )
            await gate.arrival()
            async with asyncio.timeout(60):
                while "v1" not in b.store.find("app").tags:
                    await asyncio.sleep(0.001)
            assert not copying.done()
            assert c.store.find("app").tags == {}
            gate.open()
            assert all(isinstance(one, Moved) for one in await copying)


async def test_failing_target(shop: Workshop, embedded_pair: Pair) -> None:
    """A target that refuses everything fails by itself; the other gets the image."""
    a, b = embedded_pair
    image = images.image("x", layers=3)
    await images.seed(a, "app", image)
    with RecordingProxy(b.host, Fault(path="/bad/", method="PUT", status=507, times=-1)) as target:
        bad, good = await shop.copy(image.digest, f"{a.host}/app", f"{target.host}/bad:v1", f"{target.host}/good:v1")
    assert isinstance(bad, RegistryError)
    assert isinstance(good, Moved)
    assert bad.status == 507
    assert image.digest == b.store.find("good").resolve("v1")


async def test_cancel(shop: Workshop, embedded_pair: Pair) -> None:
    """Cancelled in the middle of its uploads, a copy leaves no tag, no file and no task behind."""
    a, b = embedded_pair
    image = images.image("x", layers=3)
    await images.seed(a, "app", image)
    gate = Gate()
    with RecordingProxy(b.host, Fault(path="/blobs/uploads/", method="PUT", gate=gate, times=-1)) as target:
        before = asyncio.all_tasks()
        async with asyncio.TaskGroup() as group:
            copying = group.create_task(
                shop.copy(image.digest, f"{a.host}/app", f"{target.host}/one:v1", f"{target.host}/two:v1")
            )
            await gate.arrival()
            copying.cancel()
        assert copying.cancelled()
        assert left_over(before) == []
        gate.open()
    assert [one for one in b.requests if one.method == "PUT" and "/manifests/" in one.path] == []
    assert list(shop.scratch.iterdir()) == []
    assert kept_in(shop.scratch) == []


async def test_timeout(tmp_path: Path, embedded_pair: Pair) -> None:
    """A target that does not answer in time fails, saying which it is, after how long, and what to change."""
    a, b = embedded_pair
    image = images.image("x")
    await images.seed(a, "app", image)
    gate = Gate()
    with RecordingProxy(b.host, Fault(path="/app/", gate=gate, times=-1)) as target:
        async with Workshop(tmp_path, timeout=0.05) as shop:
            (slow,) = await shop.copy(image.digest, f"{a.host}/app", f"{target.host}/app:v1")
        gate.open()
    assert isinstance(slow, RelayError)
    assert slow.message == f"{target.host}/app:v1 was not done after 0.05 seconds"
    assert ("'timeout'" in slow.hint, slow.retryable) == (True, True)


async def test_full_disk(tmp_path: Path, embedded_pair: Pair) -> None:
    """Where the scratch folder is full, the copy fails with a word on what to do, and leaves nothing."""
    a, b = embedded_pair
    image = images.image("x", layers=1, size=200_000)
    await images.seed(a, "app", image)
    async with Workshop(tmp_path) as shop:
        mount = await asyncio.create_subprocess_exec("mount", "-t", "tmpfs", "-o", "size=64k", "none", shop.scratch)
        assert await mount.wait() == 0
        try:
            results = await shop.copy(image.digest, f"{a.host}/app", f"{b.host}/one:v1", f"{b.host}/two:v1")
        finally:
            umount = await asyncio.create_subprocess_exec("umount", shop.scratch)
            assert await umount.wait() == 0  # would be busy, were a file still open
    assert [RelayError, RelayError] == [type(one) for one in results]
    assert "No space left on device" in str(results[0])
    assert "TMPDIR" in str(results[0])
    assert b.store.find("one").tags == {}


async def test_scratch_gone(shop: Workshop, embedded_pair: Pair) -> None:
    """A scratch folder that vanished is a failed copy, not a crash."""
    a, b = embedded_pair
    image = images.image("x")
    await images.seed(a, "app", image)
    shop.scratch.rmdir()
    results = await shop.copy(image.digest, f"{a.host}/app", f"{b.host}/one:v1", f"{b.host}/two:v1")
    assert [RelayError, RelayError] == [type(one) for one in results]


async def test_progress(shop: Workshop, embedded_pair: Pair) -> None:
    """Listeners are told each byte that is read and written, and each blob that arrives."""
    a, b = embedded_pair
    image = images.image("x", layers=2)
    await images.seed(a, "app", image)
    await shop.moved(image.digest, f"{a.host}/app", f"{b.host}/app:v1")
    events = [one for one in shop.events if isinstance(one, CopyProgress)]
    size = sum(map(len, image.blobs.values()))
    assert (size, size) == (sum(one.bytes_read for one in events), sum(one.bytes_written for one in events))
    assert set(image.blobs) == {one.blob for one in events if one.blob}


async def test_same_digest_everywhere(shop: Workshop, embedded_pair: Pair) -> None:
    """Images that share a config, list a layer twice or hold a blob without any byte are copied like others."""
    a, b = embedded_pair
    nothing = Digest.of(b"")
    one = images.image("x", layers=1)
    layers = json.loads(one.top.raw)["layers"]
    empty = {"mediaType": images.OCI_LAYER, "digest": str(nothing), "size": 0}
    twin = retopped(Image({**one.blobs, nothing: b""}, one.manifests), layers=[*layers, *layers, empty, empty])
    both = images.index(one, twin)
    await images.seed(a, "app", both)
    async with EmbeddedRegistry() as c:
        results = await shop.copy(both.digest, f"{a.host}/app", f"{b.host}/app:v1", f"{c.host}/app:v1")
    assert [Moved, Moved] == [type(one) for one in results]
    assert {key: bytes(blob) for key, blob in b.store.find("app").blobs.items()} == dict(both.blobs)
    assert len(both.blobs) == a.count("GET", "/blobs/")


def test_features() -> None:
    """The native relay can do all that a mapping may ask for."""
    assert frozenset(Feature) == NativeRelay.features
    assert Settings().certs_dir is None
