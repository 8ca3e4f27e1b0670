"""The verbs of one registry (OCI distribution spec): tags, manifests, blobs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from dregsy.errors import DigestMismatch, ImageError, NotFound, RegistryError, Unauthorized, Unreachable
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import MANIFEST_TYPES, SIZE_LIMIT, Descriptor, Manifest
from dregsy.model.ref import is_tag
from dregsy.registry.allowance import Allowance
from dregsy.registry.challenge import pull, push
from dregsy.registry.downloads import BlobStream, Download, length, number
from dregsy.registry.limits import Lane
from dregsy.registry.paging import Pager
from dregsy.registry.retry import Backoff
from dregsy.registry.transport import Request, Transport
from dregsy.registry.vendors.api import VendorApi
from dregsy.registry.wire import Body, Response

_NO_HEAD = frozenset({405, 501})
"""What is answered by who knows no HEAD (RFC 9110 §15.5.6, §15.6.2): GET tells the same."""
BLOB_LOST = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"})
"""What is answered to a manifest whose blobs are not there (OCI distribution spec, Error Codes)."""
ACCEPT_MANIFESTS = {"Accept": ", ".join(MANIFEST_TYPES)}


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

    @property
    def allowance(self) -> Allowance | None:
        """How many pulls are left for its login, as it last told; None where it does not count."""
        return self._transport.allowance

    @property
    def backoff(self) -> Backoff:
        """How often its requests are tried again."""
        return self._transport.backoff

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

        A registry that leaves out the digest, or knows no HEAD, is asked for the manifest itself, which is then hashed.
        """
        request = self._manifest_request("HEAD", repository, reference, {200, 404, *_NO_HEAD})
        async with self._transport.send(request) as response:
            if response.status == 404:
                return None
            descriptor = _described(response) if response.status == 200 else None
        return descriptor or await self._fetched_manifest(repository, reference)

    async def source_manifest(self, repository: str, reference: str) -> Descriptor | None:
        """Tell what a source has, as ``head_manifest`` does; what is not there is asked for once more, by GET.

        There are servers that know no HEAD and say 404. A target's word is taken: what it lacks is sent to it.
        """
        found = await self.head_manifest(repository, reference)
        return found or await self._fetched_manifest(repository, reference)

    async def _fetched_manifest(self, repository: str, reference: str) -> Descriptor | None:
        try:
            manifest = await self.get_manifest(repository, reference)
        except NotFound:
            return None
        return Descriptor(manifest.media_type, manifest.digest, len(manifest.raw))

    async def stored_manifest(self, repository: str, reference: str) -> Descriptor | None:
        """Tell what a target has, as ``head_manifest`` does; None as well where the login is good, but not for reading.

        Some logins may push only, and Artifactory answers 403 for what is not there.
        """
        try:
            return await self.head_manifest(repository, reference)
        except Unauthorized as error:
            if not error.knows_us:
                raise
            return None

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

        Raises DigestMismatch when the registry says that it stored something else. One that does not say what it
        stored is asked what is there now: what answers may be something in front of it.

        That blobs are lacking is retryable: docker-registry shows those half-written that others write, too, and
        whoever copies the image once more sees to its blobs again.
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
        try:
            async with self._transport.send(request) as response:
                stored = response.headers.get("Docker-Content-Digest", "")
        except RegistryError as error:
            error.retryable = error.retryable or not BLOB_LOST.isdisjoint(error.codes)
            raise
        if not stored.startswith(f"{manifest.digest.algorithm}:"):
            await self._prove(repository, reference, manifest)
        elif stored != str(manifest.digest):
            raise DigestMismatch(
                f"{self.endpoint.host}/{repository} stored {manifest.digest} as {stored}",
                hint="the registry changes manifests; the image there is not the one that was sent",
            )

    async def _prove(self, repository: str, reference: str, manifest: Manifest) -> None:
        """See that what was sent is what is there. A digest of another kind tells nothing: then the bytes do."""
        found = await self.head_manifest(repository, reference)
        if found is not None and found.digest.algorithm != manifest.digest.algorithm:
            there = (await self.get_manifest(repository, reference)).raw == manifest.raw
        else:
            there = found is not None and found.digest == manifest.digest
        if not there:
            instead = f": {reference} is {found.digest} there" if found else ""
            raise RegistryError(
                f"{self.endpoint.host}/{repository} said that it stored {manifest.digest}, and did not{instead}",
                retryable=True,
                hint="what answers may be something in front of the registry, or somebody else writes that tag",
            )

    async def has_blob(self, repository: str, digest: Digest) -> bool:
        """Tell whether a repository has a blob (end-10, HEAD)."""
        return await self.blob_size(repository, digest) is not None

    async def blob_size(self, repository: str, digest: Digest) -> int | None:
        """Tell how many bytes a blob has, or UNKNOWN_SIZE; None when the repository has none (end-10, HEAD).

        Where there is no HEAD, a GET is begun and broken off.
        """
        path, scopes, known = f"v2/{repository}/blobs/{digest}", (pull(repository),), frozenset({200, 404})
        request = Request("HEAD", path, repository, scopes, accept=known | _NO_HEAD)
        async with self._transport.send(request) as response:
            if response.status in known:
                return length(response) if response.status == 200 else None
        async with self._transport.send(replace(request, method="GET", accept=known)) as response:
            return length(response) if response.status == 200 else None

    async def stores_blob(self, repository: str, digest: Digest) -> bool:
        """Tell whether a target has a blob, as far as its login may know: see ``stored_manifest``."""
        try:
            return await self.has_blob(repository, digest)
        except Unauthorized as error:
            if not error.knows_us:
                raise
            return False

    @asynccontextmanager
    async def read_blob(self, repository: str, blob: Descriptor) -> AsyncIterator[BlobStream]:
        """Open a blob for reading (end-2); a connection that breaks is followed by another, which goes on there.

        Its last bytes are given only after digest and size of the whole were found right; before
        that, DigestMismatch ends the stream.
        """
        scopes = (pull(repository),)
        request = Request("GET", f"v2/{repository}/blobs/{blob.digest}", repository, scopes, lane=Lane.READ, holds=True)
        async with self._transport.place(Lane.READ), Download(self._transport, request, blob) as download:
            yield download.stream()

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
            raise RegistryError(
                f"{self.endpoint.host}/{repository} says that an upload is done before it began",
                retryable=True,
                hint="what answers may be something in front of the registry",
            )
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

    async def upload_status(self, repository: str, location: str) -> tuple[str, int] | None:
        """Ask how many bytes of an open upload arrived, and where to send the rest (end-13).

        None where the registry does not tell. What has a single byte is told like what has none, and counts as that.
        """
        request = Request("GET", location, repository, (push(repository),), accept=frozenset({200, 204}))
        try:
            async with self._transport.send(request) as response:
                first, _, last = response.headers.get("Range", "").strip().removeprefix("bytes=").partition("-")
                further = self._transport.location(response) if "Location" in response.headers else location
        except Unreachable:
            raise
        except RegistryError:
            return None
        end = number(last) if first == "0" else None
        return None if end is None else (further, end + 1 if end else 0)

    async def continue_upload(self, repository: str, location: str, offset: int, body: Body) -> str:
        """Send bytes from ``offset`` on to an open upload, and return where to send what follows (end-5)."""
        place = {"Content-Range": f"{offset}-{offset + body.length - 1}"} if body.length > 0 else {}
        request = Request(
            "PATCH",
            location,
            repository,
            (push(repository),),
            accept=frozenset({200, 201, 202, 204}),
            headers={"Content-Type": "application/octet-stream", **place},
            body=body,
            lane=Lane.UPLOAD,
            holds=True,
        )
        async with self._transport.send(request) as response:
            return self._transport.location(response)

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
    return Descriptor(media_type, digest, length(response))
