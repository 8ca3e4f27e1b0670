"""Which repositories a registry has: by its maker's own API where that is better, else by the catalog (OCI)."""

import time
from collections.abc import Callable
from contextlib import aclosing

from dregsy.errors import DregsyError, Unauthorized
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Listing
from dregsy.registry.challenge import CATALOG
from dregsy.registry.client import Registry
from dregsy.registry.deadline import deadline
from dregsy.registry.pool import Registries
from dregsy.registry.vendors.api import Names, NotOffered, Vendor, is_final
from dregsy.registry.vendors.dockerhub import DockerHub
from dregsy.registry.vendors.recognise import Recognise, recogniser


class Listings:
    """Lists repositories, and remembers the lists for as long as each task allows."""

    def __init__(
        self,
        registries: Registries,
        now: Callable[[], float] = time.monotonic,
        *,
        hub: DockerHub | None = None,
        recognise: Recognise | None = None,
    ) -> None:
        self._registries = registries
        self._now = now
        self._hub = hub or DockerHub()
        self._recognise = recognise or recogniser(self._hub)
        self._known: dict[tuple[Endpoint, str, str, int | None], tuple[float, tuple[str, ...]]] = {}

    async def repositories(self, endpoint: Endpoint, listing: Listing) -> tuple[str, ...]:
        """Return the repositories below ``endpoint.prefix``, named without it; at most ``listing.limit``.

        Raises a DregsyError where they cannot be listed, or not in time.
        """
        key = (endpoint, listing.kind, listing.search, listing.limit)
        known = self._known.get(key)
        if known is not None and self._now() - known[0] < listing.cache_seconds:
            return known[1]
        async with deadline(self._registries.timeouts.listing, f"the repositories of {endpoint.host}"):
            names = await self._list(endpoint, listing)
        self._known[key] = (self._now(), names)
        return names

    async def _list(self, endpoint: Endpoint, listing: Listing) -> tuple[str, ...]:
        registry = self._registries.at(endpoint)
        match listing.kind:
            case "dockerhub":
                pages = self._hub.repositories(registry.vendor, endpoint.prefix)
            case "index":
                pages = self._hub.search(registry.vendor, listing.search)
            case _:
                vendor = self._recognise(endpoint.host, await registry.vendor.challenge())
                if vendor is not None and vendor.repositories is not None:
                    return await _best(vendor, registry, endpoint, listing.limit)
                pages = _catalog(registry)
        return await _taken(pages, endpoint, listing.limit)


async def _best(vendor: Vendor, registry: Registry, endpoint: Endpoint, limit: int | None) -> tuple[str, ...]:
    """List by the maker's API, or by the catalog where that refuses; if both do, the first error stands."""
    assert vendor.repositories is not None
    try:
        return await _taken(vendor.repositories(registry.vendor, endpoint.prefix), endpoint, limit)
    except DregsyError as error:
        if not is_final(error):
            raise
        refused = error
    if isinstance(refused, Unauthorized):
        refused.hint = "give it a login that may list them, or name the repositories in 'from'"
    try:
        return await _taken(_catalog(registry), endpoint, limit)
    except DregsyError as error:
        raise (error if isinstance(refused, NotOffered) else refused) from None


async def _catalog(registry: Registry) -> Names:
    """Give the pages of the catalog (OCI distribution API, ``_catalog``)."""
    try:
        async for page in registry.pager.pages("v2/_catalog", "repositories", scopes=(CATALOG,)):
            yield page
    except Unauthorized as error:
        error.hint = "many registries list their catalog for administrators only; name the repositories in 'from'"
        raise


async def _taken(pages: Names, endpoint: Endpoint, limit: int | None) -> tuple[str, ...]:
    """Take what is below the endpoint's prefix, named without it and each once, and not one more than ``limit``."""
    prefix = f"{endpoint.prefix}/" if endpoint.prefix else ""
    found: dict[str, None] = {}
    async with aclosing(pages):
        async for page in pages:
            found.update((name.removeprefix(prefix), None) for name in page if name.startswith(prefix))
            if limit is not None and len(found) >= limit:
                break
    return tuple(found)[:limit]
