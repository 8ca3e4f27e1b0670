import asyncio
import base64
import gc
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from dregsy.embedded.images import image, index, seed
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.model.platform import Platform
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo

BOTH = index(image("one"), image("other", platform=Platform("linux", "arm64")), attested=True)


async def test_skopeo_copies_everything(
    embedded_pair: tuple[EmbeddedRegistry, EmbeddedRegistry], skopeo: Skopeo
) -> None:
    """An index with attestations goes from one embedded registry to another, byte for byte."""
    source, target = embedded_pair
    await seed(source, "a/b", BOTH, "v1")
    await asyncio.to_thread(skopeo.copy, f"{source.host}/a/b:v1", f"{target.host}/c/d:v2")
    assert await asyncio.to_thread(skopeo.same_image, f"{source.host}/a/b:v1", f"{target.host}/c/d:v2")
    assert source.store.find("a/b").blobs == target.store.find("c/d").blobs


async def test_skopeo_copies_from_and_to_a_real_registry(registry_a: DockerRegistry, repo: str, skopeo: Skopeo) -> None:
    """What was copied to docker-registry and back is the same image."""
    async with EmbeddedRegistry() as registry:
        one = image(repo, docker=True)
        await seed(registry, "a", one, "v1")
        await asyncio.to_thread(skopeo.copy, f"{registry.host}/a:v1", f"{registry_a.host}/{repo}:v1")
        await asyncio.to_thread(skopeo.copy, f"{registry_a.host}/{repo}:v1", f"{registry.host}/b:v1")
        assert one.digest == registry.store.find("b").resolve("v1")


async def test_skopeo_lists_and_deletes(skopeo: Skopeo) -> None:
    """Skopeo finds the tags and deletes an image with them."""
    async with EmbeddedRegistry() as registry:
        await seed(registry, "a", image("one"), "v1", "v2")
        await seed(registry, "a", image("other"), "v3")
        assert await asyncio.to_thread(skopeo.tags, f"{registry.host}/a") == ["v1", "v2", "v3"]
        await asyncio.to_thread(skopeo.delete, f"{registry.host}/a:v1")
        assert await asyncio.to_thread(skopeo.tags, f"{registry.host}/a") == ["v3"]


async def test_skopeo_logs_in(tmp_path: Path) -> None:
    """With a user's login skopeo may push and pull."""
    async with EmbeddedRegistry() as source, EmbeddedRegistry(users={"jo": "pass:word"}) as target:
        await seed(source, "a", BOTH, "v1")
        skopeo = Skopeo(tmp_path / "jo", login="jo:pass:word")
        await asyncio.to_thread(skopeo.copy, f"{source.host}/a:v1", f"{target.host}/a:v1")
        assert BOTH.digest == target.store.find("a").resolve("v1")


@pytest.mark.parametrize(
    "login",
    ["", "Basic", "Basic !", "Bearer " + base64.b64encode(b"jo:word").decode()]
    + ["Basic " + base64.b64encode(text).decode() for text in (b"jo:wor", b"jo", b"", b":", b"jo:word2", b"\xff:\xff")],
)
@pytest.mark.parametrize("path", ["/v2/", "/v2/a/tags/list", "/nothing"])
async def test_without_a_login_nothing_is_told(login: str, path: str) -> None:
    """Whoever has no valid login gets 401 for every path, and is told how to log in."""
    async with EmbeddedRegistry(users={"jo": "word"}) as registry, aiohttp.ClientSession() as session:
        headers = {"Authorization": login} if login else {}
        async with session.get(f"http://{registry.host}{path}", headers=headers) as given:
            assert (given.status, (await given.json())["errors"][0]["code"]) == (401, "UNAUTHORIZED")
            assert given.headers["WWW-Authenticate"].startswith("Basic ")


