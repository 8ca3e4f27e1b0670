"""The verbs of a registry, against Debian's docker-registry and what may go wrong on the way to it."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import DigestMismatch, ImageError, NotFound, RegistryError, Unauthorized, Unreachable
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Anonymous, Endpoint
from dregsy.model.manifest import (
    DOCKER_SCHEMA1_SIGNED,
    OCI_INDEX,
    OCI_MANIFEST,
    SIZE_LIMIT,
    UNKNOWN_SIZE,
    Descriptor,
    Manifest,
)
from dregsy.registry.client import Registry
from dregsy.registry.pool import Registries
from dregsy.registry.wire import Body
from tests.testbed.clients import given, held, registries, tasks
from tests.testbed.faults import Fault, Gate
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.raw import RawServer, saying
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo

SCHEMA1 = Path("/usr/share/gocode/src/github.com/containers/image")
MIB = 2**20


def at(clients: Registries, host: str) -> Registry:
    """The client of a registry without any login."""
    return clients.at(Endpoint(host, credentials=Anonymous()))


def blob_of(content: bytes, size: int | None = None) -> Descriptor:
    """The descriptor of some bytes."""
    return Descriptor("application/octet-stream", Digest.of(content), len(content) if size is None else size)


async def pieces(content: bytes, size: int = 65536) -> AsyncIterator[bytes]:
    """Give the content piece by piece."""
    for place in range(0, len(content), size):
        yield content[place : place + size]


async def read(registry: Registry, repository: str, blob: Descriptor) -> bytes:
    """Read a whole blob."""
    async with registry.read_blob(repository, blob) as stream:
        return b"".join([chunk async for chunk in stream.chunks])


async def upload(registry: Registry, repository: str, content: bytes) -> Digest:
    """Upload some bytes as a blob."""
    digest = Digest.of(content)
    location = await registry.begin_upload(repository)
    await registry.finish_upload(repository, location, digest, Body(len(content), lambda: pieces(content)))
    return digest


# --- tags and manifests ----------------------------------------------------------------------------------------------


async def test_ping(registry_a: DockerRegistry, clients: Registries) -> None:
    """A registry that answers is there; one that does not is Unreachable, by name."""
    await at(clients, registry_a.host).ping()
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1: connection refused"):
        await at(clients, "127.0.0.1:1").ping()


async def test_tags(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """The tags of a repository are those that were pushed; one that is not there is NotFound."""
    push(registry_a.host, repo, images.image(repo), "v1", "V_2.x", "latest")

    assert sorted(["v1", "V_2.x", "latest"]) == sorted(await at(clients, registry_a.host).tags(repo))
    with pytest.raises(NotFound, match="NAME_UNKNOWN"):
        await at(clients, registry_a.host).tags(f"{repo}/none")


async def test_what_is_no_tag_is_not_listed(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """Digests and other things that registries list among tags are left out."""
    body = json.dumps({"tags": ["v1", f"sha256:{'a' * 64}", "", ".x", "x" * 129, 7, None]}).encode()
    with RecordingProxy(registry_a.host, Fault(path="tags/list", status=200, body=body)) as proxy:
        assert await at(clients, proxy.host).tags(repo) == ["v1"]


@pytest.mark.parametrize("attested", [False, True])
async def test_manifests_pass_untouched(
    registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, clients: Registries, skopeo: Skopeo,
    attested: bool,
) -> None:  # fmt: skip
    """What is fetched is what was pushed, and what is stored is what was fetched, byte for byte."""
    image = images.index(images.image(repo), attested=attested)
    push(registry_a.host, repo, image, "v1")
    push(registry_b.host, repo, images.Image(image.blobs, image.manifests[:-1]))
    manifest = await at(clients, registry_a.host).get_manifest(repo, "v1")
    assert (image.top.raw, image.digest, OCI_INDEX) == (manifest.raw, manifest.digest, manifest.media_type)

    await at(clients, registry_b.host).put_manifest(repo, "v1", manifest)

    assert skopeo.same_image(f"{registry_a.host}/{repo}:v1", f"{registry_b.host}/{repo}:v1")


async def test_odd_manifests_pass_untouched(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """Blanks, the order of keys and unknown fields survive."""
    client = at(clients, registry_a.host)
    config = await upload(client, repo, b"{}")
    entry = f'{{ "size" : 2,"digest":"{config}", "mediaType": "application/vnd.oci.image.config.v1+json"}}'
    odd = f'"zz":  [1.0, 1e3, "\\u00fc"],"layers":[],"config":{entry},\n'
    raw = f'\n{{{odd}"mediaType":"{OCI_MANIFEST}","schemaVersion":2}}\n'
    await client.put_manifest(repo, "odd", Manifest.parse(raw.encode()))

    assert raw.encode() == (await client.get_manifest(repo, "odd")).raw
    assert raw.encode() == (await client.get_manifest(repo, str(Digest.of(raw.encode())))).raw


async def test_large_manifests_pass(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A manifest of 3 MiB, which is what registries take, goes there and back."""
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "annotations": {"x": "y" * 3 * MIB}})
    client = at(clients, registry_a.host)
    await client.put_manifest(repo, "large", Manifest.parse(raw.encode()))

    assert raw.encode() == (await client.get_manifest(repo, "large")).raw


