import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.images import Image
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import DigestMismatch, ImageError, NotFound, Unauthorized
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import OCI_INDEX, OCI_MANIFEST, Manifest
from dregsy.model.plan import Copy
from dregsy.model.ref import Ref
from dregsy.model.report import Moved
from relays.native.graph import DEPTH_LIMIT, together
from tests.testbed.copying import Workshop, retopped
from tests.testbed.proxy import Fault, RecordingProxy
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo

Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A native relay."""
    async with Workshop(tmp_path) as workshop:
        yield workshop


def listing(*members: Image) -> Image:
    """Make an index of images and indexes."""
    entries = [
        {"mediaType": one.top.media_type, "digest": str(one.digest), "size": len(one.top.raw)} for one in members
    ]
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    manifests = {one.digest: one for member in members for one in member.manifests}
    top = Manifest.parse(raw, OCI_INDEX)
    return Image({k: v for member in members for k, v in member.blobs.items()}, (*manifests.values(), top))


async def test_known_child(shop: Workshop, embedded_pair: Pair) -> None:
    """A child that the target has is looked at, and neither it nor what is below it is read or written again."""
    a, b = embedded_pair
    old, new = images.image("x/1"), images.image("y/2")
    await images.seed(a, "app", listing(old, new))
    await images.seed(b, "app", old)
    moved = await shop.moved(listing(old, new).digest, f"{a.host}/app", f"{b.host}/app:v1")
    assert a.count("GET", f"{old.digest}") == 0
    assert a.count("GET", "/blobs/") == len(new.blobs) == moved.blobs_moved
    assert b.count("PUT", f"/manifests/{old.digest}") == 0


async def test_anew(shop: Workshop, embedded_pair: Pair) -> None:
    """What a copy says is to be written anew is written without a question, and nothing else is sent twice."""
    a, b = embedded_pair
    image = images.image("x/1", layers=3)
    await images.seed(a, "app", listing(image))
    await images.seed(b, "app", listing(image), "v1")
    wrong = image.top.blobs[-1].digest
    b.store.find("app").blobs[wrong] = b"?"
    copy = Copy(
        "test",
        Ref(a.host, "app", "v1", listing(image).digest),
        (Ref(b.host, "app", "v1"),),
        (0,),
        anew=(listing(image).digest, image.digest, wrong),
    )
    (moved,) = await shop.relay.copy(copy, Endpoint(a.host), [Endpoint(b.host)])
    assert isinstance(moved, Moved)
    assert wrong.matches(bytes(b.store.find("app").blobs[wrong]))
    assert (moved.blobs_moved, moved.blobs_skipped) == (1, len(image.blobs) - 1)
    assert (b.count("HEAD", str(wrong)), b.count("HEAD", str(image.digest))) == (0, 0)
    assert b.count("PUT", f"/manifests/{image.digest}") == 1


@pytest.mark.parametrize(("times", "retryable"), [(1, None), (2, True)])
async def test_half_written(times: int, retryable: bool | None, shop: Workshop, embedded_pair: Pair) -> None:
    """A registry that does not see what is being written there by others as well is asked again, now and later."""
    a, b = embedded_pair
    await images.seed(a, "app", listing(images.image("x/1")), "v1")
    said = b'{"errors": [{"code": "DIGEST_INVALID"}, {"code": "MANIFEST_BLOB_UNKNOWN"}]}'
    busy = Fault(path="/manifests/v1", method="PUT", status=400, body=said, times=times)
    with RecordingProxy(b.host, busy) as proxy:
        (result,) = await shop.copy(listing(images.image("x/1")).digest, f"{a.host}/app", f"{proxy.host}/app:v1")
        assert proxy.count("PUT", "/manifests/v1") == 2
    assert getattr(result, "retryable", None) == retryable


@pytest.mark.parametrize(("body", "retryable"), [(b"", True), (b'{"errors": [{"code": "NAME_UNKNOWN"}]}', False)])
async def test_gone_for_a_manifest(body: bytes, retryable: bool, shop: Workshop, embedded_pair: Pair) -> None:
    """A registry that says of a whole image that something is not there gets it later, unless it has no such place."""
    a, b = embedded_pair
    image = images.image("x/1")
    await images.seed(a, "app", image)
    with RecordingProxy(b.host, Fault(path="/manifests/", method="PUT", status=404, body=body, times=2)) as proxy:
        (result,) = await shop.copy(image.digest, f"{a.host}/app", f"{proxy.host}/app:v1")
        assert proxy.count("PUT", "/manifests/") == 2
    assert isinstance(result, NotFound)
    assert result.retryable == retryable


async def test_layers_in_an_index(
    shop: Workshop, embedded_pair: Pair, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """What an index lists that is no manifest is brought as a blob, before the index (BuildKit's cache)."""
    a, _ = embedded_pair
    layer = repo.encode()
    entry = {"mediaType": images.OCI_LAYER, "digest": str(Digest.of(layer)), "size": len(layer)}
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
    top = Manifest.parse(json.dumps(document).encode(), OCI_INDEX)
    held = a.store.open("cache")
    held.blobs[Digest.of(layer)], held.manifests[top.digest] = layer, top
    target = f"{registry_b.host}/{repo}:cache"
    moved = await shop.moved(top.digest, f"{a.host}/cache", target)
    assert (moved.blobs_moved, moved.bytes_written) == (1, len(layer))
    assert skopeo.inspect_raw(target) == top.raw


async def test_sha512(shop: Workshop, embedded_pair: Pair, registry_b: DockerRegistry, repo: str) -> None:
    """A layer that is named by its SHA-512 digest is checked and copied as others are."""
    a, b = embedded_pair
    image = images.image(repo, layers=1)
    (layer,) = json.loads(image.top.raw)["layers"]
    content = image.blobs[Digest.parse(layer["digest"])]
    digest = Digest.of(content, "sha512")
    renamed = retopped(image, layers=[{**layer, "digest": str(digest)}])
    await images.seed(a, "app", Image({**image.blobs, digest: content}, renamed.manifests), "v1")
    moved = await shop.moved(renamed.digest, f"{a.host}/app", f"{registry_b.host}/{repo}:v1")
    assert moved.blobs_moved == 2
    # docker-registry mounts it in name only, and then misses it: it is sent again
    moved = await shop.moved(renamed.digest, f"{a.host}/app", f"{registry_b.host}/{repo}/2:v1")
    assert (moved.blobs_mounted, moved.bytes_written) == (2, len(content))
    a.store.find("app").blobs[digest] = bytes(len(content))
    (result,) = await shop.copy(renamed.digest, f"{a.host}/app", f"{b.host}/app:v1")
    assert isinstance(result, DigestMismatch)


@pytest.mark.parametrize("levels", [DEPTH_LIMIT, DEPTH_LIMIT + 1])
async def test_depth(levels: int, shop: Workshop, embedded_pair: Pair) -> None:
    """An image may lie below a number of indexes; one more is refused, and the tag is not written."""
    a, b = embedded_pair
    image = images.image("x")
    for _ in range(levels):
        image = listing(image)
    await images.seed(a, "app", image)
    (result,) = await shop.copy(image.digest, f"{a.host}/app", f"{b.host}/app:v1")
    if levels == DEPTH_LIMIT:
        assert isinstance(result, Moved)
    else:
        assert isinstance(result, ImageError)
        assert "more than 8 indexes" in str(result)
        assert b.store.find("app").tags == {}


async def test_width(shop: Workshop, embedded_pair: Pair) -> None:
    """Indexes that list each other's entries many times over cost as much as there are manifests, not paths."""
    a, b = embedded_pair
    level = [images.image(f"x/{number}", layers=1) for number in range(4)]
    for depth in range(DEPTH_LIMIT - 1):
        level = [listing(*level[number:], *level[:number], images.image(f"{depth}/{number}")) for number in range(4)]
    top = listing(*level)
    await images.seed(a, "app", top)
    await shop.moved(top.digest, f"{a.host}/app", f"{b.host}/app:v1")
    assert a.count("GET", "/manifests/") == len(top.manifests)
    assert b.count("HEAD", "/manifests/") == len(top.manifests) - 1
    assert b.count("PUT", "/manifests/") == len(top.manifests)


async def test_thousand_children(shop: Workshop, embedded_pair: Pair) -> None:
    """An index of a thousand images is copied whole."""
    a, b = embedded_pair
    config = b"{}"
    blob = {"mediaType": images.OCI_EMPTY, "digest": str(Digest.of(config)), "size": len(config)}
    held = a.store.open("app")
    held.blobs[Digest.of(config)] = config
    entries = []
    for number in range(1000):
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": blob, "annotations": {"n": str(number)}}
        child = Manifest.parse(json.dumps(document).encode(), OCI_MANIFEST)
        held.manifests[child.digest] = child
        entries.append({"mediaType": OCI_MANIFEST, "digest": str(child.digest), "size": len(child.raw)})
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    top = held.manifests[held.put_manifest("v1", raw, OCI_INDEX)]
    await shop.moved(top.digest, f"{a.host}/app", f"{b.host}/app:v1")
    assert (a.count("GET", "/blobs/"), a.count("GET", "/manifests/")) == (1, 1001)
    assert len(b.store.find("app").manifests) == 1001


async def test_lost_blobs(shop: Workshop, embedded_pair: Pair) -> None:
    """When the target has lost blobs since they were brought there, they are brought again in the same copy."""
    a, b = embedded_pair
    one, other = images.image("x/1"), images.image("x/2")
    for tag, image in (("one", one), ("other", other)):
        await images.seed(a, "app", image, tag)
    await shop.moved(one.digest, f"{a.host}/app", f"{b.host}/app:one")
    b.store.open("app").blobs.clear()
    await shop.moved(other.digest, f"{a.host}/app", f"{b.host}/app:other")
    assert set(b.store.find("app").blobs) == set(other.blobs)
    assert b.store.find("app").resolve("other") == other.digest


@pytest.mark.parametrize("status", [400, 404])
async def test_lost_blobs_without_a_word(status: int, shop: Workshop, embedded_pair: Pair) -> None:
    """A registry that refuses an image in whatever words, where blobs were believed to be there, gets another try."""
    a, b = embedded_pair
    one, other = images.image("x/1"), images.image("x/1", docker=True)
    await images.seed(a, "app", one)
    await images.seed(a, "app", other)
    refusal = Fault(path="/manifests/other", method="PUT", status=status)
    with RecordingProxy(b.host, refusal) as target:
        await shop.moved(one.digest, f"{a.host}/app", f"{target.host}/app:one")
        b.store.open("app").blobs.clear()
        await shop.moved(other.digest, f"{a.host}/app", f"{target.host}/app:other")
    assert set(b.store.find("app").blobs) == set(other.blobs)
    assert b.store.find("app").resolve("other") == other.digest


async def test_first_error_counts() -> None:
    """Of several things done at once, the first error is raised as itself and the others are cancelled."""
    ended: list[str] = []

    async def fails(error: Exception) -> None:
        raise error

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    with pytest.raises(NotFound):
        await together([waits, partial(fails, NotFound("first")), waits])
    assert ended == ["cancelled"], "what had not begun does not begin"


async def test_bug_counts_more() -> None:
    """A bug is not hidden by a refusal that came first."""

    async def refused() -> None:
        raise NotFound("refusal")

    async def has_bug() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        await together([has_bug, refused])
    assert [type(one) for one in caught.value.exceptions] == [ZeroDivisionError]


async def test_cancellation_is_kept() -> None:
    """An error that comes up on the way out of a cancellation does not take its place."""
    waiting = asyncio.Event()

    async def fails_when_cancelled() -> None:
        try:
            waiting.set()
            await asyncio.Event().wait()
        finally:
            raise Unauthorized("too late")

    async with asyncio.TaskGroup() as group:
        work = group.create_task(together([fails_when_cancelled]))
        await waiting.wait()
        work.cancel()
    assert work.cancelled()
