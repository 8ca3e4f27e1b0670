"""The same requests to the embedded registry and to Debian's docker-registry, and what only the former can."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from dregsy.embedded.images import Image, artifact, image, index, seed
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.embedded.store import Store
from dregsy.model.digest import Digest
from dregsy.model.manifest import DOCKER_MANIFEST, DOCKER_SCHEMA1, MANIFEST_TYPES, OCI_INDEX, OCI_MANIFEST
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

ONE = image("one")
BOTH = index(ONE, image("other"))
CONFIG = ONE.top.blobs[0]
NOWHERE = Digest.of(b"nowhere")
ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}
TYPED = {"Content-Type": OCI_MANIFEST}
AWAY = {"mediaType": OCI_MANIFEST, "digest": str(NOWHERE), "size": 3}
UNSAID = ("Accept", "Content-Type")
COMPARED = (
    "Accept-Ranges",
    "Content-Range",
    "Content-Type",
    "Docker-Content-Digest",
    "Docker-Distribution-Api-Version",
    "Etag",
    "Range",
)


def changed(**fields: object) -> bytes:
    """Return the manifest of ONE with some fields changed."""
    return json.dumps({**json.loads(ONE.top.raw), **fields}).encode()


@dataclass(frozen=True)
class Ask:
    """A request; ``REPO`` in its path stands for a repository that holds ONE as v1, and ``BOTH`` as v2."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def __str__(self) -> str:
        told = self.path.replace(CONFIG.digest.hex, "CONFIG").replace(ONE.digest.hex, "ONE")
        told = told.replace(NOWHERE.hex, "NOWHERE")[:100]
        return " ".join([self.method, told, *self.headers, str(len(self.body or b""))])


@dataclass(frozen=True)
class Answer:
    """What matters of an answer: a JSON body is compared as data, and of errors only the codes."""

    status: int
    body: Any
    headers: Mapping[str, str]


