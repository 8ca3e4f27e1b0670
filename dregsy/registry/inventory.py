"""The digests of many tags in one question, where a registry's maker has an API for that: saves a HEAD for each.

Only to find that nothing is to be done: what is copied is asked of the registry itself (dregsy/resolve.py).
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from dregsy.errors import CredentialsError, DregsyError
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.ref import Ref
from dregsy.registry.client import Registry
from dregsy.registry.pool import Registries
from dregsy.registry.vendors.api import NotOffered, Tags, Vendor
from dregsy.registry.vendors.dockerhub import DockerHub
from dregsy.registry.vendors.recognise import Recognise, recogniser

LEAST_TAGS = 10
"""For fewer tags of a repository it is not worth it."""

_MOST_FAILURES = 3
"""After so many in a row a registry is left alone for the rest of the run."""

_Place = tuple[Endpoint, str]


@dataclass(slots=True)
class _Inventory:
    """The tags of a repository that matter, and what is known of them: None until it was asked."""

    wanted: frozenset[str]
    digests: Mapping[str, Digest] | None = None
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Inventories:
    """Tells digests of tags from the lists that registries give; one list is read once in a run."""

    def __init__(self, registries: Registries, recognise: Recognise | None = None) -> None:
        self._registries = registries
        self._recognise = recognise or recogniser(DockerHub())
        self._without: set[Endpoint] = set()
        self._failures: Counter[Endpoint] = Counter()
        self._known: dict[_Place, _Inventory] = {}
        self._balance = 0

    def start(self) -> None:
        """Begin a run: what was read before is old."""
        self._known.clear()
        self._failures.clear()
        self._balance = 0

    def finish(self) -> int:
        """End a run; return how many requests it saved."""
        saved = max(self._balance, 0)
        self.start()
        return saved

    def expect(self, endpoint: Endpoint, repository: str, tags: Iterable[str]) -> None:
        """Say which tags of a repository are going to be asked for; a list is read only where they are many."""
        place = _place(endpoint, repository)
        before = self._known[place].wanted if place in self._known else frozenset()
        wanted = before.union(tags)
        if wanted != before:
            self._known[place] = _Inventory(wanted)

    async def digest(self, endpoint: Endpoint, image: Ref) -> Digest | None:
        """Return what a tag points at, as far as a list told; None where the registry itself is to be asked."""
        place = _place(endpoint, image.repository)
        inventory = self._known.get(place)
        if inventory is None or image.tag is None or len(inventory.wanted) < LEAST_TAGS:
            return None
        async with inventory.asking:
            if inventory.digests is None:
                inventory.digests = await self._read(*place, inventory.wanted)
                inventory.wanted = inventory.wanted if inventory.digests else frozenset()  # most registries list none
        return inventory.digests.get(image.tag)

    def saved(self, requests: int) -> None:
        """Count requests that were not needed, thanks to a list."""
        self._balance += requests

    def doubt(self, endpoint: Endpoint, image: Ref) -> None:
        """Use the list of a repository no more in this run: one of its tags pointed elsewhere."""
        inventory = self._known.get(_place(endpoint, image.repository))
        if inventory is not None:
            inventory.digests = {}

    async def _read(self, endpoint: Endpoint, repository: str, wanted: frozenset[str]) -> Mapping[str, Digest]:
        """Return what a list says about the tags that are wanted, if it stands the test, else nothing."""
        if endpoint in self._without or self._failures[endpoint] >= _MOST_FAILURES:
            return {}
        try:
            registry = self._registries.at(endpoint)
            vendor = self._recognise(endpoint.host, await registry.vendor.challenge())
            found = await self._taken(_tags(vendor, registry, repository), wanted)
            good = await self._stands(registry, repository, found)
        except NotOffered:
            self._without.add(endpoint)
            return {}
        except DregsyError as error:
            self._failures[endpoint] += _MOST_FAILURES if isinstance(error, CredentialsError) else 1
            return {}
        self._failures[endpoint] = 0 if good else self._failures[endpoint] + 1
        return found if good else {}

    async def _taken(self, pages: Tags, wanted: frozenset[str]) -> dict[str, Digest]:
        """Read a list until all that is wanted was found, or it has cost half of what it could save."""
        found: dict[str, Digest] = {}
        patience = len(wanted) // 2
        async with aclosing(pages):
            async for page in pages:
                self._balance -= 1
                patience -= 1
                for tag in wanted.intersection(page):
                    with suppress(ValueError):  # no digest of a kind that we know
                        found[tag] = Digest.parse(page[tag].digest)
                if not patience or len(found) == len(wanted):
                    break
        return found

    async def _stands(self, registry: Registry, repository: str, found: Mapping[str, Digest]) -> bool:
        """Compare two tags with what the registry itself says."""
        for tag in {min(found), max(found)} if found else ():
            self._balance -= 1
            told = await registry.head_manifest(repository, tag)
            if told is None or told.digest != found[tag]:
                return False
        return True


def _place(endpoint: Endpoint, repository: str) -> _Place:
    return endpoint.whole, repository


def _tags(vendor: Vendor | None, registry: Registry, repository: str) -> Tags:
    if vendor is None or vendor.tags is None:
        raise NotOffered(f"{registry.endpoint.host} lists no digests")
    return vendor.tags(registry.vendor, repository)
