"""A relay for dregsy that somebody else wrote: it carries images, one thing after the other."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from dregsy.errors import DregsyError, NotFound, RelayError
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import Descriptor
from dregsy.model.plan import Copy
from dregsy.model.report import CopyProgress, Moved
from dregsy.registry.client import Registry
from dregsy.registry.wire import Body
from dregsy.relay import Feature, Toolbox

NAME = "courier"


class Settings(BaseModel):
    """The section ``courier`` of a config file."""

    model_config = ConfigDict(frozen=True)

    at_once: int = Field(4, alias="at-once", ge=1)


class CourierRelay:
    """Carries images from registry to registry, ``at-once`` of them at the same time."""

    Settings: ClassVar[type[BaseModel]] = Settings
    features: ClassVar[frozenset[Feature]] = frozenset({Feature.ALL_PLATFORMS, Feature.ONE_PLATFORM})

    def __init__(self, settings: BaseModel, toolbox: Toolbox) -> None:
        assert isinstance(settings, Settings)
        self._toolbox = toolbox
        self._hands = asyncio.Semaphore(settings.at_once)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def copy(self, copy: Copy, source: Endpoint, targets: Sequence[Endpoint]) -> Sequence[Moved | DregsyError]:
        """Carry the image to one target after the other."""
        async with self._hands:
            return [
                await self._delivered(_Way(copy, self._toolbox, source, endpoint, number))
                for number, endpoint in enumerate(targets)
            ]

    async def _delivered(self, way: "_Way") -> Moved | DregsyError:
        limit = self._toolbox.timeout
        try:
            async with asyncio.timeout(limit):
                return await way.go()
        except DregsyError as error:
            return error
        except TimeoutError:
            return RelayError(f"{way.ref} was not done after {limit:g} s", relay=NAME, retryable=True)


@dataclass
class _Way:
    """The way of one image to one target."""

    copy: Copy
    toolbox: Toolbox
    source: Endpoint
    target: Endpoint
    number: int
    written: int = 0

    def __post_init__(self) -> None:
        self.ref = self.copy.targets[self.number]
        self.here: Registry = self.toolbox.registries.at(self.source)
        self.there: Registry = self.toolbox.registries.at(self.target)

    async def go(self) -> Moved:
        digest = self.copy.source.digest
        assert digest is not None
        await self._manifest(digest, self.ref.tag or str(digest))
        return Moved(digest, bytes_read=self.written, bytes_written=self.written)

    async def _manifest(self, digest: Digest, reference: str) -> None:
        """Bring all that a manifest names, then the manifest: whoever finds a tag finds the whole image."""
        try:
            manifest = await self.here.get_manifest(self.copy.source.repository, str(digest))
        except NotFound as error:
            error.retryable = True  # it was there a moment ago: another look finds what its tag stands for now
            raise
        for child in manifest.children:
            await self._manifest(child.digest, str(child.digest))
        for blob in manifest.blobs:
            if not blob.is_foreign and not await self.there.has_blob(self.ref.repository, blob.digest):
                await self._blob(blob)
        await self.there.put_manifest(self.ref.repository, reference, manifest)

    async def _blob(self, blob: Descriptor) -> None:
        location = await self.there.begin_upload(self.ref.repository)
        async with self.there.uploading(), self.here.read_blob(self.copy.source.repository, blob) as stream:
            body = Body(stream.size, lambda: stream.chunks)
            await self.there.finish_upload(self.ref.repository, location, blob.digest, body)
        self.written += stream.size
        event = CopyProgress(self.copy, bytes_read=stream.size, bytes_written=stream.size, blob=blob.digest)
        self.toolbox.emit(event)
