"""Brings blobs to targets: skips what is there, mounts what is near, and sends each blob once per registry."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from enum import StrEnum
from weakref import WeakValueDictionary

from dregsy.errors import DigestMismatch, RegistryError
from dregsy.journal import Journal
from dregsy.model.manifest import Descriptor
from dregsy.registry.client import Registry
from dregsy.registry.downloads import BlobStream
from dregsy.registry.uploads import upload
from relays.native.openings import Openings
from relays.native.source import Source


class How(StrEnum):
    """How a blob came to be at a target."""

    BELIEVED = "believed"
    """It was there not long ago, and nobody was asked again."""
    SKIPPED = "skipped"
    MOUNTED = "mounted"
    MOVED = "moved"


class Blobs:
    """Brings blobs, by what the journal knows about those at all targets; one object for a whole run.

    The first copy that needs a blob at a registry brings it there. Others that need it meanwhile
    wait for that, then mount it; when the first one fails, the next takes over.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._openings = Openings()
        self._locks: WeakValueDictionary[tuple[object, ...], asyncio.Lock] = WeakValueDictionary()

    async def ensure(
        self, target: Registry, repository: str, blob: Descriptor, source: Source, on_write: Callable[[int], None]
    ) -> How:
        """Make sure that ``repository`` at ``target`` has ``blob``; tells how. ``on_write`` counts bytes sent."""
        host = target.endpoint.api_host
        delivery = _Delivery(target, repository, blob, source, on_write, self._openings)
        async with self._lock(host, blob.digest, repository):
            if repository in await self._journal.homes(host, blob.digest):
                return How.BELIEVED
            how = None
            while how is None:
                async with self._lock(host, blob.digest):
                    homes = await self._journal.homes(host, blob.digest)
                    if not homes:
                        how = await delivery.first()
                        self._journal.saw_blob(host, repository, blob.digest)
                        return how
                how = await delivery.near(homes[-1])
                if how is None:
                    self._journal.drop_blob(host, blob.digest, homes[-1])
            self._journal.saw_blob(host, repository, blob.digest)
            return how

    async def renew(
        self, target: Registry, repository: str, blob: Descriptor, source: Source, on_write: Callable[[int], None]
    ) -> How:
        """Send a blob, whatever ``target`` says about it: what it has of it is known to be wrong."""
        host = target.endpoint.api_host
        delivery = _Delivery(target, repository, blob, source, on_write, self._openings)
        async with self._lock(host, blob.digest, repository), self._lock(host, blob.digest):
            await delivery.anew()
            self._journal.saw_blob(host, repository, blob.digest)
        return How.MOVED

    def forget(self, target: Registry, blobs: Iterable[Descriptor]) -> None:
        """Take it that nothing is known about ``blobs`` at ``target``: they were deleted, or mounted in name only."""
        self._openings.distrust(target)
        self._journal.drop_blobs(target.endpoint.api_host, [blob.digest for blob in blobs])

    def _lock(self, *key: object) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock


@dataclass(frozen=True, slots=True)
class _Delivery:
    """One blob on its way to one repository."""

    target: Registry
    repository: str
    blob: Descriptor
    source: Source
    on_write: Callable[[int], None]
    openings: Openings

    async def first(self) -> How:
        """Bring a blob of which nothing is known at this registry."""
        if self.source.registry.endpoint.api_host == self.target.endpoint.api_host:
            if await self.target.stores_blob(self.repository, self.blob.digest):
                return How.SKIPPED
            location = await self._mount(self.source.repository)
            if location is None:
                return How.MOUNTED
        else:
            location = await self.openings.open(self.target, self.repository, self.blob.digest)
            if location is None:
                return How.SKIPPED
        await self._send(location, self.source.blob(self.blob))
        self.openings.sent(self.target, self.repository, self.blob.digest)
        return How.MOVED

    async def anew(self) -> None:
        """Send a blob without a question."""
        await self._send(await self.target.begin_upload(self.repository), self.source.blob(self.blob))

    async def near(self, home: str) -> How | None:
        """Bring a blob that ``home``, another repository of this registry, has; None when it has it no more.

        Where the registry refuses to mount, the bytes come from the registry itself: they were
        read from the source once already, and its quota is not touched again.
        """
        location = await self._mount(home)
        if location is None:
            return How.MOUNTED
        try:
            await self._send(location, self.target.read_blob(home, self.blob))
        except RegistryError as error:
            if error.retryable and not isinstance(error, DigestMismatch):
                raise
            return None
        return How.MOVED

    async def _mount(self, origin: str) -> str | None:
        """Ask for a mount; None when it is done, else where to send the bytes.

        A registry may refuse the whole request because of ``origin``, to which this login has no right.
        """
        try:
            return await self.target.mount_blob(self.repository, self.blob.digest, origin)
        except RegistryError as error:
            if error.retryable:
                raise
            return await self.target.begin_upload(self.repository)

    async def _send(self, location: str, opened: AbstractAsyncContextManager[BlobStream]) -> None:
        async with self.target.uploading(), opened as stream:
            counted = BlobStream(
                stream.size, self._counted(stream.chunks), lambda offset: self._counted(stream.again(offset))
            )
            await upload(self.target, self.repository, self.blob.digest, counted, location)

    async def _counted(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk
                self.on_write(len(chunk))
