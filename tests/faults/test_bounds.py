"""Registries that answer with too much: it is refused in words, at the bounds that docs/security.md tells."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from dregsy.errors import DregsyError
from dregsy.model.endpoint import Anonymous, Endpoint
from dregsy.model.manifest import DOCKER_SCHEMA1, OCI_INDEX, OCI_MANIFEST, PARTS_LIMIT
from dregsy.registry.client import Registry
from dregsy.registry.pool import Registries
from dregsy.registry.retry import Backoff
from dregsy.registry.wire import HEADER_LIMIT, HEADERS
from tests.testbed.clients import registries
from tests.testbed.raw import RawServer, saying

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
DEEP = b"[" * 100_000 + b"]" * 100_000
DESCRIPTOR = {"mediaType": "a/b", "digest": "sha256:" + "a" * 64, "size": 1}
Ask = Callable[[Registry], Awaitable[object]]


@pytest.fixture
async def clients() -> AsyncIterator[Registries]:
    """Clients that try nothing again."""
    async with registries(backoff=Backoff(attempts=1)) as clients:
        yield clients


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Write an answer with a body."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def refused(clients: Registries, ask: Ask, *answers: bytes) -> str:
    """Ask a registry that answers so after its greeting; return what is said about it."""
    async with RawServer(saying(OK, *answers)) as server:
        with pytest.raises(DregsyError) as caught:
            await ask(clients.at(Endpoint(server.host, credentials=Anonymous())))
    assert len(str(caught.value)) < 500
    return str(caught.value)


def tags(registry: Registry) -> Awaitable[object]:
    """List tags."""
    return registry.tags("a/b")


def manifest(registry: Registry) -> Awaitable[object]:
    """Read a manifest."""
    return registry.get_manifest("a/b", "v1")


@pytest.mark.parametrize(
    ("ask", "answers", "said"),
    [
        (tags, [answer(b'{"tags":' + DEEP + b"}")], "no list of tags"),
        (tags, [answer(b'{"errors":' + DEEP + b"}", "403 Forbidden")], "answered 403"),
        (manifest, [answer(b'{"layers":' + DEEP + b"}")], "nested more deeply than 64 levels"),
        (manifest, [answer(b'{"annotations":' + DEEP, "200 OK", f"Content-Type: {OCI_INDEX}")], "more deeply than 64"),
    ],
    ids=["list", "error", "manifest", "index"],
)
async def test_depth(clients: Registries, ask: Ask, answers: list[bytes], said: str) -> None:
    """JSON within JSON within JSON ends as an error of that image or list."""
    assert said in await refused(clients, ask, *answers)


async def test_depth_of_a_token(clients: Registries) -> None:
    """A token server's answer that is too deep is none."""
    async with RawServer(saying(answer(b'{"token":' + DEEP + b"}"))) as tokens:
        asks = answer(b"", "401 U", f'WWW-Authenticate: Bearer realm="http://{tokens.host}/token"')
        async with RawServer(saying(asks)) as server:
            with pytest.raises(DregsyError, match="token server is not JSON"):
                await clients.at(Endpoint(server.host, credentials=Anonymous())).tags("a/b")


@pytest.mark.parametrize(
    ("kind", "key", "entry"),
    [
        (OCI_MANIFEST, "layers", DESCRIPTOR),
        (OCI_INDEX, "manifests", DESCRIPTOR),
        (DOCKER_SCHEMA1, "fsLayers", {"blobSum": DESCRIPTOR["digest"]}),
    ],
)
async def test_parts(clients: Registries, kind: str, key: str, entry: dict[str, object]) -> None:
    """So many layers or images are read, and not one more."""
    document = {"schemaVersion": 1 if kind == DOCKER_SCHEMA1 else 2, "mediaType": kind, key: [entry] * PARTS_LIMIT}
    raw = json.dumps(document).encode()
    async with RawServer(saying(OK, answer(raw))) as server:
        await clients.at(Endpoint(server.host, credentials=Anonymous())).get_manifest("a/b", "v1")
    document[key] = [entry] * (PARTS_LIMIT + 1)

    assert "it lists more than 20000 parts" in await refused(clients, manifest, answer(json.dumps(document).encode()))


@pytest.mark.parametrize(
    "headers",
    [
        [f"X-{number}: x" for number in range(HEADERS + 1)],
        ["X: " + "x" * (HEADER_LIMIT + 1)],
        ["X" * (HEADER_LIMIT + 1) + ": x"],
    ],
    ids=["many", "long", "long name"],
)
async def test_headers(clients: Registries, headers: list[str]) -> None:
    """Headers without number or end are no proper HTTP."""
    assert "not proper HTTP" in await refused(clients, tags, answer(b"", "200 OK", *headers))
