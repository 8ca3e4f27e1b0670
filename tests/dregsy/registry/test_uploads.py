"""Blobs that break off on their way into a registry: they go on where it can tell, and begin anew where it cannot."""

from collections.abc import AsyncGenerator

import pytest

from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import ImageError, NotFound, RegistryError, Unreachable
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Anonymous, Endpoint
from dregsy.registry.downloads import BlobStream
from dregsy.registry.pool import Registries
from dregsy.registry.uploads import upload
from tests.testbed.faults import Fault
from tests.testbed.proxy import RecordingProxy
from tests.testbed.servers import DockerRegistry

MIB = 2**20
CONTENT = b"".join(number.to_bytes(4) * 64 for number in range(MIB // 16))
"""16 MiB without a period, so that bytes at the wrong place show."""
DIGEST = Digest.of(CONTENT)
STEP = 2**16
SENDING = r"/blobs/uploads/\w"


def stream(begins: list[int] | None = None) -> BlobStream:
    """The content as a source gives it; ``begins`` are the offsets from which it was read."""

    async def pieces(start: int) -> AsyncGenerator[bytes, None]:
        if begins is not None:
            begins.append(start)
        for place in range(start, len(CONTENT), STEP):
            yield CONTENT[place : place + STEP]

    return BlobStream(len(CONTENT), pieces(0), pieces)


async def send(clients: Registries, host: str, repository: str, content: BlobStream | None = None) -> None:
    """Upload the content."""
    client = clients.at(Endpoint(host, credentials=Anonymous()))
    async with client.uploading():
        location = await client.begin_upload(repository)
        await upload(client, repository, DIGEST, content or stream(), location)


def stored(registry: EmbeddedRegistry, repository: str) -> bytes:
    """What a registry has of the content."""
    return bytes(registry.store.find(repository).blob(DIGEST))


def sent(proxy: RecordingProxy) -> int:
    """Count the bytes that were sent through a proxy."""
    return sum(one.bytes_up for one in proxy.seen)


async def test_goes_on(clients: Registries) -> None:
    """Over a link that keeps breaking all bytes arrive, each sent about once, in one upload."""
    begins: list[int] = []
    async with EmbeddedRegistry() as registry:
        with RecordingProxy(registry.host, Fault(path=SENDING, cut_upload_at=8 * MIB, times=-1)) as proxy:
            await send(clients, proxy.host, "app", stream(begins))

            assert proxy.count("POST", "/uploads/") == 1
            assert len(CONTENT) <= sent(proxy) < 2 * len(CONTENT)  # more by what was on its way when it broke
            assert begins == sorted(set(begins))
            assert begins[0] == 0
        assert stored(registry, "app") == CONTENT


async def test_begins_anew(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A registry that keeps nothing of what breaks off gets the whole in a new upload."""
    with RecordingProxy(registry_a.host, Fault(method="PUT", path=SENDING, cut_upload_at=5 * MIB, times=2)) as proxy:
        await send(clients, proxy.host, repo)

        assert (proxy.count("POST", "/uploads/"), proxy.count("PUT", SENDING)) == (3, 3)
    client = clients.at(Endpoint(registry_a.host, credentials=Anonymous()))
    assert await client.has_blob(repo, DIGEST)


async def test_gives_up(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A link that never lets the whole through, to a registry that keeps no part, has an end."""
    with RecordingProxy(registry_a.host, Fault(path=SENDING, cut_upload_at=5 * MIB, times=-1)) as proxy:
        with pytest.raises(Unreachable, match="broke"):
            await send(clients, proxy.host, repo)

        assert proxy.count("PUT", SENDING) == 4


async def test_only_the_answer_is_lost(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A blob that turns out to be there is not sent again."""
    with RecordingProxy(registry_a.host, Fault(method="PUT", path=SENDING, loses_answer=True)) as proxy:
        await send(clients, proxy.host, repo)

        assert sent(proxy) == len(CONTENT)


@pytest.mark.parametrize("status", [404, 416, 429, 500, 502, 503])
async def test_refused_in_passing(status: int, clients: Registries) -> None:
    """A registry that has lost an upload, is busy or out of order gets the whole another time."""
    async with EmbeddedRegistry() as registry:
        with RecordingProxy(registry.host, Fault(method="PUT", path=SENDING, status=status)) as proxy:
            await send(clients, proxy.host, "app")
        assert stored(registry, "app") == CONTENT


@pytest.mark.parametrize("status", [400, 403, 413])
async def test_refused_for_good(status: int, clients: Registries) -> None:
    """What a registry does not take is not offered twice."""
    async with EmbeddedRegistry() as registry:
        with RecordingProxy(registry.host, Fault(method="PUT", path=SENDING, status=status, times=-1)) as proxy:
            with pytest.raises(RegistryError) as caught:
                await send(clients, proxy.host, "app")

            assert (caught.value.status, proxy.count("PUT", SENDING)) == (status, 1)


@pytest.mark.parametrize("span", ["0-0", "", "x", "0-99999999", "5-9", "0-\udcff", "0-" + "9" * 30])
async def test_a_place_that_makes_no_sense(span: str, clients: Registries) -> None:
    """A registry that tells no place, or one that was never reached, gets the whole in a new upload."""
    told = Fault(method="GET", path=SENDING, headers={"Range": span} if span else {}, strip=() if span else ("Range",))
    async with EmbeddedRegistry() as registry:
        with RecordingProxy(registry.host, Fault(method="PUT", path=SENDING, cut_upload_at=MIB), told) as proxy:
            await send(clients, proxy.host, "app")

            assert proxy.count("POST", "/uploads/") == 2
        assert stored(registry, "app") == CONTENT


async def test_a_place_that_is_wrong(clients: Registries) -> None:
    """Where what is there is not what was sent, the registry's own check tells, and the whole is sent again."""
    told = Fault(method="GET", path=SENDING, headers={"Range": "0-65535"})
    strip = Fault(method="PATCH", path=SENDING, status=202, headers={"Location": "/v2/app/blobs/uploads/x"})
    async with EmbeddedRegistry() as registry:
        faults = [Fault(method="PUT", path=SENDING, cut_upload_at=MIB), told, strip]
        with RecordingProxy(registry.host, *faults) as proxy:
            await send(clients, proxy.host, "app")
        assert stored(registry, "app") == CONTENT


async def test_the_source_fails(clients: Registries) -> None:
    """An error of the source is not one of the upload: it comes out as it is, and at once."""
    error = Unreachable("the source is gone", retryable=True)

    async def broken(_start: int = 0) -> AsyncGenerator[bytes, None]:
        yield CONTENT[:100]
        raise error

    async with EmbeddedRegistry() as registry:
        with RecordingProxy(registry.host) as proxy:
            with pytest.raises(Unreachable) as caught:
                await send(clients, proxy.host, "app", BlobStream(len(CONTENT), broken(), broken))

            assert caught.value is error
            assert proxy.count("POST", "/uploads/") == 1


async def test_a_bug_of_the_source(clients: Registries) -> None:
    """Errors that are no registry's pass through, too."""

    async def broken(_start: int = 0) -> AsyncGenerator[bytes, None]:
        yield CONTENT[:100]
        raise ImageError("no image")

    async with EmbeddedRegistry() as registry:
        with pytest.raises(ImageError):
            await send(clients, registry.host, "app", BlobStream(len(CONTENT), broken(), broken))


async def test_the_repository_is_gone(clients: Registries) -> None:
    """A repository that is deleted while it is written to ends the upload."""
    async with EmbeddedRegistry() as registry:
        gone = [Fault(method=method, path="/blobs/", skip=skip, status=404, times=-1)
                for method, skip in (("PUT", 0), ("POST", 1), ("GET", 0), ("HEAD", 0))]  # fmt: skip
        with RecordingProxy(registry.host, *gone) as proxy, pytest.raises(NotFound):
            await send(clients, proxy.host, "app")