async def test_every_request_is_in_the_log() -> None:
    """The log tells method, path, query, status and the sizes of both bodies, refused requests included."""
    async with EmbeddedRegistry() as registry, aiohttp.ClientSession() as session:
        blob = b"x" * 1_000_000
        url = f"http://{registry.host}/v2/a/blobs"
        digest = "sha256:e37121c9d55eb2e3a6e5f5c1ae7d2f5f2a64ea8f1c8e9ad8cc9ab4cf9b0ba8d6"
        async with session.post(f"{url}/uploads/?digest={digest}", data=blob) as given:
            assert given.status == 400
        await seed(registry, "a", image("one", size=600_000), "v1")
        layer = image("one", size=600_000).top.blobs[1]
        for method in ("GET", "HEAD"):
            async with session.request(method, f"{url}/{layer.digest}") as given:
                await given.read()
        logged = [(one.method, one.status, one.bytes_in) for one in registry.requests]
        assert logged == [("POST", 400, 1_000_000), ("GET", 200, 0), ("HEAD", 200, 0)]
        assert [one.bytes_out for one in registry.requests[1:]] == [layer.size, 0]
        assert registry.requests[0].query == f"digest={digest}"
        assert (registry.count("GET", "/blobs/sha256:"), registry.count("POST", "uploads/.*digest=")) == (1, 1)


async def test_a_stopped_registry_lets_go() -> None:
    """After its block a registry does not answer any more, not even to who was still reading."""
    async with aiohttp.ClientSession() as session:
        async with EmbeddedRegistry() as registry:
            one = image("one", layers=1, size=30_000_000)
            await seed(registry, "a", one)
            url = f"http://{registry.host}/v2/a/blobs/{one.top.blobs[1].digest}"
            reading = await session.get(url)
            await reading.content.readany()
        with pytest.raises(aiohttp.ClientError):
            await reading.read()
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url)


async def test_clients_may_hang_up(caplog: pytest.LogCaptureFixture) -> None:
    """Who hangs up while reading or sending a blob leaves a line in the request log, and no complaint elsewhere."""
    async with EmbeddedRegistry() as registry, asyncio.timeout(60):
        one = image("one", layers=1, size=30_000_000)
        await seed(registry, "a", one)
        upload = registry.store.open("a").start_upload()
        begun = f"GET /v2/a/blobs/{one.top.blobs[1].digest}", f"PATCH /v2/a/blobs/uploads/{upload.id}"
        for line, rest in zip(begun, ("\r\n", "Content-Length: 9\r\n\r\none"), strict=True):
            reader, writer = await asyncio.open_connection(*registry.host.split(":"))
            writer.write(f"{line} HTTP/1.1\r\nHost: x\r\n{rest}".encode())
            await (reader.read(1) if line.startswith("GET") else until(lambda: bool(upload.data)))
            writer.transport.abort()
            await until(lambda: registry.requests[-1].status == 499)
        assert [one.method for one in registry.requests] == ["GET", "PATCH"]
    assert caplog.records == []


async def test_a_client_that_takes_its_last_answer_late_does_not_trouble_the_end() -> None:
    """A connection that was closed while its answer was still on the way is gone when the registry ends."""
    gc.disable()  # else it depends on the collector whether the connection is still known
    try:
        async with EmbeddedRegistry() as registry, asyncio.timeout(60):
            one = image("one", layers=1, size=30_000_000)
            await seed(registry, "a", one)
            reader, writer = await asyncio.open_connection(*registry.host.split(":"), limit=1000)
            path = f"/v2/a/blobs/{one.top.blobs[1].digest}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            await until(lambda: bool(registry.requests))
            assert len(await reader.read(-1)) > 30_000_000
            writer.close()
    finally:
        gc.enable()


async def until(true: Callable[[], bool]) -> None:
    """Let the server work until something is true."""
    while not true():
        await asyncio.sleep(0)


def test_importing_the_package_loads_no_server() -> None:
    """``import dregsy.embedded`` costs nothing: the HTTP library comes with the server only."""
    script = "import sys, dregsy.embedded, dregsy.embedded.images; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, cwd=Path.cwd()).returncode == 0


@pytest.mark.parametrize("turns", range(5))
async def test_connections_that_come_while_it_ends_are_closed(turns: int) -> None:
    """A client that connects at the last moment is told that nobody is there, and nothing stays open."""
    async with EmbeddedRegistry() as registry:
        host, port = registry.host.split(":")
        clients = [socket.create_connection((host, int(port)), 20) for _ in range(20)]
        for _ in range(turns):  # in one of the loop's turns they are taken, and not yet known
            await asyncio.sleep(0)
    for client in clients:
        with client, suppress(ConnectionResetError):
            assert client.recv(1) == b""
    gc.collect()  # warns of what was forgotten