async def test_head(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A HEAD tells digest, type and size, and None for what is not there."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    client = at(clients, registry_a.host)

    expected = Descriptor(OCI_MANIFEST, image.digest, len(image.top.raw))
    assert expected == await client.head_manifest(repo, "v1")
    assert expected == await client.head_manifest(repo, str(image.digest))
    assert await client.head_manifest(repo, "v2") is None
    assert await client.head_manifest(f"{repo}/none", "v1") is None


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path="/manifests/", method="HEAD", strip=("Docker-Content-Digest",)),
        Fault(path="/manifests/", method="HEAD", headers={"Docker-Content-Digest": "md5:0"}),
        Fault(path="/manifests/", method="HEAD", status=405),
    ],
)
async def test_head_without_a_digest(registry_a: DockerRegistry, repo: str, clients: Registries, fault: Fault) -> None:
    """Where HEAD does not tell the digest, or is not known, the manifest is fetched and hashed."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    with RecordingProxy(registry_a.host, fault) as proxy:
        assert Descriptor(OCI_MANIFEST, image.digest, len(image.top.raw)) == await at(
            clients, proxy.host
        ).head_manifest(repo, "v1")


async def test_head_without_a_digest_of_nothing(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A tag that goes away between HEAD and GET is not there."""
    with RecordingProxy(registry_a.host, Fault(path="/manifests/", method="HEAD", status=405)) as proxy:
        assert await at(clients, proxy.host).head_manifest(repo, "v1") is None


