"""The source side of one copy: each manifest and each blob is read once, whoever needs it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from dregsy.errors import DregsyError
from dregsy.model.digest import Digest
from dregsy.model.manifest import UNKNOWN_SIZE, Descriptor, Manifest
from dregsy.registry.client import BlobStream, Registry
from relays.native.spool import Spool


class Source:
    """Reads the image of one Copy; ``readers`` is how many targets it has.

    With one target, blobs stream straight through. With several, each blob is read once into a
    spool that all targets take from. ``on_read`` is told the bytes as they come from the registry.
    """

    def __init__(
        self, registry: Registry, repository: str, readers: int, scratch: Path, on_read: Callable[[int], None]
    ) -> None:
        self.registry = registry
        self.repository = repository
        self._readers = readers
        self._scratch = scratch
        self._on_read = on_read
        self._manifests: dict[Digest, Manifest] = {}
        self._locks: defaultdict[Digest, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._spools: dict[Digest, tuple[Spool, asyncio.Future[int]]] = {}
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
            filling.cancel()  # no target is left that wants these bytes
        try:
            await self._stack.__aexit__(kind, error, trace)
        finally:
            for spool, _ in self._spools.values():
                spool.close()

    async def manifest(self, digest: Digest) -> Manifest:
        """Fetch a manifest, or return it where it was fetched before."""
        async with self._locks[digest]:
            if digest not in self._manifests:
                self._manifests[digest] = await self.registry.get_manifest(self.repository, str(digest))
            return self._manifests[digest]

    @asynccontextmanager
    async def blob(self, blob: Descriptor) -> AsyncIterator[BlobStream]:
        """Open a blob; its last bytes come only once digest and size were found right."""
        if self._readers == 1:
            async with self.registry.read_blob(self.repository, blob) as stream:
                yield BlobStream(stream.size, self._counted(stream.chunks))
            return
        spool, size = self._spooled(blob)
        yield BlobStream(await asyncio.shield(size), spool.read())

    def _spooled(self, blob: Descriptor) -> tuple[Spool, asyncio.Future[int]]:
        if blob.digest not in self._spools:
            assert self._group is not None
            entry = Spool(self._scratch), asyncio.get_running_loop().create_future()
            self._spools[blob.digest] = entry
            self._filling.append(self._group.create_task(self._fill(blob, *entry)))
        return self._spools[blob.digest]

    async def _fill(self, blob: Descriptor, spool: Spool, size: asyncio.Future[int]) -> None:
        if blob.size != UNKNOWN_SIZE:
            size.set_result(blob.size)
        try:
            async with self.registry.read_blob(self.repository, blob) as stream:
                if not size.done():
                    size.set_result(stream.size)
                await spool.fill(self._counted(stream.chunks))
        except DregsyError as error:
            spool.fail(error)
            if not size.done():
                size.set_exception(error)
                size.exception()  # where nobody waits for the size, the spool still tells the error

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self._on_read(len(chunk))
            yield chunk
