"""Questions to a registry beyond the distribution API: JSON in, JSON out, over the same connections and rules."""

import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from dregsy.errors import DregsyError, RegistryError
from dregsy.model import jsontext
from dregsy.model.ages import Listed, read_date
from dregsy.model.endpoint import Endpoint, Login
from dregsy.registry.challenge import Challenge
from dregsy.registry.paging import next_query
from dregsy.registry.transport import Request, Transport
from dregsy.registry.wire import show

Names = AsyncGenerator[list[str], None]
"""Pages of whole repository names."""

Tags = AsyncGenerator[dict[str, Listed], None]
"""Pages of tags, each with what is said of it."""

MOST_PAGES = 20_000

_FINAL = frozenset({0, 400, 401, 403, 404, 405, 501})
"""Answers that would be the same again; 0 is for those that we give ourselves."""


class NotOffered(RegistryError):
    """This registry has no such list, or none for this login; there is no point in asking again."""


def is_final(error: DregsyError) -> bool:
    """Tell whether a maker's API is of no use here, so that another way is to be taken, not the same one again."""
    return getattr(error, "status", 0) in _FINAL and not getattr(error, "retryable", False)


@dataclass(frozen=True, slots=True)
class Vendor:
    """Who made a registry: ``tags`` lists a repository's tags with digests, ``repositories`` what is below a path.

    Either is None where it offers nothing better than the distribution API.
    """

    name: str
    tags: "Callable[[VendorApi, str], Tags] | None" = None
    repositories: "Callable[[VendorApi, str], Names] | None" = None


@dataclass(frozen=True, slots=True)
class Page:
    """An answer's JSON, its headers, and the query of the page after it where a Link names one."""

    url: str
    document: Any
    headers: Mapping[str, str]
    next: dict[str, str] | None

    def entries(self, key: str = "") -> list[dict[str, Any]]:
        """Return the objects of the list under ``key``, or of the document itself; null is an empty list.

        RegistryError where there is no list.
        """
        try:
            found = self.document[key] if key else self.document
        except (KeyError, TypeError):
            found = ""
        if found is None:
            return []
        if not isinstance(found, list):
            raise self.odd()
        return [one for one in found if isinstance(one, dict)]

    def odd(self) -> RegistryError:
        """Return the error for an answer that is not of the form that was expected."""
        return RegistryError(f"{show(self.url)} answered with something unexpected", method="GET", url=show(self.url))


class VendorApi:
    """Asks one registry, or a server that belongs to it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def endpoint(self) -> Endpoint:
        """The registry that this asks."""
        return self._transport.endpoint

    @property
    def host(self) -> str:
        """The registry's host as references have it."""
        return self._transport.endpoint.host

    async def root(self) -> str:
        """Return the registry's root URL."""
        return await self._transport.root()

    async def challenge(self) -> Challenge | None:
        """Return how the registry asks for logins; None where it asks for none."""
        return await self._transport.challenge()

    async def login(self, repository: str = "") -> Login:
        """Return the login that the registry gets for a repository."""
        return await self._transport.login(repository)

    async def get(
        self,
        target: str,
        query: Mapping[str, str] | None = None,
        *,
        repository: str = "",
        scopes: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """Read a path below the registry's root, or a whole URL.

        With ``scopes`` the registry's own login goes along; without, no login but what is in ``headers``.
        """
        target = f"{target}?{urlencode(query, quote_via=quote)}" if query else target
        return await self._send(Request("GET", target, repository, scopes, headers=headers, logs_in=bool(scopes)))

    async def post(self, url: str, document: Mapping[str, str]) -> Page:
        """Send JSON without any login and read what comes back."""
        headers, body = {"Content-Type": "application/json"}, json.dumps(document).encode()
        return await self._send(Request("POST", url, headers=headers, body=body, logs_in=False))

    async def _send(self, request: Request) -> Page:
        response, raw = await self._transport.fetch(request)
        links = next_query(response.header_values("Link"), response.url, self._transport.redacted)
        page = Page(response.url, None, response.headers, links)
        try:
            return Page(response.url, jsontext.parse(raw), response.headers, links)
        except ValueError:
            raise page.odd() from None


def texts(entries: list[dict[str, Any]], key: str) -> Iterator[str]:
    """Give the texts under ``key`` of all entries that have one."""
    return (text for one in entries if isinstance(text := one.get(key), str))


def listed(entries: list[dict[str, Any]], name: str, digest: str, *dates: str) -> dict[str, Listed]:
    """Return what is said of the tags that entries name: the digest, and the last of their ``dates`` (RFC 3339)."""
    return {
        tag: Listed(
            one[digest] if isinstance(one.get(digest), str) else "",
            max(filter(None, (read_date(one.get(key)) for key in dates)), default=None),
        )
        for one in entries
        if isinstance(tag := one.get(name), str)
    }