async def test_a_wrong_digest_header_fools_nobody(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """What is fetched by tag has the digest of its bytes, whatever the registry calls it."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    lie = {"Docker-Content-Digest": f"sha256:{'0' * 64}"}
    with RecordingProxy(registry_a.host, Fault(path="/manifests/v1", headers=lie)) as proxy:
        assert image.digest == (await at(clients, proxy.host).get_manifest(repo, "v1")).digest


async def test_a_manifest_by_digest_is_checked(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A flipped byte in a manifest that was asked for by digest is found."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    with (
        RecordingProxy(registry_a.host, Fault(path="/manifests/", flip_at=3)) as proxy,
        pytest.raises(DigestMismatch, match=f"received as {image.digest}"),
    ):
        await at(clients, proxy.host).get_manifest(repo, str(image.digest))


async def test_a_registry_that_changes_manifests(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A registry that says it stored something else than what was sent is found out."""
    image = images.image(repo)
    push(registry_a.host, repo, image)
    lie = {"Docker-Content-Digest": f"sha256:{'0' * 64}"}
    with (
        RecordingProxy(registry_a.host, Fault(path="/manifests/", headers=lie)) as proxy,
        pytest.raises(DigestMismatch, match="changes manifests"),
    ):
        await at(clients, proxy.host).put_manifest(repo, "v1", image.top)


@pytest.mark.parametrize("body", [None, b'{"errors": [{"code": "DIGEST_INVALID"}, {"code": "MANIFEST_BLOB_UNKNOWN"}]}'])
async def test_a_manifest_before_its_blobs(
    registry_a: DockerRegistry, repo: str, clients: Registries, body: bytes | None
) -> None:
    """A manifest whose blobs are not there, or half-written by others, may be taken once its image is copied anew."""
    faults = [Fault(path="/manifests/v1", method="PUT", status=400, body=body)] if body else []
    with (
        RecordingProxy(registry_a.host, *faults) as proxy,
        pytest.raises(RegistryError, match="BLOB_UNKNOWN") as caught,
    ):
        await at(clients, proxy.host).put_manifest(repo, "v1", images.image(repo).top)
    assert caught.value.retryable
    assert proxy.count("PUT", "/manifests/") == 1


@pytest.mark.parametrize("other", [True, False])
async def test_an_update_that_is_not_stored(
    registry_a: DockerRegistry, repo: str, clients: Registries, other: bool
) -> None:
    """What says that it took a manifest without naming it is asked what is there: another image is a failure."""
    old, new = images.image(repo), images.image(f"{repo}/new")
    if other:
        push(registry_a.host, repo, old, "v1")
    with (
        RecordingProxy(registry_a.host, Fault(path="/manifests/v1", method="PUT", status=201)) as proxy,
        pytest.raises(RegistryError, match=f"did not: v1 is {old.digest} there" if other else "and did not") as caught,
    ):
        await at(clients, proxy.host).put_manifest(repo, "v1", new.top)
    assert caught.value.retryable


async def test_an_update_that_is_stored_under_another_kind_of_digest(
    registry_a: DockerRegistry, repo: str, clients: Registries
) -> None:
    """A registry that names a manifest by another hash than it was sent by is judged by the bytes that it has."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    registry = at(clients, registry_a.host)
    sent = Manifest.parse(image.top.raw, image.top.media_type, digest=Digest.of(image.top.raw, "sha512"))
    other = Manifest.parse(image.top.raw + b" ", image.top.media_type, digest=Digest.of(image.top.raw + b" ", "sha512"))

    await registry.put_manifest(repo, "v1", sent)
    with (
        RecordingProxy(registry_a.host, Fault(path="/manifests/v1", method="PUT", status=201)) as proxy,
        pytest.raises(RegistryError, match="and did not"),
    ):
        await at(clients, proxy.host).put_manifest(repo, "v1", other)


@pytest.mark.parametrize("chunked", [False, True])
async def test_huge_manifests_are_refused(clients: Registries, chunked: bool) -> None:
    """More than 8 MiB are no manifest; no more than that is read."""
    body = b"x" * (SIZE_LIMIT + 1)
    framed = (
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        if chunked
        else b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with RawServer(saying(ok, b"HTTP/1.1 200 OK\r\n" + framed)) as server:
        with pytest.raises(ImageError, match=f"a/b v1 is larger than {SIZE_LIMIT} bytes"):
            await at(clients, server.host).get_manifest("a/b", "v1")


async def test_what_is_no_manifest_is_refused(registry_a: DockerRegistry, clients: Registries) -> None:
    """A web page where a manifest should be is an error of the image."""
    fault = Fault(path="/manifests/", status=200, headers={"Content-Type": "text/html"}, body=b"<html>", times=-1)
    with RecordingProxy(registry_a.host, fault) as proxy, pytest.raises(ImageError, match="no valid manifest"):
        await at(clients, proxy.host).get_manifest("a/b", "v1")


def schema1(layer: Digest) -> bytes:
    """A signed schema 1 manifest: docker-registry makes one from nothing, so this one's signature is a mere form."""
    history = [{"v1Compatibility": json.dumps({"id": "0" * 64})}]
    document: dict[str, Any] = {
        "schemaVersion": 1, "name": "a/b", "tag": "v1", "architecture": "amd64",
        "fsLayers": [{"blobSum": str(layer)}], "history": history,
    }  # fmt: skip
    return json.dumps(document, indent=3).encode()


async def test_schema1_is_fetched_as_it_is(registry_a: DockerRegistry, clients: Registries) -> None:
    """Old manifests come in their own type, though newer ones are asked for as well."""
    raw = schema1(Digest.of(b"layer"))
    headers = {"Content-Type": DOCKER_SCHEMA1_SIGNED}
    fault = Fault(path="/manifests/", status=200, headers=headers, body=raw)
    with RecordingProxy(registry_a.host, fault) as proxy:
        manifest = await at(clients, proxy.host).get_manifest("a/b", "v1")

        assert DOCKER_SCHEMA1_SIGNED in proxy.seen[-1].headers["Accept"]
    assert (raw, DOCKER_SCHEMA1_SIGNED) == (manifest.raw, manifest.media_type)
    assert [blob.size for blob in manifest.blobs] == [UNKNOWN_SIZE]


# --- what a target has -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "status", "known"),
    [("Basic", 401, False), ("Basic", 403, True), ("Bearer", 401, True), ("Bearer", 403, True), ("", 403, False)],
)
async def test_a_login_that_may_not_look(scheme: str, status: int, known: bool) -> None:
    """What a login that was taken may not see counts as absent at a target; of one that was not taken, nothing does."""
    refusal = Fault(path="/a/b/", status=status, times=-1)
    token = Fault(path="^/token", status=200, body=b'{"token": "t"}', times=-1)
    with RecordingProxy("127.0.0.1:9", refusal, token) as proxy:
        wanted = {"WWW-Authenticate": f'{scheme} realm="http://{proxy.host}/token"'} if scheme else {}
        proxy.faults.append(Fault(path="^/v2/$", status=401 if scheme else 200, headers=wanted, times=-1))
        async with registries() as clients:
            registry = clients.at(Endpoint(proxy.host, credentials=given("user", "secret")))
            for ask in (registry.stored_manifest("a/b", "v1"), registry.stores_blob("a/b", Digest.of(b"x"))):
                with nullcontext() if known else pytest.raises(Unauthorized):
                    assert not await ask
            with pytest.raises(Unauthorized):
                await registry.head_manifest("a/b", "v1")