SAME = [
    Ask("GET", "/v2/"),
    Ask("HEAD", "/v2/"),
    Ask("GET", "/v2/REPO/tags/list"),
    Ask("GET", "/v2/REPO/none/tags/list"),
    Ask("GET", "/v2/REPO/manifests/v1", ACCEPT),
    Ask("GET", "/v2/REPO/manifests/v2", ACCEPT),
    Ask("HEAD", "/v2/REPO/manifests/v2", ACCEPT),
    Ask("GET", f"/v2/REPO/manifests/{ONE.digest}", ACCEPT),
    Ask("GET", "/v2/REPO/manifests/none", ACCEPT),
    Ask("HEAD", "/v2/REPO/manifests/none", ACCEPT),
    Ask("GET", f"/v2/REPO/manifests/{NOWHERE}", ACCEPT),
    Ask("GET", "/v2/REPO/none/manifests/v1", ACCEPT),
    Ask("GET", f"/v2/REPO/blobs/{CONFIG.digest}"),
    Ask("HEAD", f"/v2/REPO/blobs/{CONFIG.digest}"),
    Ask("GET", f"/v2/REPO/blobs/{CONFIG.digest}", {"Range": "bytes=2-5"}),
    Ask("GET", f"/v2/REPO/blobs/{CONFIG.digest}", {"Range": "bytes=-3"}),
    Ask("GET", f"/v2/REPO/blobs/{CONFIG.digest}", {"Range": "bytes=600-"}),
    Ask("GET", f"/v2/REPO/blobs/{CONFIG.digest}", {"Range": "bytes=0-"}),
    Ask("GET", f"/v2/REPO/blobs/{CONFIG.digest}", {"Range": "bytes=0-99999"}),
    Ask("HEAD", f"/v2/REPO/blobs/{CONFIG.digest}", {"Range": "bytes=2-5"}),
    Ask("GET", "/v2/REPO/blobs/sha256:123"),
    Ask("GET", f"/v2/REPO/blobs/{NOWHERE}"),
    Ask("HEAD", f"/v2/REPO/blobs/{NOWHERE}"),
    Ask("GET", f"/v2/REPO/none/blobs/{CONFIG.digest}"),
    Ask("PUT", "/v2/REPO/manifests/new", TYPED, ONE.top.raw),
    Ask("PUT", f"/v2/REPO/manifests/{ONE.digest}", TYPED, ONE.top.raw),
    Ask("PUT", f"/v2/REPO/manifests/{NOWHERE}", TYPED, ONE.top.raw),
    Ask("PUT", "/v2/REPO/none/manifests/new", TYPED, ONE.top.raw),
    Ask("PUT", "/v2/REPO/none/manifests/new", {"Content-Type": OCI_INDEX}, BOTH.top.raw),
    Ask("PUT", "/v2/REPO/manifests/new", TYPED, b"garbage"),
    Ask("PUT", "/v2/REPO/manifests/new", TYPED, b""),
    Ask("PUT", "/v2/REPO/manifests/new", TYPED, b"[]"),
    Ask("PUT", "/v2/REPO/manifests/new", {"Content-Type": "text/plain"}, ONE.top.raw),
    Ask("PUT", "/v2/REPO/manifests/new", {"Content-Type": DOCKER_MANIFEST}, ONE.top.raw),
    Ask("PUT", "/v2/REPO/manifests/new", {"Content-Type": ""}, ONE.top.raw),
    Ask("PUT", "/v2/REPO/manifests/new", TYPED, changed(mediaType=DOCKER_MANIFEST)),
    Ask("PUT", "/v2/REPO/manifests/new", TYPED, changed(mediaType=None)),
    Ask("PUT", "/v2/REPO/manifests/new", TYPED, changed(subject=AWAY)),
    Ask("PUT", "/v2/REPO/manifests/new", TYPED, changed(layers=[AWAY])),
    Ask("PUT", "/v2/REPO/manifests/new", TYPED, changed(layers=[])),
    Ask("PUT", "/v2/REPO/manifests/new", {"Content-Type": DOCKER_SCHEMA1}, b'{"schemaVersion": 1, "fsLayers": []}'),
    Ask("POST", "/v2/REPO/blobs/uploads/"),
    Ask("POST", f"/v2/REPO/new/blobs/uploads/?mount={CONFIG.digest}&from=REPO"),
    Ask("POST", f"/v2/REPO/new/blobs/uploads/?mount={NOWHERE}&from=REPO"),
    Ask("POST", f"/v2/REPO/new/blobs/uploads/?mount={CONFIG.digest}&from=none"),
    Ask("POST", f"/v2/REPO/new/blobs/uploads/?mount={CONFIG.digest}&from=UPPER"),
    Ask("POST", "/v2/REPO/new/blobs/uploads/?mount=sha256:12&from=REPO"),
    Ask("POST", f"/v2/REPO/new/blobs/uploads/?mount={CONFIG.digest}"),
    Ask("DELETE", f"/v2/REPO/manifests/{NOWHERE}"),
    Ask("DELETE", f"/v2/REPO/manifests/{ONE.digest}"),
    Ask("DELETE", f"/v2/REPO/blobs/{CONFIG.digest}"),
    Ask("DELETE", f"/v2/REPO/blobs/{NOWHERE}"),
    Ask("DELETE", "/v2/REPO/blobs/sha256:12"),
]

