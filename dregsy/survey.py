"""What an image needs at a target: its manifests and blobs, and which of them are there. Reads, never writes.

It looks as the native relay does when it copies: what an index lists and the target has, it has with all its parts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar
from weakref import WeakValueDictionary

from dregsy.errors import ImageError
from dregsy.journal import Journal
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import MANIFEST_TYPES, UNKNOWN_SIZE, Descriptor, Manifest
from dregsy.model.plan import Copy
from dregsy.model.proposal import Need, Part
from dregsy.model.ref import Ref
from dregsy.model.subset import subset
from dregsy.registry.client import Registry
from dregsy.registry.contents import manifest_of
from dregsy.registry.pool import Registries

_DEPTH = 8
"""Indexes within indexes beyond this are no image."""
_PARTS = 20_000
"""Nor are manifests with more entries."""
_WIDTH = 16
"""How many parts of one manifest are looked at at once; the registries' own limits come on top."""

_T = TypeVar("_T")
_Item = TypeVar("_Item")
_Place = tuple[str, str, Digest]


class Surveyor:
    """Looks at images; what a target has of them is asked once, however many images share it."""

    def __init__(self, registries: Registries, journal: Journal) -> None:
        self._registries = registries
        self._journal = journal
        self._there: dict[_Place, bool] = {}
        self._locks: WeakValueDictionary[_Place, asyncio.Lock] = WeakValueDictionary()

    async def needs(self, copy: Copy, source: Endpoint, targets: Iterable[Endpoint]) -> tuple[Need, ...]:
        """Return what each of ``copy.targets`` needs of the image with the digest that ``copy`` has.

        ImageError for what has more parts than any image; raises what asking the registries does.
        """
        registry = self._registries.at(source)
        root = await self._root(registry, copy)
        needs = []
        for endpoint, target in zip(targets, copy.targets, strict=True):  # what one reads is known to the next
            walk = _Walk(registry, copy.source.repository, self._registries.at(endpoint), target, self)
            await walk.below(root, 0)
            needs.append(Need(frozenset(walk.manifests), walk.asked, tuple(walk.parts.values())))
        return tuple(needs)

    async def _root(self, registry: Registry, copy: Copy) -> Manifest:
        repository = copy.source.repository
        if copy.index is not None:
            return subset(await self.manifest(registry, repository, copy.index), copy.subset, name=str(copy.origin))
        assert copy.source.digest is not None
        return await self.manifest(registry, repository, copy.source.digest)

    async def manifest(self, registry: Registry, repository: str, digest: Digest) -> Manifest:
        """Read a manifest of the source."""
        return await manifest_of(self._journal, registry, repository, digest)

    async def has_manifest(self, target: Registry, repository: str, digest: Digest) -> bool:
        """Tell whether a target has a manifest, by asking it."""

        async def ask() -> bool:
            return await target.stored_manifest(repository, str(digest)) is not None

        return await self._once((target.endpoint.api_host, repository, digest), ask)

    async def part(self, target: Registry, repository: str, blob: Descriptor, size: int) -> Part:
        """Tell whether a target has a blob: the journal may know, else it is asked."""
        host = target.endpoint.api_host
        homes = await self._journal.homes(host, blob.digest)
        ask = partial(target.stores_blob, repository, blob.digest)
        there = repository in homes or await self._once((host, repository, blob.digest), ask)
        return Part(blob.digest, size, there, homes[-1] if homes and not there else "")

    async def _once(self, place: _Place, ask: Callable[[], Awaitable[bool]]) -> bool:
        lock = self._locks.get(place)
        if lock is None:
            lock = self._locks[place] = asyncio.Lock()
        async with lock:
            if place not in self._there:
                self._there[place] = await ask()
            return self._there[place]


class _Walk:
    """One image on its way down to what one target lacks of it."""

    def __init__(self, source: Registry, origin: str, target: Registry, ref: Ref, surveyor: Surveyor) -> None:
        self._source = source
        self._origin = origin
        self._target = target
        self._repository = ref.repository
        self._surveyor = surveyor
        self._seen: set[Digest] = set()
        self.manifests: dict[Digest, None] = {}
        self.asked = 0
        self.parts: dict[Digest, Part] = {}

    async def below(self, manifest: Manifest, depth: int) -> None:
        """Look at all that a manifest lists, which is itself to be written."""
        if depth > _DEPTH or len(manifest.blobs) + len(manifest.children) > _PARTS:
            raise ImageError(f"{manifest.digest} lists more than any image has", hint="look at it at the source")
        self.manifests[manifest.digest] = None
        blobs = {blob.digest: blob for blob in manifest.blobs}
        children = []
        for entry in manifest.children:
            if entry.media_type and entry.media_type not in MANIFEST_TYPES:  # BuildKit's caches list layers there
                blobs[entry.digest] = entry
            elif entry.digest not in self._seen:
                self._seen.add(entry.digest)
                children.append(entry.digest)
        parts = [blob for blob in blobs.values() if not blob.is_foreign and blob.digest not in self.parts]
        for part in await each(self._part, parts):
            self.parts.setdefault(part.digest, part)
        await each(partial(self._child, depth + 1), children)

    async def _child(self, depth: int, digest: Digest) -> None:
        self.asked += 1
        if not await self._surveyor.has_manifest(self._target, self._repository, digest):
            await self.below(await self._surveyor.manifest(self._source, self._origin, digest), depth)

    async def _part(self, blob: Descriptor) -> Part:
        size = blob.size
        if size == UNKNOWN_SIZE:  # as schema 1 has it
            size = await self._source.blob_size(self._origin, blob.digest) or 0
        return await self._surveyor.part(self._target, self._repository, blob, max(size, 0))


async def each(look: Callable[[_Item], Awaitable[_T]], items: Sequence[_Item], width: int = _WIDTH) -> list[_T]:
    """Look at all items, ``width`` at a time, and return what was found in their order."""
    found: dict[int, _T] = {}
    waiting = iter(enumerate(items))

    async def worker() -> None:
        for position, item in waiting:
            found[position] = await look(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(width, len(items))):
            group.create_task(worker())
    return [found[position] for position in sorted(found)]