async def test_nobody_may_not_look(clients: Registries) -> None:
    """What nobody in particular may not see may well be there, though a token was had."""
    token = Fault(path="^/token", status=200, body=b'{"token": "t"}', times=-1)
    with RecordingProxy("127.0.0.1:9", Fault(path="/a/b/", status=403, times=-1), token) as proxy:
        wanted = {"WWW-Authenticate": f'Bearer realm="http://{proxy.host}/token"'}
        proxy.faults.append(Fault(path="^/v2/$", status=401, headers=wanted, times=-1))
        with pytest.raises(Unauthorized):
            await clients.at(Endpoint(proxy.host)).stored_manifest("a/b", "v1")


# --- reading blobs ---------------------------------------------------------------------------------------------------


async def test_blobs(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """What is uploaded is there and comes back, the empty blob as well."""
    client = at(clients, registry_a.host)
    for content in (b"", b"x", bytes(range(256)) * 4096):
        assert not await client.has_blob(repo, Digest.of(content)) or content == b""
        assert Digest.of(content) == await upload(client, repo, content)
        assert await client.has_blob(repo, Digest.of(content))
        assert await client.blob_size(repo, Digest.of(content)) == len(content)
        assert content == await read(client, repo, blob_of(content))
        assert content == await read(client, repo, blob_of(content, UNKNOWN_SIZE))


async def test_sha512(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """Blobs may be named by sha512."""
    digest = Digest.of(b"long", "sha512")
    client = at(clients, registry_a.host)
    location = await client.begin_upload(repo)
    await client.finish_upload(repo, location, digest, Body(4, lambda: pieces(b"long")))

    assert await read(client, repo, Descriptor("", digest, 4)) == b"long"


async def test_a_missing_blob(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A blob that is not there is NotFound when it is opened."""
    with pytest.raises(NotFound, match="BLOB_UNKNOWN"):
        await read(at(clients, registry_a.host), repo, blob_of(b"nothing"))


CONTENT = bytes(range(256)) * 2048


@pytest.mark.parametrize(
    ("fault", "size", "error"),
    [
        (Fault(path="/blobs/", flip_at=0), len(CONTENT), DigestMismatch),
        (Fault(path="/blobs/", flip_at=len(CONTENT) - 1), len(CONTENT), DigestMismatch),
        (Fault(path="/blobs/", cut_at=100_000), len(CONTENT), Unreachable),
        (Fault(path="/blobs/", cut_at=0), len(CONTENT), Unreachable),
        (Fault(path="/blobs/", status=200, body=CONTENT[:-1]), len(CONTENT), DigestMismatch),
        (Fault(path="/blobs/", status=200, body=b""), len(CONTENT), DigestMismatch),
        (Fault(path="/blobs/", status=200, body=CONTENT + b"x"), len(CONTENT), DigestMismatch),
        (Fault(path="/blobs/", status=200, body=CONTENT + b"x"), UNKNOWN_SIZE, DigestMismatch),
        (Fault(path="/blobs/", status=200, body=CONTENT[:-1]), UNKNOWN_SIZE, DigestMismatch),
    ],
)
async def test_wrong_bytes_never_become_a_blob(
    registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, clients: Registries, fault: Fault, size: int,
    error: type[Exception],
) -> None:  # fmt: skip
    """A blob that is cut each time, changed, too short or too long ends with an error, and arrives nowhere."""
    blob = blob_of(CONTENT, size)
    await upload(at(clients, registry_a.host), repo, CONTENT)
    target = at(clients, registry_b.host)
    fault.times = 1 if fault.cut_at < 0 else -1
    with RecordingProxy(registry_a.host, fault) as proxy:
        location = await target.begin_upload(repo)
        with pytest.raises(error) as caught:
            await move(at(clients, proxy.host), target, repo, blob, location)

    assert getattr(caught.value, "retryable", False)
    assert not await target.has_blob(repo, blob.digest)
    assert (held(clients), tasks()) == (0, [])


async def move(source: Registry, target: Registry, repository: str, blob: Descriptor, location: str) -> None:
    """Stream a blob from one registry to an upload at another."""
    async with source.read_blob(repository, blob) as stream:
        await target.finish_upload(repository, location, blob.digest, Body(stream.size, lambda: stream.chunks))


async def test_the_last_bytes_wait_for_the_check(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """Who takes the bytes of a wrong blob never has them all when the error comes."""
    await upload(at(clients, registry_a.host), repo, CONTENT)
    taken: list[bytes] = []

    async def take() -> None:
        async with at(clients, proxy.host).read_blob(repo, blob_of(CONTENT)) as stream:
            async for chunk in stream.chunks:
                taken.append(chunk)  # noqa: PERF401 - a comprehension would keep nothing when the error comes

    with RecordingProxy(registry_a.host, Fault(path="/blobs/", flip_at=5)) as proxy, pytest.raises(DigestMismatch):
        await take()

    assert sum(map(len, taken)) < len(CONTENT)


async def test_a_blob_may_be_left_half_read(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """Closing a stream early gives the connection back."""
    client = at(clients, registry_a.host)
    await upload(client, repo, CONTENT * 8)
    async with client.read_blob(repo, blob_of(CONTENT * 8)) as stream:
        async for _ in stream.chunks:
            break

    assert held(clients) == 0


async def test_blobs_stream_with_bounded_memory(
    registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, clients: Registries
) -> None:
    """A blob of 96 MiB goes from registry to registry without ever being in memory as a whole."""
    size, block = 96 * MIB, bytes(MIB)
    hashed = hashlib.sha256()
    for _ in range(size // MIB):
        hashed.update(block)
    blob = Descriptor("", Digest("sha256", hashed.hexdigest()), size)

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(size // MIB):
            yield block

    source, target = at(clients, registry_a.host), at(clients, registry_b.host)
    await source.finish_upload(repo, await source.begin_upload(repo), blob.digest, Body(size, blocks))
    before = psutil.Process().memory_info().rss
    highest = before

    async def watched(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        nonlocal highest
        async for chunk in chunks:
            highest = max(highest, psutil.Process().memory_info().rss)
            yield chunk

    async with source.read_blob(repo, blob) as stream:
        body = Body(stream.size, lambda: watched(stream.chunks))
        await target.finish_upload(repo, await target.begin_upload(repo), blob.digest, body)

    assert await target.has_blob(repo, blob.digest)
    assert highest - before < 32 * MIB


# --- uploading blobs -------------------------------------------------------------------------------------------------


async def test_mounting(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A blob of another repository is linked; where it is not there an upload is open instead."""
    client = at(clients, registry_a.host)
    digest = await upload(client, repo, repo.encode())

    assert await client.mount_blob(f"{repo}/two", digest, repo) is None
    assert await client.has_blob(f"{repo}/two", digest)
    other = Digest.of(f"{repo}-other".encode())
    location = await client.mount_blob(f"{repo}/two", other, repo)
    assert location is not None
    await client.finish_upload(
        f"{repo}/two", location, other, Body(len(repo) + 6, lambda: pieces(f"{repo}-other".encode()))
    )
    assert await client.has_blob(f"{repo}/two", other)


async def test_an_upload_of_unknown_length(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A blob whose size nobody told is sent in pieces."""
    client = at(clients, registry_a.host)
    location = await client.begin_upload(repo)
    await client.finish_upload(repo, location, Digest.of(CONTENT), Body(UNKNOWN_SIZE, lambda: pieces(CONTENT)))

    assert await read(client, repo, blob_of(CONTENT)) == CONTENT


async def test_a_producers_error_cuts_the_upload(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """What the producer of the bytes raises comes out as it is, and what was sent is no blob at the target."""

    async def broken() -> AsyncIterator[bytes]:
        yield CONTENT[:-10]
        raise ImageError("the source has had enough")

    client = at(clients, registry_a.host)
    location = await client.begin_upload(repo)
    with pytest.raises(ImageError, match="had enough"):
        await client.finish_upload(repo, location, Digest.of(CONTENT), Body(len(CONTENT), broken))

    assert not await client.has_blob(repo, Digest.of(CONTENT))
    assert held(clients) == 0


@pytest.mark.parametrize("bug", [ZeroDivisionError, ValueError, OSError, TimeoutError])
async def test_a_producers_bug_stays_a_bug(
    registry_a: DockerRegistry, repo: str, clients: Registries, bug: type[Exception]
) -> None:
    """A fault in the program that makes the bytes is not blamed on the registry."""

    async def buggy() -> AsyncIterator[bytes]:
        yield b"x"
        raise bug("a bug")

    client = at(clients, registry_a.host)
    location = await client.begin_upload(repo)
    with pytest.raises(bug, match="a bug"):
        await client.finish_upload(repo, location, Digest.of(CONTENT), Body(len(CONTENT), buggy))


async def test_the_registry_checks_too(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A blob sent under a wrong digest is refused in the registry's own words."""
    client = at(clients, registry_a.host)
    location = await client.begin_upload(repo)
    with pytest.raises(RegistryError, match="DIGEST_INVALID") as caught:
        await client.finish_upload(repo, location, Digest.of(b"other"), Body(4, lambda: pieces(b"some")))

    assert (caught.value.status, caught.value.retryable) == (400, False)


async def test_a_broken_upload_ends_its_producer(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """When the registry hangs up, the producer of the bytes has ended before the error is there."""
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(65536)
        finally:
            ended.set()

    with RecordingProxy(registry_a.host, Fault(path="/uploads/", method="PUT", cut_upload_at=300_000)) as proxy:
        client = at(clients, proxy.host)
        location = await client.begin_upload(repo)
        with pytest.raises(Unreachable, match=r"the connection to .* broke") as caught:
            await client.finish_upload(repo, location, Digest.of(b"x"), Body(10**9, endless))

        assert ended.is_set()
    assert (held(clients), tasks(), caught.value.retryable) == (0, [], True)


async def test_an_early_refusal_is_heard(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A registry that refuses an upload before it has it all is understood, and the producer ends."""
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(65536)
                await asyncio.sleep(0)
        finally:
            ended.set()

    words = json.dumps({"errors": [{"code": "DENIED", "message": "quota exceeded"}]}).encode()
    with RecordingProxy(registry_a.host, Fault(path="/uploads/", method="PUT", status=403, body=words)) as proxy:
        client = at(clients, proxy.host)
        location = await client.begin_upload(repo)
        with pytest.raises(RegistryError, match="quota exceeded"):
            await client.finish_upload(repo, location, Digest.of(b"x"), Body(10**9, endless))

        assert ended.is_set()
    assert (held(clients), tasks()) == (0, [])


async def test_a_cancelled_upload_leaves_nothing(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """An upload that is cancelled half-way is no blob, and leaves no connection, task or producer."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def halting() -> AsyncIterator[bytes]:
        try:
            yield CONTENT[:100]
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    client = at(clients, registry_a.host)
    location = await client.begin_upload(repo)
    async with asyncio.TaskGroup() as group:
        body = Body(len(CONTENT), halting)
        sending = group.create_task(client.finish_upload(repo, location, Digest.of(CONTENT), body))
        await begun.wait()
        sending.cancel()

    assert ended.is_set()
    assert (held(clients), tasks()) == (0, [])
    assert not await client.has_blob(repo, Digest.of(CONTENT))


async def test_an_upload_cancelled_at_its_end(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """Cancelling while the registry stores the blob leaves no connection either."""
    gate = Gate()
    with RecordingProxy(registry_a.host, Fault(path="/uploads/", method="PUT", gate=gate)) as proxy:
        client = at(clients, proxy.host)
        location = await client.begin_upload(repo)
        async with asyncio.TaskGroup() as group:
            body = Body(3, lambda: pieces(b"end"))
            sending = group.create_task(client.finish_upload(repo, location, Digest.of(b"end"), body))
            await gate.arrival()
            sending.cancel()
        gate.open()

        assert (held(clients), tasks()) == (0, [])


async def test_a_blob_read_cancelled_half_way(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """Cancelling in the middle of a blob gives its connection back."""
    client = at(clients, registry_a.host)
    await upload(client, repo, CONTENT * 16)
    begun = asyncio.Event()

    async def reading() -> None:
        async with client.read_blob(repo, blob_of(CONTENT * 16)) as stream:
            async for _ in stream.chunks:
                begun.set()
                await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(reading())
        await begun.wait()
        task.cancel()

    assert (held(clients), tasks()) == (0, [])


async def test_cancelling_at_any_moment_leaves_nothing() -> None:
    """Wherever a copy is cancelled, between any two steps of the event loop, nothing stays behind."""
    async with EmbeddedRegistry(users={"user": "word"}) as server, registries() as pool:
        client = pool.at(Endpoint(server.host, credentials=given("user", "word")))
        blob = blob_of(CONTENT)

        async def copy() -> None:
            await client.head_manifest("a/b", "v1")
            await upload(client, "a/b", CONTENT)
            location = await client.begin_upload("a/c")
            async with client.read_blob("a/b", blob) as stream:
                body = Body(stream.size, lambda: stream.chunks)
                await client.finish_upload("a/c", location, blob.digest, body)

        steps, done = 0, False
        while not done:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(copy())
                for _ in range(steps):
                    await asyncio.sleep(0)
                done = task.done()
                task.cancel()
            assert (held(pool), tasks()) == (0, [])
            steps += 1

        await copy()
    assert steps > 20