BETTER = [
    # docker-registry: 416 with a body that is shorter than its Content-Length
    (Ask("GET", f"/v2/REPO/blobs/{CONFIG.digest}", {"Range": "bytes=99999-"}), 416, b""),
    (Ask("GET", f"/v2/REPO/blobs/{CONFIG.digest}", {"Range": "lines=1"}), 416, b""),
    # docker-registry: 404 with a page of text
    (Ask("GET", "/v2/UPPER/tags/list"), 400, ["NAME_INVALID"]),
    (Ask("PUT", "/v2/REPO/manifests/-bad", TYPED, ONE.top.raw), 400, ["TAG_INVALID"]),
    (Ask("GET", "/v2/REPO/manifests/-bad"), 404, ["MANIFEST_UNKNOWN"]),
    # docker-registry: 500
    (Ask("GET", "/v2/REPO/manifests/sha256:12"), 404, ["MANIFEST_UNKNOWN"]),
    (Ask("PUT", "/v2/REPO/manifests/x", TYPED, changed(layers=[{**AWAY, "digest": "y"}])), 400, ["MANIFEST_INVALID"]),
    # docker-registry: 400 for a manifest that is too large, and for the deletion of a tag
    (Ask("PUT", "/v2/REPO/manifests/x", TYPED, changed(annotations={"a": "x" * 2**22})), 413, ["MANIFEST_INVALID"]),
    (Ask("DELETE", "/v2/REPO/manifests/v1"), 202, b""),
    (Ask("DELETE", "/v2/REPO/manifests/none"), 404, ["MANIFEST_UNKNOWN"]),
    # docker-registry: BLOB_UPLOAD_INVALID
    (Ask("GET", "/v2/REPO/blobs/uploads/none"), 404, ["BLOB_UPLOAD_UNKNOWN"]),
    (Ask("PATCH", "/v2/REPO/blobs/uploads/none", {}, b"x"), 404, ["BLOB_UPLOAD_UNKNOWN"]),
    (Ask("PUT", f"/v2/REPO/blobs/uploads/none?digest={NOWHERE}", {}, b"x"), 404, ["BLOB_UPLOAD_UNKNOWN"]),
    (Ask("DELETE", "/v2/REPO/blobs/uploads/none"), 404, ["BLOB_UPLOAD_UNKNOWN"]),
    # docker-registry: 202, and everything as if there were no such parameter
    (Ask("GET", "/v2/_catalog?n=x"), 400, ["PAGINATION_NUMBER_INVALID"]),
    (Ask("GET", "/v2/_catalog?n=" + "9" * 5000), 400, ["PAGINATION_NUMBER_INVALID"]),
    (Ask("POST", "/v2/REPO/blobs/uploads/?digest=sha256:12", {}, b"x"), 400, ["DIGEST_INVALID"]),
    (Ask("POST", f"/v2/REPO/blobs/uploads/?digest={NOWHERE}", {}, b"x"), 400, ["DIGEST_INVALID"]),
    (Ask("POST", f"/v2/REPO/blobs/uploads/?digest={Digest.of(b'x')}", {}, b"x"), 201, b""),
]


async def answer(session: aiohttp.ClientSession, host: str, repo: str, ask: Ask) -> Answer:
    """Put a request to a registry."""
    path = ask.path.replace("REPO", repo)
    body = io.BytesIO(ask.body) if ask.body is not None else None
    async with session.request(
        ask.method, f"http://{host}{path}", headers=ask.headers, data=body, skip_auto_headers=UNSAID
    ) as given:
        raw = await given.read()
        headers = {name: given.headers[name] for name in COMPARED if name in given.headers}
        if given.headers.get("Content-Type", "").startswith("application/json"):
            document = json.loads(raw or b"{}")
            codes = [one["code"] for one in document.get("errors", [])]
            return Answer(given.status, codes or document, headers)
        return Answer(given.status, raw, headers)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Return an HTTP client."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as opened:
        yield opened


@pytest.fixture
async def registry() -> AsyncIterator[EmbeddedRegistry]:
    """Run an embedded registry, in which a/b has ONE as v1 and BOTH as v2."""
    async with EmbeddedRegistry() as running:
        await seed(running, "a/b", ONE, "v1")
        await seed(running, "a/b", BOTH, "v2")
        yield running


@pytest.mark.parametrize("ask", SAME, ids=str)
async def test_answers_are_those_of_docker_registry(
    ask: Ask, registry_a: DockerRegistry, repo: str, session: aiohttp.ClientSession
) -> None:
    """Good and bad requests get the status, codes, body and headers that the usual registry gives."""
    async with EmbeddedRegistry() as registry:
        for one, tag in ((ONE, "v1"), (BOTH, "v2")):
            await asyncio.to_thread(push, registry_a.host, repo, one, tag)
            await seed(registry, repo, one, tag)
        real, ours = [await answer(session, host, repo, ask) for host in (registry_a.host, registry.host)]
    assert real == ours


