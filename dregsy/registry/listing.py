"""Which repositories a registry has (OCI distribution API: ``_catalog``)."""

import time
from collections.abc import Callable

from dregsy.errors import RegistryError, Unauthorized
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Listing
from dregsy.registry.pool import Registries

_CATALOG_SCOPE = ("registry:catalog:*",)


class Listings:
    """Lists repositories, and remembers the lists of a run for as long as each task allows."""

    def __init__(self, registries: Registries, now: Callable[[], float] = time.monotonic) -> None:
        self._registries = registries
        self._now = now
        self._known: dict[tuple[Endpoint, str, str, int | None], tuple[float, tuple[str, ...]]] = {}

    async def repositories(self, endpoint: Endpoint, listing: Listing) -> tuple[str, ...]:
        """Return the repositories below ``endpoint.prefix``, named without it; at most ``listing.limit``."""
        key = (endpoint, listing.kind, listing.search, listing.limit)
        known = self._known.get(key)
        if known is not None and self._now() - known[0] < listing.cache_seconds:
            return known[1]
        names = await self._list(endpoint, listing)
        self._known[key] = (self._now(), names)
        return names

    async def _list(self, endpoint: Endpoint, listing: Listing) -> tuple[str, ...]:
        if listing.kind != "catalog":
            raise RegistryError(
                f"repositories of {endpoint.host} cannot be listed by {listing.kind!r} in this version",
                hint="name the repositories in 'from', or use the lister type 'catalog'",
            )
        prefix = f"{endpoint.prefix}/" if endpoint.prefix else ""
        found: list[str] = []
        pages = self._registries.at(endpoint).pager.pages("v2/_catalog", "repositories", scopes=_CATALOG_SCOPE)
        try:
            async for page in pages:
                found.extend(name.removeprefix(prefix) for name in page if name.startswith(prefix))
                if listing.limit is not None and len(found) >= listing.limit:
                    return tuple(found[: listing.limit])
        except Unauthorized as error:
            error.hint = "many registries list their catalog for administrators only; name the repositories in 'from'"
            raise
        return tuple(found)
