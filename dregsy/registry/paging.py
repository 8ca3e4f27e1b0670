"""Lists that come in pages: tags and repositories (OCI distribution spec, Listing Tags; RFC 8288, Link)."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

from dregsy.errors import RegistryError
from dregsy.model import jsontext, pattern
from dregsy.registry.transport import Request, Transport
from dregsy.registry.wire import show

PAGE_SIZES = (1000, 500, 250, 100)
_PAGES_LIMIT = 20_000
_BYTES_LIMIT = 64 * 2**20
ITEMS_LIMIT = 1_000_000
"""The most tags of a repository, or repositories of a registry."""
_LINK = pattern.compile_search(r"<([^<>]*)>\s*;[^<]*\brel\s*=\s*\"?next\b")


class Pager:
    """Reads such lists from one registry and remembers the page size that it accepts."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._size = PAGE_SIZES[0]

    async def pages(
        self, path: str, key: str, *, repository: str = "", scopes: tuple[str, ...] = ()
    ) -> AsyncIterator[list[str]]:
        """Give the texts under ``key`` page by page, each text once.

        Follows Link in every form that registries use, but never to another host; goes on by
        ``last`` after a full page without a Link; ends when a page brings nothing new.
        """
        seen: set[str] = set()
        room = _BYTES_LIMIT
        query: dict[str, str] = {}
        for _ in range(_PAGES_LIMIT):
            items, link = await self._page(Request("GET", path, repository, scopes), key, query)
            new = [item for item in dict.fromkeys(items) if item not in seen]
            if not new:
                return
            seen.update(new)
            room -= sum(map(len, new))
            if room < 0 or len(seen) > ITEMS_LIMIT:
                break
            yield new
            if link is not None:
                query = link
            elif len(items) == self._size:
                query = {"last": items[-1]}
            else:
                return
        raise RegistryError(
            f"{self._transport.endpoint.host}/{path} does not end, or is too long",
            method="GET",
            url=path,
            hint=f"a list may have {ITEMS_LIMIT:,} entries on {_PAGES_LIMIT:,} pages",
        )

    async def _page(self, request: Request, key: str, query: dict[str, str]) -> tuple[list[str], dict[str, str] | None]:
        """Read one page and the query of the next; asks for smaller pages where the size is refused."""
        sizes = [size for size in PAGE_SIZES if size <= self._size]
        for size in sizes:
            target = f"{request.target}?{urlencode({'n': str(size), **query}, quote_via=quote)}"
            accept = frozenset({200} if size == sizes[-1] else {200, 400})
            response, raw = await self._transport.fetch(replace(request, target=target, accept=accept))
            if response.status == 200:
                self._size = size
                break
        links = response.header_values("Link")
        return _texts(raw, key, response.url), next_query(links, response.url, self._transport.redacted)


def _texts(raw: bytes, key: str, url: str) -> list[str]:
    """The list of texts in an answer; null, and entries that are no text, count as nothing."""
    try:
        document: Any = jsontext.parse(raw)
        items = document[key] if document[key] is not None else []
        if not isinstance(items, list):
            raise ValueError("not a list")
    except (ValueError, KeyError, TypeError):
        raise RegistryError(
            f"{show(url)} answered with something that is no list of {key}",
            method="GET",
            url=show(url),
            status=200,
            retryable=True,
        ) from None
    return [item for item in items if isinstance(item, str) and item.isascii()]  # names of tags and repositories are


def next_query(links: list[str], url: str, redacted: Callable[[str], str] = str) -> dict[str, str] | None:
    """Return the query of the next page, or None. Only the query counts: proxies get the path wrong.

    ``redacted`` takes out of an error what must not be repeated.
    """
    found = next((match for line in links if line.isascii() and (match := _LINK.search(line))), None)
    if found is None:
        return None
    try:
        target = urlsplit(urljoin(url, found.group(1) or ""))
    except ValueError:
        raise RegistryError(
            f"{show(url)} names a next page whose address is none", method="GET", url=show(url)
        ) from None
    if target.netloc != urlsplit(url).netloc:
        host = redacted(target.netloc.rpartition("@")[2])
        raise RegistryError(
            f"{show(url)} sends its list's next page to another host, {host}",
            method="GET",
            url=show(url),
            hint="this is refused; the registry's external address is probably not configured",
        )
    query = dict(parse_qsl(target.query))
    return query if query and all(map(str.isascii, query.values())) else None
