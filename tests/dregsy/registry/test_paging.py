"""Lists in pages, in all the forms that registries have."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from dregsy.embedded import images
from dregsy.errors import NotFound, RegistryError
from dregsy.model.endpoint import Anonymous, Endpoint
from dregsy.registry import paging
from dregsy.registry.client import Registry
from dregsy.registry.paging import PAGE_SIZES
from dregsy.registry.pool import Registries
from tests.testbed.clients import given
from tests.testbed.faults import Fault, Paging
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.raw import TLS_HELLO, RawServer, head, saying
from tests.testbed.servers import DockerRegistry

TAGS = sorted(f"v{number}" for number in range(250))


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """A registry that holds ``many`` with 250 tags."""
    image = images.image("many")
    with DockerRegistry(tmp_path_factory.mktemp("tagged")) as registry:
        push(registry.host, "many", image)
        registry.write_tags("many", image.digest, TAGS)
        yield registry


def at(clients: Registries, host: str) -> Registry:
    """The client of a registry without any login."""
    return clients.at(Endpoint(host, credentials=Anonymous()))


@pytest.mark.parametrize(
    ("paging", "page_size", "requests"),
    [(Paging.RELATIVE, 100, 3), (Paging.ABSOLUTE, 100, 3), (Paging.LIMITED, 100, 6), (Paging.LIMITED, 250, 4)],
)
async def test_pages_are_followed(
    tagged: DockerRegistry, clients: Registries, paging: Paging, page_size: int, requests: int
) -> None:
    """Next pages as paths and as URLs are followed; a page size that is refused is made smaller, and remembered."""
    with RecordingProxy(tagged.host, paging=paging, page_size=page_size) as proxy:
        client = at(clients, proxy.host)
        assert sorted(await client.tags("many")) == TAGS
        assert requests == proxy.count("GET", "tags/list")

        proxy.seen.clear()
        assert sorted(await client.tags("many")) == TAGS
        assert {200} == {seen.status for seen in proxy.seen}


async def test_the_whole_list_at_once(tagged: DockerRegistry, clients: Registries) -> None:
    """A registry that knows no pages is asked once."""
    with RecordingProxy(tagged.host) as proxy:
        assert sorted(await at(clients, proxy.host).tags("many")) == TAGS
        assert proxy.count("GET", "tags/list") == 1


async def test_a_foreign_next_page_is_refused(tagged: DockerRegistry, clients: Registries) -> None:
    """No other host is ever asked for a next page, and the error names it."""
    with RecordingProxy(tagged.host, paging=Paging.FOREIGN) as proxy:
        with pytest.raises(RegistryError, match=f"another host, {proxy.cdn.host}") as caught:
            await at(clients, proxy.host).tags("many")

        assert proxy.cdn.seen == []
        assert "last=" not in str(caught.value)


async def test_a_foreign_next_page_that_repeats_a_login(clients: Registries) -> None:
    """The host that an error names is one that the registry made up, of what it was sent perhaps."""
    greeting = b'HTTP/1.1 401 U\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'
    answer = page(["v1"], link='<http://pa55word.example.com/x?last=a>; rel="next"')
    async with RawServer(saying(greeting, answer)) as server:
        client = clients.at(Endpoint(server.host, credentials=given("user", "pa55word")))
        with pytest.raises(RegistryError, match=r"another host, \*\*\*\.example\.com"):
            await client.tags("a/b")


async def test_a_page_that_stands_still_ends_the_list(tagged: DockerRegistry, clients: Registries) -> None:
    """A next page that is the same page again ends it, with what there is."""
    with RecordingProxy(tagged.host, paging=Paging.STUCK) as proxy:
        assert TAGS[:100] == await at(clients, proxy.host).tags("many")
        assert proxy.count("GET", "tags/list") == 2


def page(tags: object, status: str = "200 OK", link: str = "") -> bytes:
    """An answer that holds one page."""
    body = json.dumps({"name": "a/b", "tags": tags})
    line = f"Link: {link}\r\n" if link else ""
    return f"HTTP/1.1 {status}\r\n{line}Content-Length: {len(body)}\r\n\r\n{body}".encode()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
FULL = [f"t{number:05}" for number in range(PAGE_SIZES[0])]


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ([page(None)], []),
        ([page([])], []),
        ([page([None, 7, "v1", {}])], ["v1"]),
        ([page(["v1", "v1", "v2"])], ["v1", "v2"]),
        ([page(FULL), page(["u1"])], [*FULL, "u1"]),
        ([page(FULL), page(None)], FULL),
        ([page(FULL), page(FULL)], FULL),
        ([page(["a"], link='</v2/a/b/tags/list?n=1&last=a>; rel="next"'), page(["b"])], ["a", "b"]),
        ([page(["a"], link="<?last=a>; rel=next"), page(["b"])], ["a", "b"]),
        ([page(["a"], link='<x?last=0>; rel="prev", </y?last=a>; rel="next"'), page(["b"])], ["a", "b"]),
        ([page(["a"], link='</v2/a/b/tags/list?last=a>; rel="prev"')], ["a"]),
        ([page(["a"], link="<<<;;;"), page(["b"])], ["a"]),
    ],
    ids=str,
)
async def test_forms_of_pages(clients: Registries, pages: list[bytes], expected: list[str]) -> None:
    """Null tags, odd entries, doubles, full pages without Link and odd Links are what they mean."""
    async with RawServer(saying(OK, *pages)) as server:
        assert expected == await at(clients, server.host).tags("a/b")


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"tags": {}}', b'{"tags": "v1"}', b"\xff", b"", b"[" * 99_999])
async def test_what_is_no_list(tagged: DockerRegistry, clients: Registries, body: bytes) -> None:
    """Something else where a list should be is an error that says so."""
    with RecordingProxy(tagged.host, Fault(path="tags/list", status=200, body=body)) as proxy:
        client = at(clients, proxy.host)
        with pytest.raises(RegistryError, match="no list of tags"):
            await client.tags("many")


@pytest.mark.parametrize("bound", ["ITEMS_LIMIT", "_BYTES_LIMIT", "_PAGES_LIMIT"])
async def test_pages_without_end(clients: Registries, bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that goes on and on with new tags ends at a bound, whether of entries, of bytes or of pages."""
    monkeypatch.setattr(paging, bound, {"_PAGES_LIMIT": 5}.get(bound, 1000))
    served = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        while True:
            asked = await head(reader)
            if asked[0] == TLS_HELLO:
                writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                return
            tags = [f"t{served}-{number}" for number in range(100)]
            writer.write(page(tags, link=f'</v2/a/b/tags/list?last={served}>; rel="next"') if b"tags" in asked else OK)
            served += b"tags" in asked

    async with RawServer(endless) as server:
        with pytest.raises(RegistryError, match="does not end, or is too long"):
            await at(clients, server.host).tags("a/b")

    assert served <= 11


