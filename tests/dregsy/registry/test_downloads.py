"""Blobs whose connection breaks go on where they were, against real registries."""

from collections.abc import AsyncIterator, Callable

import pytest

from dregsy.errors import DigestMismatch, NotFound, Unreachable
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Anonymous, Endpoint
from dregsy.model.manifest import UNKNOWN_SIZE, Descriptor
from dregsy.model.timeouts import Timeouts
from dregsy.registry.pool import Registries
from dregsy.registry.retry import Backoff
from dregsy.registry.wire import Body
from tests.testbed.clients import registries
from tests.testbed.faults import Fault, Gate
from tests.testbed.proxy import RecordingProxy
from tests.testbed.servers import DockerRegistry

MIB = 2**20
CONTENT = b"".join(number.to_bytes(4) * 64 for number in range(MIB // 16))
"""16 MiB without a period, so that bytes from the wrong place show."""


def described(size: int = len(CONTENT)) -> Descriptor:
    """The descriptor of the content."""
    return Descriptor("application/octet-stream", Digest.of(CONTENT), size)


@pytest.fixture
async def host(registry_a: DockerRegistry, repo: str, clients: Registries) -> str:
    """A registry that has the content in ``repo``."""

    async def whole() -> AsyncIterator[bytes]:
        yield CONTENT

    client = clients.at(Endpoint(registry_a.host, credentials=Anonymous()))
    location = await client.begin_upload(repo)
    await client.finish_upload(repo, location, Digest.of(CONTENT), Body(len(CONTENT), whole))
    return registry_a.host


async def read(clients: Registries, host: str, repository: str, size: int = len(CONTENT)) -> bytes:
    """Read the content."""
    client = clients.at(Endpoint(host, credentials=Anonymous()))
    async with client.read_blob(repository, described(size)) as stream:
        return b"".join([chunk async for chunk in stream.chunks])


def received(proxy: RecordingProxy) -> int:
    """Count the bytes of blobs that left a proxy."""
    return sum(one.bytes_down for one in proxy.seen if one.method == "GET" and "/blobs/" in one.path)


@pytest.mark.parametrize("size", [len(CONTENT), UNKNOWN_SIZE])
async def test_a_link_that_keeps_breaking(host: str, repo: str, clients: Registries, size: int) -> None:
    """However often the connection breaks, with each byte sent about once, as long as some get through each time."""
    with RecordingProxy(host, Fault(path="/blobs/", cut_at=7 * MIB + 7, hangs_up=True, times=-1)) as proxy:
        assert await read(clients, proxy.host, repo, size) == CONTENT

        statuses = [one.status for one in proxy.seen if "/blobs/" in one.path]
        assert (statuses[0], set(statuses[1:])) == (200, {206})
        assert received(proxy) < 1.5 * len(CONTENT)  # what lay in buffers when it broke comes again


async def test_a_link_that_stands_still(host: str, repo: str, clients: Registries) -> None:
    """Attempts that do not get ahead are counted, and are few."""
    with RecordingProxy(host, Fault(path="/blobs/", cut_at=1000, times=-1)) as proxy:
        with pytest.raises(Unreachable, match="broke"):
            await read(clients, proxy.host, repo)

        assert proxy.count("GET", "/blobs/") == 4


async def test_a_source_that_drips(host: str, repo: str) -> None:
    """A source that sends a byte now and then is cut off; the next connection may be a better one."""
    with RecordingProxy(host, Fault(path="/blobs/", drips=True)) as proxy:
        async with registries(timeouts=Timeouts(read=0.5)) as clients:
            assert await read(clients, proxy.host, repo) == CONTENT

        statuses = [one.status for one in proxy.seen if "/blobs/" in one.path]
        assert (statuses[0], set(statuses[1:])) == (200, {206})


async def test_a_source_that_always_drips(host: str, repo: str) -> None:
    """A source that never sends more than drops is given up, and its place is free for others."""
    with RecordingProxy(host, Fault(path="/blobs/", drips=True, times=-1)) as proxy:
        async with registries(timeouts=Timeouts(read=0.5), backoff=Backoff(attempts=1, base=0)) as clients:
            with pytest.raises(Unreachable, match="sends no more than"):
                await read(clients, proxy.host, repo)


async def test_a_source_that_falls_silent(host: str, repo: str) -> None:
    """A source that stops in the middle is left after the time limit, and the rest read by another connection."""
    gate = Gate()
    with RecordingProxy(host) as proxy:
        proxy.faults = [Fault(path="/blobs/", stop_at=5 * MIB, gate=gate)]
        async with registries(timeouts=Timeouts(read=0.2)) as clients:
            assert await read(clients, proxy.host, repo) == CONTENT
        gate.open()

        statuses = [one.status for one in proxy.seen if "/blobs/" in one.path]
        assert (statuses[0], set(statuses[1:])) == (200, {206})


def no_ranges() -> Fault:
    """Send the whole in answer to a range."""
    return Fault(path="/blobs/", skip=1, status=200, body=CONTENT)


def other_range() -> Fault:
    """Send another range than was asked for."""
    return Fault(path="/blobs/", skip=1, headers={"Content-Range": f"bytes 0-{MIB}/{len(CONTENT)}"})


def no_place() -> Fault:
    """Send a range without saying which."""
    return Fault(path="/blobs/", skip=1, strip=("Content-Range",))


def odd_place() -> Fault:
    """Send a range in words that mean nothing."""
    return Fault(path="/blobs/", skip=1, headers={"Content-Range": "bytes ³-\udcff"})


def refused() -> Fault:
    """Refuse the range."""
    return Fault(path="/blobs/", skip=1, status=416)


@pytest.mark.parametrize("answer", [no_ranges, other_range, no_place, odd_place, refused])
async def test_ranges_that_are_none(host: str, repo: str, clients: Registries, answer: Callable[[], Fault]) -> None:
    """Where a registry does not give the range that was asked for, the blob is read anew, and comes out right."""
    with RecordingProxy(host, answer(), Fault(path="/blobs/", cut_at=5 * MIB)) as proxy:
        assert await read(clients, proxy.host, repo) == CONTENT


async def test_a_rest_that_is_wrong(host: str, repo: str, clients: Registries) -> None:
    """What comes by range is checked with what came before, as one whole."""
    with RecordingProxy(host) as proxy:
        proxy.faults = [Fault(path="/blobs/", skip=1, flip_at=3), Fault(path="/blobs/", cut_at=5 * MIB)]
        with pytest.raises(DigestMismatch):
            await read(clients, proxy.host, repo)


async def test_a_rest_that_is_gone(host: str, repo: str, clients: Registries) -> None:
    """A blob that is deleted while it is read ends as what it is."""
    with RecordingProxy(host) as proxy:
        proxy.faults = [Fault(path="/blobs/", skip=1, status=404), Fault(path="/blobs/", cut_at=5 * MIB)]
        with pytest.raises(NotFound):
            await read(clients, proxy.host, repo)


async def test_an_address_that_ran_out_meanwhile(host: str, repo: str, clients: Registries) -> None:
    """Who goes on asks the registry for a new address of the content network, and gets the range there."""
    with RecordingProxy(host) as proxy:
        proxy.faults = [Fault(path="/blobs/", redirect=True, times=-1)]
        client = clients.at(Endpoint(proxy.host, credentials=Anonymous()))
        async with client.read_blob(repo, described()) as stream:
            first = await anext(stream.chunks)
            proxy.cdn.expire()
            await stream.chunks.aclose()
            rest = b"".join([chunk async for chunk in stream.again(len(first))])

        assert first + rest == CONTENT


@pytest.mark.parametrize("offset", [0, 1, 4 * MIB, 4 * MIB + 1, 9 * MIB])
async def test_going_back(host: str, repo: str, clients: Registries, offset: int) -> None:
    """Who lost bytes gets them again, not much more is read, and the end is checked nevertheless."""
    with RecordingProxy(host) as proxy:
        client = clients.at(Endpoint(proxy.host, credentials=Anonymous()))
        async with client.read_blob(repo, described()) as stream:
            taken = 0
            while taken < 9 * MIB:
                taken += len(await anext(stream.chunks))
            await stream.chunks.aclose()
            rest = b"".join([chunk async for chunk in stream.again(offset)])

        begin = proxy.seen[-1].headers.get("Range", "bytes=0-")
        assert rest == CONTENT[offset:]
        assert offset - 6 * MIB < int(begin.removeprefix("bytes=").removesuffix("-")) <= offset


async def test_going_back_to_what_is_wrong(host: str, repo: str, clients: Registries) -> None:
    """Bytes that come a second time are hashed like those of the first."""
    with RecordingProxy(host, Fault(path="/blobs/", skip=1, flip_at=3 * MIB)) as proxy:
        client = clients.at(Endpoint(proxy.host, credentials=Anonymous()))
        async with client.read_blob(repo, described()) as stream:
            await anext(stream.chunks)
            await stream.chunks.aclose()
            with pytest.raises(DigestMismatch):
                assert [chunk async for chunk in stream.again(0)]