@pytest.mark.parametrize(("ask", "status", "body"), BETTER, ids=str)
async def test_answers_that_docker_registry_gets_wrong(
    ask: Ask, status: int, body: object, registry: EmbeddedRegistry, session: aiohttp.ClientSession
) -> None:
    """Where the usual registry is peculiar, the answer is what the specification wants."""
    given = await answer(session, registry.host, "a/b", ask)
    assert (status, body) == (given.status, given.body)


async def test_an_etag_saves_the_body(registry: EmbeddedRegistry, session: aiohttp.ClientSession) -> None:
    """A manifest that the client has already is not sent again."""
    ask = Ask("GET", "/v2/REPO/manifests/v1", {"If-None-Match": f'"{ONE.digest}"'})
    given = await answer(session, registry.host, "a/b", ask)
    assert (given.status, given.body) == (304, b"")


async def start(session: aiohttp.ClientSession, registry: EmbeddedRegistry) -> str:
    """Begin an upload and return its URL."""
    async with session.post(f"http://{registry.host}/v2/a/b/blobs/uploads/") as given:
        assert given.status == 202
        return f"http://{registry.host}{given.headers['Location']}"


async def test_an_upload_in_chunks(registry: EmbeddedRegistry, session: aiohttp.ClientSession) -> None:
    """Chunks in order make a blob; in between the registry tells how far it is."""
    url = await start(session, registry)
    async with session.patch(url, data=b"one", headers={"Content-Range": "0-2"}) as given:
        assert (given.status, given.headers["Range"]) == (202, "0-2")
    async with session.get(url) as given:
        assert (given.status, given.headers["Range"]) == (204, "0-2")
    url = f"{url}?digest={Digest.of(b'onetwo')}"
    async with session.put(url, data=b"two", headers={"Content-Range": "3-5"}) as given:
        assert (given.status, given.headers["Docker-Content-Digest"]) == (201, str(Digest.of(b"onetwo")))
        location = given.headers["Location"]
    async with session.get(f"http://{registry.host}{location}") as given:
        assert await given.read() == b"onetwo"


@pytest.mark.parametrize("place", ["0-2", "4-6", "x", "-"])
async def test_chunks_out_of_order(place: str, registry: EmbeddedRegistry, session: aiohttp.ClientSession) -> None:
    """A chunk that does not begin where the upload ends is refused, and the answer says where that is."""
    url = await start(session, registry)
    async with session.patch(url, data=b"one"):
        pass
    for method, address in (("PATCH", url), ("PUT", f"{url}?digest={NOWHERE}")):
        async with session.request(method, address, data=b"two", headers={"Content-Range": place}) as given:
            assert (given.status, given.headers["Range"]) == (416, "0-2")


async def test_an_upload_can_be_given_up(registry: EmbeddedRegistry, session: aiohttp.ClientSession) -> None:
    """A deleted upload is gone."""
    url = await start(session, registry)
    async with session.delete(url) as given:
        assert given.status == 204
    async with session.get(url) as given:
        assert given.status == 404


async def test_an_upload_needs_a_digest(registry: EmbeddedRegistry, session: aiohttp.ClientSession) -> None:
    """An upload cannot end without a digest, but goes on."""
    url = await start(session, registry)
    async with session.put(url, data=b"one") as given:
        assert given.status == 400
    async with session.get(url) as given:
        assert given.status == 204


async def test_a_broken_upload_can_be_resumed(registry: EmbeddedRegistry, session: aiohttp.ClientSession) -> None:
    """What arrived before the connection broke stays."""
    url = await start(session, registry)
    upload = registry.store.find("a/b").upload(url.rpartition("/")[2])
    address, _, port = registry.host.partition(":")
    _, writer = await asyncio.open_connection(address, int(port))
    path = url.removeprefix(f"http://{registry.host}")
    writer.write(f"PATCH {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\none".encode())
    async with asyncio.timeout(60):
        while not upload.data:
            await asyncio.sleep(0)
    writer.transport.abort()
    async with session.put(f"{url}?digest={Digest.of(b'onetwo')}", data=b"two") as given:
        assert given.status == 201


