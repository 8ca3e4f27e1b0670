"""Brings the graph of one image to one target: blobs and children before what names them, the tag last."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from dregsy.errors import DregsyError, ImageError
from dregsy.model.digest import Digest
from dregsy.model.manifest import MANIFEST_TYPES, Descriptor, Manifest
from dregsy.model.ref import Ref
from dregsy.model.report import Moved
from dregsy.registry.client import Registry
from relays.native.blobs import Blobs, How
from relays.native.source import Source

DEPTH_LIMIT = 8
"""Indexes within indexes beyond this are no image but an attack."""


class Graph:
    """One image on its way to one target.

    ``on_write`` is told the bytes sent, ``on_blob`` each blob that is there now.
    """

    def __init__(
        self,
        source: Source,
        target: Registry,
        ref: Ref,
        blobs: Blobs,
        on_write: Callable[[int], None],
        on_blob: Callable[[Digest], None],
    ) -> None:
        self._source = source
        self._target = target
        self._ref = ref
        self._blobs = blobs
        self._on_write = on_write
        self._on_blob = on_blob
        self._how = dict.fromkeys(How, 0)
        self._written = 0

    async def bring(self, digest: Digest) -> Moved:
        """Copy the image ``digest`` and everything below it, then write the target's tag."""
        root = await self._source.manifest(digest)
        await self._below(root, DEPTH_LIMIT)
        await self._target.put_manifest(self._ref.repository, self._ref.tag or str(digest), root)
        return Moved(
            digest=digest,
            bytes_written=self._written,
            blobs_moved=self._how[How.MOVED],
            blobs_mounted=self._how[How.MOUNTED],
            blobs_skipped=self._how[How.SKIPPED],
        )

    async def _below(self, manifest: Manifest, depth: int) -> None:
        if depth == 0:
            raise ImageError(f"{manifest.digest} lies below more than {DEPTH_LIMIT} indexes")
        children = [child for child in manifest.children if _is_manifest(child)]
        blobs = [blob for blob in (*manifest.blobs, *manifest.children) if blob not in children and not blob.is_foreign]
        await together(
            [
                *(self._child(child, depth - 1) for child in children),
                *(self._blob(blob) for blob in blobs),
            ]
        )

    async def _child(self, child: Descriptor, depth: int) -> None:
        """Bring one entry of an index; what the target has already, it has with all its parts."""
        if await self._target.head_manifest(self._ref.repository, str(child.digest)) is not None:
            return
        manifest = await self._source.manifest(child.digest)
        await self._below(manifest, depth)
        await self._target.put_manifest(self._ref.repository, str(child.digest), manifest)

    async def _blob(self, blob: Descriptor) -> None:
        how = await self._blobs.ensure(self._target, self._ref.repository, blob, self._source, self._count)
        self._how[how] += 1
        self._on_blob(blob.digest)

    def _count(self, size: int) -> None:
        self._written += size
        self._on_write(size)


def _is_manifest(entry: Descriptor) -> bool:
    """Whether an entry of an index is a manifest; BuildKit's caches list layers there."""
    return not entry.media_type or entry.media_type in MANIFEST_TYPES


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of ``work`` at once; the first error cancels the rest and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except BaseExceptionGroup as errors:
        raise first(errors) from None


def first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that matters most in a group: a bug before a refusal, since it must not be hidden."""
    leaves = [first(error) if isinstance(error, BaseExceptionGroup) else error for error in errors.exceptions]
    return next((leaf for leaf in leaves if not isinstance(leaf, DregsyError)), leaves[0])
