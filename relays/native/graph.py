"""Brings the graph of one image to one target: blobs and children before what names them, the tag last."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from functools import partial

from dregsy.errors import DregsyError, ImageError, RegistryError
from dregsy.model.digest import Digest
from dregsy.model.manifest import MANIFEST_TYPES, Descriptor, Manifest
from dregsy.model.ref import Ref
from dregsy.model.report import Moved
from dregsy.registry.client import BLOB_LOST, Registry
from relays.native.blobs import Blobs, How
from relays.native.meter import Meter
from relays.native.source import Source

DEPTH_LIMIT = 8
"""Indexes within indexes beyond this are no image but an attack."""

WIDTH = 32
"""How many parts of one manifest are seen to at once; the registries' own limits come on top."""

_NO_REPOSITORY = "NAME_UNKNOWN"
"""What a registry answers that has no such repository, and makes none."""


class Graph:
    """One image on its way to one target; ``meter`` is told what moves.

    What is in ``anew`` is written without asking the target for it.
    """

    anew: Collection[Digest] = ()

    def __init__(self, source: Source, target: Registry, ref: Ref, blobs: Blobs, meter: Meter) -> None:
        self._source = source
        self._target = target
        self._ref = ref
        self._blobs = blobs
        self._meter = meter
        self._how = dict.fromkeys(How, 0)
        self._written = 0
        self._there: set[Digest] = set()
        self._locks: defaultdict[Digest, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def bring(self, digest: Digest) -> Moved:
        """Copy the image ``digest`` and everything below it, then write the target's tag."""
        root = await self._source.manifest(digest)
        await self._store(root, self._ref.tag or str(digest), 0)
        return Moved(
            digest=digest,
            bytes_read=0,
            bytes_written=self._written,
            blobs_moved=self._how[How.MOVED],
            blobs_mounted=self._how[How.MOUNTED],
            blobs_skipped=self._how[How.SKIPPED] + self._how[How.BELIEVED],
        )

    async def _store(self, manifest: Manifest, reference: str, depth: int) -> None:
        """Bring all that ``manifest`` names, then the manifest itself.

        Once more where the registry lacks blobs after all; not all say so clearly, and some just say 404.
        """
        await self._below(manifest, depth)
        repository = self._ref.repository
        try:
            await self._target.put_manifest(repository, reference, manifest)
        except RegistryError as error:
            unclear = error.status == 404 or (error.status == 400 and self._how[How.BELIEVED])
            if BLOB_LOST.isdisjoint(error.codes) and not unclear:
                raise
            self._blobs.forget(self._target, manifest.blobs)
            self._there.difference_update(child.digest for child in manifest.children)
            await self._below(manifest, depth)
            await self._store_again(manifest, reference)

    async def _store_again(self, manifest: Manifest, reference: str) -> None:
        """Write a manifest of which everything was there a moment ago.

        What then is not there is being written by others, even where the answer is no more than a 404.
        """
        try:
            await self._target.put_manifest(self._ref.repository, reference, manifest)
        except RegistryError as error:
            error.retryable = error.retryable or (error.status == 404 and _NO_REPOSITORY not in error.codes)
            raise

    async def _below(self, manifest: Manifest, depth: int) -> None:
        if depth > DEPTH_LIMIT:
            raise ImageError(f"{manifest.digest} lies below more than {DEPTH_LIMIT} indexes")
        children = dict.fromkeys(child.digest for child in manifest.children if _is_manifest(child))
        others = {child.digest: child for child in manifest.children if not _is_manifest(child)}
        await together(
            [
                *(partial(self._child, child, depth + 1) for child in children),
                *(partial(self._blob, blob) for blob in (*manifest.blobs, *others.values()) if not blob.is_foreign),
            ]
        )

    async def _child(self, digest: Digest, depth: int) -> None:
        """Bring one entry of an index; what the target has already, it has with all its parts.

        Each is looked at once, however many indexes of the image list it.
        """
        async with self._locks[digest]:
            if digest in self._there:
                return
            there = digest not in self.anew and await self._target.stored_manifest(self._ref.repository, str(digest))
            if not there:
                await self._store(await self._source.manifest(digest), str(digest), depth)
            self._there.add(digest)

    async def _blob(self, blob: Descriptor) -> None:
        self._meter.expect(blob)
        bring = self._blobs.renew if blob.digest in self.anew else self._blobs.ensure
        how = await bring(self._target, self._ref.repository, blob, self._source, self._count)
        if how is not How.MOVED:
            self._meter.spared(blob)
        self._how[how] += 1
        self._meter.arrived(blob.digest)

    def _count(self, size: int) -> None:
        self._written += size
        self._meter.wrote(size)


def _is_manifest(entry: Descriptor) -> bool:
    """Whether an entry of an index is a manifest; BuildKit's caches list layers there."""
    return not entry.media_type or entry.media_type in MANIFEST_TYPES


async def together(work: Collection[Callable[[], Awaitable[None]]]) -> None:
    """Do all of ``work``, WIDTH things at a time; the first error cancels the rest and is raised as itself.

    Errors stay out of the group, so that one which comes up while this is being cancelled does not
    take the place of the cancellation.
    """
    failures: list[DregsyError] = []
    waiting = iter(work)

    async def worker() -> None:
        try:
            for one in waiting:
                await one()
        except DregsyError as error:
            failures.append(error)
            for other in tasks:
                other.cancel()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(worker()) for _ in range(min(WIDTH, len(work)))]
    if failures:
        raise failures[0]
