"""The source side of one copy: each manifest and each blob is read once, whoever needs it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from dregsy.errors import DregsyError, ImageError, NotFound
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import UNKNOWN_SIZE, Descriptor, Manifest
from dregsy.model.platform import Platform
from dregsy.model.subset import subset
from dregsy.registry.client import Registry
from dregsy.registry.downloads import BlobStream
from relays.native.spool import Spool, SpoolFile

Shared = dict[tuple[Endpoint, Digest, int], Spool]
"""The spools of all copies that are under way, by where they come from: one copy may read another's."""


KEPT = 32 * 2**20
"""How many bytes of manifests are kept for the other targets of a copy; what is beyond is fetched again."""


class Source:
    """Reads the image of one Copy; ``readers`` is how many targets it has.

    With one target, blobs stream straight through. With several, each blob is read once into a
    spool that all targets take from, those of other copies as well. ``on_read`` is told the bytes
    as they come from the registry.
    """

    def __init__(
        self,
        registry: Registry,
        repository: str,
        readers: int,
        scratch: Path,
        on_read: Callable[[int], None],
        shared: Shared,
    ) -> None:
        self.registry = registry
        self.repository = repository
        self._readers = readers
        self._scratch = scratch
        self._on_read = on_read
        self._shared = shared
        self._manifests: dict[Digest, Manifest] = {}
        self._room = KEPT
        self._locks: defaultdict[Digest, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._file: SpoolFile | None = None
        self._filling: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()
        self._group: asyncio.TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._group = await self._stack.enter_async_context(asyncio.TaskGroup())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for filling in self._filling:
            filling.cancel()  # no target of this copy is left that wants these bytes
        try:
            await self._stack.__aexit__(kind, error, trace)
        finally:
            self._close()

    def _close(self) -> None:
        """Let go of the spools; those that another copy reads stay until it has done so."""
        if self._file is None:
            return
        for key in [key for key, spool in self._shared.items() if spool.file is self._file]:
            del self._shared[key]
        self._file.__exit__(None, None, None)

    async def manifest(self, digest: Digest) -> Manifest:
        """Fetch a manifest, or return it where it was fetched before for another target."""
        async with self._locks[digest]:
            manifest = self._manifests.get(digest) or await self._fetched(digest)
            if digest not in self._manifests and self._readers > 1 and len(manifest.raw) <= self._room:
                self._room -= len(manifest.raw)
                self._manifests[digest] = manifest
            return manifest

    async def _fetched(self, digest: Digest) -> Manifest:
        try:
            return await self.registry.get_manifest(self.repository, str(digest))
        except NotFound as error:
            # It was there when it was compared: the tag has moved since, and another look finds its new image.
            error.retryable = True
            error.hint = "the image was deleted or its tag moved while it was being copied"
            raise

    async def cut(self, index: Digest, platforms: Sequence[Platform], digest: Digest) -> None:
        """Make the index of some platforms of ``index``, so that the source has it as ``digest``.

        ImageError when it comes out as another one than was decided on.
        """
        name = f"{self.registry.endpoint.host}/{self.repository}@{index}"
        made = subset(await self.manifest(index), platforms, name=name)
        if made.digest != digest:
            raise ImageError(f"of {name}, {made.digest} was made, not {digest}", hint="this is a bug: please report it")
        self._manifests[digest] = made

    @asynccontextmanager
    async def blob(self, blob: Descriptor) -> AsyncIterator[BlobStream]:
        """Open a blob; its last bytes come only once digest and size were found right."""
        is_known = blob.size != UNKNOWN_SIZE
        if self._readers == 1 and is_known:
            async with self.registry.read_blob(self.repository, blob) as stream:
                yield BlobStream(
                    stream.size, self._counted(stream.chunks), lambda offset: self._counted(stream.again(offset))
                )
            return
        spool = self._spool(blob)
        with spool.file:
            size = blob.size if is_known else await spool.whole()
            yield BlobStream(size, self._taken(blob, spool), lambda offset: self._taken(blob, spool, offset))

    def _spool(self, blob: Descriptor) -> Spool:
        """Return the spool into which the blob is being read, by this copy or another, or begin one."""
        spool = self._shared.get(self._key(blob))
        return spool if spool is not None and spool.error is None else self._begin(blob)

    def _begin(self, blob: Descriptor) -> Spool:
        assert self._group is not None
        if self._file is None:
            self._file = SpoolFile(self._scratch).__enter__()
        spool = self._shared[self._key(blob)] = Spool(self._file)
        self._filling.append(self._group.create_task(self._fill(blob, spool)))
        return spool

    def _key(self, blob: Descriptor) -> tuple[Endpoint, Digest, int]:
        return self.registry.endpoint, blob.digest, blob.size

    async def _fill(self, blob: Descriptor, spool: Spool) -> None:
        with spool.filling():
            async with self.registry.read_blob(self.repository, blob) as stream:
                async for chunk in self._counted(stream.chunks):
                    spool.append(chunk)

    async def _taken(self, blob: Descriptor, spool: Spool, start: int = 0) -> AsyncGenerator[bytes, None]:
        """Give what is in a spool from ``start``; where another copy's came to nothing, read the blob ourselves.

        Once bytes were given it is too late for that: they were not checked as a whole.
        """
        has_begun = start > 0
        try:
            async for chunk in spool.read(start):
                has_begun = True
                yield chunk
        except DregsyError:
            if has_begun or spool.file is self._file:
                raise
        else:
            return
        async for chunk in self._begin(blob).read():
            yield chunk

    async def _counted(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async with aclosing(chunks):
            async for chunk in chunks:
                self._on_read(len(chunk))
                yield chunk
