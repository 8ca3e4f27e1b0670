"""Since when tags point at what they do, where a registry's maker has an API that tells.

Unlike the date in an image's config it cannot be made up by who pushes, and reproducible builds have it, too.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass

from dregsy.errors import CredentialsError, DregsyError
from dregsy.model.ages import Listed
from dregsy.model.endpoint import Endpoint
from dregsy.registry.client import Registry
from dregsy.registry.vendors.api import NotOffered, is_final
from dregsy.registry.vendors.dockerhub import DockerHub
from dregsy.registry.vendors.recognise import Recognise, recogniser


@dataclass(frozen=True, slots=True)
class _List:
    """What was read of a list, and whether that was all of it."""

    tags: Mapping[str, Listed]
    is_whole: bool


class Pushes:
    """Reads such lists, each once in a run."""

    def __init__(self, recognise: Recognise | None = None) -> None:
        self._recognise = recognise or recogniser(DockerHub())
        self._known: dict[tuple[Endpoint, str], _List] = {}
        self._without: set[Endpoint] = set()

    def start(self) -> None:
        """Begin a run: what was read before is old."""
        self._known.clear()
        self._without.clear()

    async def of(self, registry: Registry, repository: str, tags: AbstractSet[str]) -> Mapping[str, Listed]:
        """Return what a list says of ``tags``, and maybe of others; nothing where a registry has no such list.

        Raises a DregsyError when a list cannot be read that may be read another time: the dates in
        configs are no stand-in that comes and goes.
        """
        place = registry.endpoint, repository
        known = self._known.get(place)
        if known is None or not (known.is_whole or tags <= known.tags.keys()):
            known = self._known[place] = await self._read(registry, repository, tags)
        return known.tags

    async def _read(self, registry: Registry, repository: str, tags: AbstractSet[str]) -> _List:
        """Read a list until all that is wanted was found."""
        found: dict[str, Listed] = {}
        if registry.endpoint in self._without:
            return _List({}, is_whole=True)
        try:
            vendor = self._recognise(registry.endpoint.host, await registry.vendor.challenge())
            if vendor is None or vendor.tags is None:
                return _List({}, is_whole=True)
            async with aclosing(vendor.tags(registry.vendor, repository)) as pages:
                async for page in pages:
                    found.update(page)
                    if tags <= found.keys():
                        return _List(found, is_whole=False)
        except DregsyError as error:
            if not is_final(error):
                raise
            if isinstance(error, NotOffered | CredentialsError):
                self._without.add(registry.endpoint)
            return _List({}, is_whole=True)
        return _List(found, is_whole=True)
