"""One blob on its way into a repository: what broke off goes on where the registry says that it has come to.

Where it does not say so, or has lost the upload, a new one begins. Debian's docker-registry for one keeps nothing of a
request that breaks off.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from dregsy.errors import DregsyError, NotFound, RegistryError
from dregsy.model.digest import Digest
from dregsy.registry.client import Registry
from dregsy.registry.downloads import BlobStream
from dregsy.registry.retry import Budget
from dregsy.registry.wire import Body

_OUT_OF_STEP = frozenset({"BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "SIZE_INVALID"})
"""What a registry answers that has other bytes of an upload than we think (OCI distribution spec, Error Codes)."""
_LOG = logging.getLogger(__name__)


async def upload(registry: Registry, repository: str, digest: Digest, stream: BlobStream, location: str) -> None:
    """Send a whole blob to the open upload at ``location``, and close it.

    The caller holds ``registry.uploading()``, taken before ``stream`` was opened. What the stream raises passes
    through as it is. Raises what the registry's last answer means, when it breaks off too often.
    """
    await _Upload(registry, repository, digest, stream).run(location)


class _Upload:
    def __init__(self, registry: Registry, repository: str, digest: Digest, stream: BlobStream) -> None:
        self._registry = registry
        self._repository = repository
        self._digest = digest
        self._stream = stream
        self._budget = Budget(registry.backoff)
        self._taken = 0
        self._lost: DregsyError | None = None

    async def run(self, location: str) -> None:
        """Send, look how far it came, and go on."""
        offset, gained, chunks = 0, 0, self._stream.chunks
        while True:
            self._taken = offset
            try:
                await self._send(location, offset, self._watched(chunks))
            except RegistryError as error:
                wait = self._budget.wait(gained, error.retry_after) if self._is_passing(error) else None
                if wait is None:
                    raise
                _LOG.info("%s; going on with the upload in %.1f s", error.message, wait)
            else:
                return
            await asyncio.sleep(wait)
            before = offset
            location, offset = await self._place(location)
            if not location:
                return
            gained = max(0, offset - before)
            chunks = self._stream.again(offset)

    def _is_passing(self, error: RegistryError) -> bool:
        """Whether another attempt may do better; not so where it is the source that failed."""
        if error is self._lost:
            return False
        mended = error.status == 416 or isinstance(error, NotFound) or not _OUT_OF_STEP.isdisjoint(error.codes)
        return error.retryable or mended

    async def _send(self, location: str, offset: int, chunks: AsyncGenerator[bytes, None]) -> None:
        """Send what is missing behind ``offset``: all in one request, or the rest and then the end."""
        size = self._stream.size
        rest = Body(size - offset if size >= 0 else size, lambda: chunks)
        if 0 < offset < size:
            location = await self._registry.continue_upload(self._repository, location, offset, rest)
        if offset:
            rest = Body(0, _nothing)
        await self._registry.finish_upload(self._repository, location, self._digest, rest)

    async def _place(self, location: str) -> tuple[str, int]:
        """Where to go on, and at which byte; nowhere when the blob turns out to be there, whole."""
        found = await self._registry.upload_status(self._repository, location)
        if found is not None and 0 < found[1] <= self._taken:
            return found
        if await self._registry.stores_blob(self._repository, self._digest):
            return "", self._taken  # what was lost is the answer alone
        return await self._registry.begin_upload(self._repository), 0

    async def _watched(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    self._taken += len(chunk)
                    yield chunk
        except DregsyError as error:
            self._lost = error
            raise


async def _nothing() -> AsyncGenerator[bytes, None]:
    for none in iter(bytes, b""):
        yield none
