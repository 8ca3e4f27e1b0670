"""The verbs of one registry (OCI distribution spec): tags, manifests, blobs."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass

from dregsy.errors import DigestMismatch, ImageError, NotFound, RegistryError
from dregsy.model.digest import Digest, Verifier
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import MANIFEST_TYPES, SIZE_LIMIT, UNKNOWN_SIZE, Descriptor, Manifest
from dregsy.model.ref import is_tag
from dregsy.registry.challenge import pull, push
from dregsy.registry.limits import Lane
from dregsy.registry.paging import Pager
from dregsy.registry.transport import Request, Transport
from dregsy.registry.vendors.api import VendorApi
from dregsy.registry.wire import Body, Response

ACCEPT_MANIFESTS = {"Accept": ", ".join(MANIFEST_TYPES)}


@dataclass(frozen=True, slots=True)
class BlobStream:
    """A blob on its way: its size in bytes and its bytes, which are checked as they pass."""

    size: int
    chunks: AsyncIterator[bytes]


class Registry:
    """A client of one registry; safe for any number of tasks at a time."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.vendor = VendorApi(transport)
        self.pager = Pager(transport)

    @property
    def endpoint(self) -> Endpoint:
        """The registry that this talks to."""
        return self._transport.endpoint

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def ping(self) -> None:
        """Prove that the registry answers; Unreachable otherwise (end-1)."""
        await self._transport.root()

    async def is_plain(self) -> bool:
        """Whether it speaks plain http, where that is allowed; raises what ``ping`` raises."""
        return (await self._transport.root()).startswith("http:")

    async def tags(self, repository: str) -> list[str]:
        """List the tags of a repository, in the registry's order; NotFound when it does not exist (end-8)."""
        pages = self.pager.pages(
            f"v2/{repository}/tags/list", "tags", repository=repository, scopes=(pull(repository),)
        )
        return [tag async for page in pages for tag in page if is_tag(tag)]

    async def head_manifest(self, repository: str, reference: str) -> Descriptor | None:
        """Tell what a tag or digest points at, or None when it is not there (end-3).

        A registry that leaves out the digest is asked for the manifest itself, which is then hashed.
        """
        request = self._manifest_request("HEAD", repository, reference, {200, 404, 405})
        async with self._transport.send(request) as response:
            if response.status == 404:
                return None
            descriptor = _described(response) if response.status == 200 else None
        if descriptor is not None:
            return descriptor
        try:
            manifest = await self.get_manifest(repository, reference)
        except NotFound:
            return None
        return Descriptor(manifest.media_type, manifest.digest, len(manifest.raw))

    async def get_manifest(self, repository: str, reference: str) -> Manifest:
        """Fetch a manifest by tag or digest (end-3); one fetched by digest is checked against it.

        Raises NotFound, DigestMismatch, and ImageError for what is no manifest or larger than 8 MiB.
        """
        request = self._manifest_request("GET", repository, reference, {200})
        try:
            response, raw = await self._transport.fetch(request, SIZE_LIMIT)
        except RegistryError as error:
            if error.status != 200:
                raise
            name = f"{self.endpoint.host}/{repository} {reference}"
            raise ImageError(f"the manifest {name} is larger than {SIZE_LIMIT} bytes") from None
        wanted = None if is_tag(reference) else Digest.parse(reference)
        return Manifest.parse(raw, response.headers.get("Content-Type", ""), digest=wanted)

    async def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> None:
        """Store a manifest under a tag or its digest, byte for byte (end-7).

        Raises DigestMismatch when the registry says that it stored something else.
        """
        request = Request(
            "PUT",
            f"v2/{repository}/manifests/{reference}",
            repository,
            (push(repository),),
            accept=frozenset({200, 201, 202}),
            headers={"Content-Type": manifest.media_type},
            body=manifest.raw,
            lane=Lane.MANIFEST,
        )
        async with self._transport.send(request) as response:
            stored = response.headers.get("Docker-Content-Digest", "")
        if stored.startswith(f"{manifest.digest.algorithm}:") and stored != str(manifest.digest):
            raise DigestMismatch(
                f"{self.endpoint.host}/{repository} stored {manifest.digest} as {stored}",
                hint="the registry changes manifests; the image there is not the one that was sent",
            )

    async def has_blob(self, repository: str, digest: Digest) -> bool:
        """Tell whether a repository has a blob (end-10, HEAD)."""
        return await self.blob_size(repository, digest) is not None

    async def blob_size(self, repository: str, digest: Digest) -> int | None:
        """Tell how many bytes a blob has, or UNKNOWN_SIZE; None when the repository has none (end-10, HEAD)."""
        request = Request(
            "HEAD", f"v2/{repository}/blobs/{digest}", repository, (pull(repository),), accept=frozenset({200, 404})
        )
        async with self._transport.send(request) as response:
            return _length(response) if response.status == 200 else None

    @asynccontextmanager
    async def read_blob(self, repository: str, blob: Descriptor) -> AsyncIterator[BlobStream]:
        """Open a blob for reading (end-2).

        Its last bytes are given only after digest and size of the whole were found right; before
        that, DigestMismatch ends the stream.
        """
        request = Request(
            "GET", f"v2/{repository}/blobs/{blob.digest}", repository, (pull(repository),), lane=Lane.READ
        )
        async with self._transport.send(request) as response:
            size = blob.size if blob.size != UNKNOWN_SIZE else _length(response)
            yield BlobStream(size, _verified(response.chunks(), Verifier(blob.digest, size)))

    async def mount_blob(self, repository: str, digest: Digest, origin: str) -> str | None:
        """Ask to link a blob of the repository ``origin`` into ``repository`` (end-11).

        Returns None when that was done, else where to send the bytes instead: the registry then
        opened an upload, as for ``begin_upload``.
        """
        return await self._post(repository, (push(repository), pull(origin)), f"?mount={digest}&from={origin}")

    async def begin_upload(self, repository: str) -> str:
        """Open an upload and return where to send the bytes (end-4a)."""
        location = await self._post(repository, (push(repository),), "")
        if location is None:
            raise RegistryError(f"{self.endpoint.host}/{repository} says that an upload is done before it began")
        return location

    async def _post(self, repository: str, scopes: Sequence[str], query: str) -> str | None:
        request = Request(
            "POST",
            f"v2/{repository}/blobs/uploads/{query}",
            repository,
            tuple(scopes),
            accept=frozenset({201, 202}),
            body=b"",
        )
        async with self._transport.send(request) as response:
            if response.status == 201:
                return None
            return self._transport.location(response)

    def uploading(self) -> AbstractAsyncContextManager[None]:
        """Enter this with ``async with`` to have a place for one upload of a blob."""
        return self._transport.place(Lane.UPLOAD)

    async def finish_upload(self, repository: str, location: str, digest: Digest, body: Body) -> None:
        """Send a whole blob to an open upload and close it (end-4b, monolithic).

        The caller holds ``uploading()``, taken before the source of the bytes was opened.
        """
        joint = "&" if "?" in location else "?"
        request = Request(
            "PUT",
            f"{location}{joint}digest={digest}",
            repository,
            (push(repository),),
            accept=frozenset({200, 201, 202, 204}),
            headers={"Content-Type": "application/octet-stream"},
            body=body,
            lane=Lane.UPLOAD,
            holds=True,
        )
        async with self._transport.send(request):
            pass

    def _manifest_request(self, method: str, repository: str, reference: str, accept: set[int]) -> Request:
        return Request(
            method,
            f"v2/{repository}/manifests/{reference}",
            repository,
            (pull(repository),),
            accept=frozenset(accept),
            headers=ACCEPT_MANIFESTS,
        )


def _described(response: Response) -> Descriptor | None:
    """What the headers of an answer say about a manifest; None when they do not name its digest."""
    try:
        digest = Digest.parse(response.headers.get("Docker-Content-Digest", ""))
    except ValueError:
        return None
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
    return Descriptor(media_type, digest, _length(response))


def _length(response: Response) -> int:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else UNKNOWN_SIZE


async def _verified(chunks: AsyncGenerator[bytes, None], verifier: Verifier) -> AsyncGenerator[bytes, None]:
    """Pass chunks on, each only when the next has come, and the last only when the whole is right."""
    held = b""
    async with aclosing(chunks):
        async for chunk in chunks:
            verifier.update(chunk)
            if held:
                yield held
            held = chunk
    verifier.finish()
    if held:
        yield held