async def test_an_upload_that_grows_too_large_ends(session: aiohttp.ClientSession) -> None:
    """Beyond the limit the upload is refused, and nothing of it stays in memory."""
    async with EmbeddedRegistry(store=Store(blob_limit=1000)) as registry:
        url = await start(session, registry)
        async with session.patch(url, data=b"x" * 1001) as given:
            assert given.status == 413
        assert registry.store.find("a/b").uploads == {}


async def pages(session: aiohttp.ClientSession, registry: EmbeddedRegistry, path: str, key: str) -> list[list[str]]:
    """Follow the links of a listing."""
    found = []
    while path:
        async with session.get(f"http://{registry.host}{path}") as given:
            found.append((await given.json())[key])
            path = given.headers.get("Link", "").partition(">")[0].lstrip("<")
    return found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [["a", "b", "c", "d"]]),
        ("?n=2", [["a", "b"], ["c", "d"]]),
        ("?n=3", [["a", "b", "c"], ["d"]]),
        ("?n=9", [["a", "b", "c", "d"]]),
        ("?n=0", [[]]),
        ("?last=b", [["c", "d"]]),
        ("?n=1&last=bb", [["c"], ["d"]]),
        ("?last=z", [[]]),
    ],
)
async def test_listings_come_in_pages(query: str, expected: list[list[str]], session: aiohttp.ClientSession) -> None:
    """Tags and repositories are sorted, begin after ``last`` and come ``n`` at a time, with links to what follows."""
    async with EmbeddedRegistry() as registry:
        await seed(registry, "x", ONE, "d", "b", "c", "a")
        assert expected == await pages(session, registry, f"/v2/x/tags/list{query}", "tags")
    async with EmbeddedRegistry() as registry:
        for name in "dbca":
            await seed(registry, name, ONE)
        assert expected == await pages(session, registry, f"/v2/_catalog{query}", "repositories")


async def test_a_pushed_referrer_is_listed(registry: EmbeddedRegistry, session: aiohttp.ClientSession) -> None:
    """Who pushes an artifact with a subject is told that it counts as a referrer, and it does."""
    sbom: Image = artifact(ONE)
    for blob in sbom.blobs.values():
        registry.store.open("a/b").blobs[Digest.of(blob)] = blob
    url = f"http://{registry.host}/v2/a/b"
    async with session.put(f"{url}/manifests/{sbom.digest}", data=sbom.top.raw, headers=TYPED) as given:
        assert (given.status, given.headers["OCI-Subject"]) == (201, str(ONE.digest))
    entry = {"mediaType": OCI_MANIFEST, "digest": str(sbom.digest), "size": len(sbom.top.raw)}
    entry |= {"artifactType": "application/spdx+json", "annotations": {"org.opencontainers.image.title": "sbom"}}
    async with session.get(f"{url}/referrers/{ONE.digest}") as given:
        assert (await given.json(content_type=OCI_INDEX))["manifests"] == [entry]
        assert "OCI-Filters-Applied" not in given.headers


async def test_referrers_can_be_filtered(registry: EmbeddedRegistry, session: aiohttp.ClientSession) -> None:
    """The filter by artifact type is applied, and the answer says so."""
    await seed(registry, "a/b", artifact(ONE))
    for kind, count in (("application/spdx+json", 1), ("application/other", 0)):
        url = f"http://{registry.host}/v2/a/b/referrers/{ONE.digest}?artifactType={quote(kind)}"
        async with session.get(url) as given:
            assert (len((await given.json(content_type=OCI_INDEX))["manifests"])) == count
            assert given.headers["OCI-Filters-Applied"] == "artifactType"


@pytest.mark.parametrize(("path", "status"), [(f"none/referrers/{NOWHERE}", 200), ("a/b/referrers/x", 400)])
async def test_referrers_of_nothing(
    path: str, status: int, registry: EmbeddedRegistry, session: aiohttp.ClientSession
) -> None:
    """An unknown digest has no referrers, which is no error; a text that is no digest is one."""
    async with session.get(f"http://{registry.host}/v2/{path}") as given:
        assert given.status == status