async def test_a_next_page_without_address(clients: Registries) -> None:
    """A Link that is no address is an error without its query."""
    async with RawServer(saying(OK, page(["a"], link='<http://[x/?last=s3cret>; rel="next"'))) as server:
        with pytest.raises(RegistryError, match="whose address is none") as caught:
            await at(clients, server.host).tags("a/b")

    assert "s3cret" not in str(caught.value)


async def test_every_size_refused(tagged: DockerRegistry, clients: Registries) -> None:
    """A 400 that is not about the page size comes out in the registry's words, and the size stays as it was."""
    words = json.dumps({"errors": [{"code": "NAME_INVALID", "message": "bad name"}]}).encode()
    fault = Fault(path="odd/tags", status=400, body=words, times=-1)
    with RecordingProxy(tagged.host, fault) as proxy:
        client = at(clients, proxy.host)
        with pytest.raises(RegistryError, match="NAME_INVALID bad name"):
            await client.tags("odd")
        await client.tags("many")

        assert [f"n={size}" for size in (*PAGE_SIZES, PAGE_SIZES[0])] == [
            seen.query for seen in proxy.seen if "tags" in seen.path
        ]


async def test_the_end_of_a_list_may_be_an_error(tagged: DockerRegistry, clients: Registries) -> None:
    """A later page that fails fails the list: half a list is none."""
    fault = Fault(path="last=", status=404, times=-1)
    with RecordingProxy(tagged.host, fault, paging=Paging.RELATIVE) as proxy, pytest.raises(NotFound):
        await at(clients, proxy.host).tags("many")


@pytest.mark.parametrize(
    "page",
    [
        json.dumps({"tags": [*(f"v{number:03}" for number in range(PAGE_SIZES[0] - 1)), "\ud800"]}).encode(),
        json.dumps({"tags": ["v1", "\u00fc", "v2"]}).encode(),
    ],
)
async def test_texts_that_name_nothing(clients: Registries, page: bytes) -> None:
    """What can be no tag breaks nothing, not even as the last of a full page."""
    head = b'HTTP/1.1 200 OK\r\nLink: <?last=\xff>; rel="next"\r\nContent-Length: %d\r\n\r\n' % len(page)
    async with RawServer(saying(head + page)) as server:
        found = await at(clients, server.host).tags("many")
    assert found[:1] in (["v1"], ["v000"])
    assert all(map(str.isascii, found))
