"""Lists that come in pages: tags and repositories (OCI distribution spec, Listing Tags; RFC 8288, Link)."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

from dregsy.errors import RegistryError
from dregsy.model import pattern
from dregsy.registry.transport import Request, Transport

PAGE_SIZES = (1000, 500, 250, 100)
_PAGES_LIMIT = 20_000
_LINK = pattern.compile_search(r"<([^<>]*)>\s*;[^<]*\brel\s*=\s*\"?next\b")


class Pager:
    """Reads such lists from one registry and remembers the page size that it accepts."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._sizes = list(PAGE_SIZES)

    async def pages(
        self, path: str, key: str, *, repository: str = "", scopes: tuple[str, ...] = ()
    ) -> AsyncIterator[list[str]]:
        """Give the texts under ``key`` page by page, each text once.

        Follows Link in every form that registries use, but never to another host; goes on by
        ``last`` after a full page without a Link; ends when a page brings nothing new.
        """
        seen: set[str] = set()
        query: dict[str, str] = {}
        for _ in range(_PAGES_LIMIT):
            request = Request("GET", path, repository, scopes)
            items, link = await self._page(request, key, query)
            new = [item for item in items if item not in seen]
            if not new:
                return
            seen.update(new)
            yield new
            if link is not None:
                query = link
            elif len(items) == self._sizes[0]:
                query = {"last": items[-1]}
            else:
                return
        raise RegistryError(f"{self._transport.endpoint.host}/{path} does not end", method="GET", url=path)

    async def _page(self, request: Request, key: str, query: dict[str, str]) -> tuple[list[str], dict[str, str] | None]:
        """Read one page and the query of the next; asks for smaller pages where the size is refused."""
        while True:
            full = {"n": str(self._sizes[0]), **query}
            target = f"{request.target}?{urlencode(full, quote_via=quote)}"
            one = Request("GET", target, request.repository, request.scopes, accept=frozenset({200, 400}))
            async with self._transport.send(one) as response:
                if response.status == 200:
                    items = _texts(await response.read(), key, response.url)
                    return items, _next(response.header_values("Link"), response.url)
            if len(self._sizes) == 1:
                raise RegistryError(
                    f"{self._transport.endpoint.host}/{request.target} refuses every page size",
                    method="GET",
                    url=request.target,
                    status=400,
                )
            del self._sizes[0]


def _texts(raw: bytes, key: str, url: str) -> list[str]:
    """The list of texts in an answer; null, and entries that are no text, count as nothing."""
    try:
        document: Any = json.loads(raw)
        items = document[key] if document[key] is not None else []
        if not isinstance(items, list):
            raise ValueError("not a list")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RegistryError(f"{url.partition('?')[0]} answered with something that is no list of {key}") from None
    return [item for item in items if isinstance(item, str)]


def _next(links: list[str], url: str) -> dict[str, str] | None:
    """The query of the next page, or None. Only the query counts: proxies get the path wrong."""
    found = next((match for line in links if (match := _LINK.search(line))), None)
    if found is None:
        return None
    target = urljoin(url, found.group(1) or "")
    if urlsplit(target).netloc != urlsplit(url).netloc:
        raise RegistryError(
            f"{url.partition('?')[0]} sends its list's next page to another host, {urlsplit(target).hostname}",
            method="GET",
            url=url.partition("?")[0],
            hint="this is refused; the registry's external address is probably not configured",
        )
    return dict(parse_qsl(urlsplit(target).query)) or None
