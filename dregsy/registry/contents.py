"""Manifests and configs that were read before: what a digest names never changes, so it is read once.

Whatever keeps them, their bytes are checked against the digest each time: they may have come from anywhere.
"""

from contextlib import suppress
from typing import Protocol

from dregsy.errors import DregsyError, ImageError, NotFound
from dregsy.model.digest import Digest
from dregsy.model.manifest import Descriptor, Manifest
from dregsy.model.ref import Ref
from dregsy.registry.client import Registry


class Contents(Protocol):
    """What keeps contents by their digests, and remembers what tags pointed at; dregsy/journal.py does."""

    async def content(self, digest: Digest) -> bytes | None:
        """Return the bytes that a digest is said to name, or None."""

    def keep(self, digest: Digest, content: bytes) -> None:
        """Keep the bytes that a digest names."""

    async def last_digest(self, host: str, repository: str, reference: str) -> Digest | None:
        """Return what a tag pointed at when it was last seen, or None."""

    def saw_tag(self, host: str, repository: str, reference: str, digest: Digest) -> None:
        """Note what a tag points at now."""


async def manifest_of(contents: Contents, registry: Registry, repository: str, digest: Digest) -> Manifest:
    """Return the manifest that a digest names; raises what fetching it does."""
    kept = await contents.content(digest)
    if kept is not None:
        with suppress(DregsyError):
            return Manifest.parse(kept, digest=digest)
    manifest = await registry.get_manifest(repository, str(digest))
    _keep(contents, manifest)
    return manifest


async def manifest_at(contents: Contents, registry: Registry, repository: str, tag: str) -> Manifest:
    """Return the manifest that a tag points at now; raises what fetching it does.

    One that was read before costs a HEAD, and so nothing of what registries count as pulls.
    """
    host = registry.endpoint.api_host
    before = await contents.last_digest(host, repository, tag)
    if before is None:
        manifest = await registry.get_manifest(repository, tag)
        _keep(contents, manifest)
    else:
        found = await registry.source_manifest(repository, tag)
        if found is None:
            raise NotFound(f"there is no image {registry.endpoint.host}/{repository}:{tag}")
        manifest = await manifest_of(contents, registry, repository, found.digest)
    if manifest.digest != before:
        contents.saw_tag(host, repository, tag, manifest.digest)
    return manifest


async def blob_of(contents: Contents, registry: Registry, repository: str, blob: Descriptor) -> bytes:
    """Return a small blob, such as a config; raises what reading it does."""
    kept = await contents.content(blob.digest)
    if kept is not None and blob.digest.matches(kept):
        return kept
    async with registry.read_blob(repository, blob) as stream:
        content = b"".join([chunk async for chunk in stream.chunks])
    contents.keep(blob.digest, content)
    return content


def _keep(contents: Contents, manifest: Manifest) -> None:
    """Keep a manifest, if it can be read without the media type that the registry told."""
    with suppress(ImageError):
        if Manifest.parse(manifest.raw, digest=manifest.digest) == manifest:
            contents.keep(manifest.digest, manifest.raw)


def no_image(source: Ref) -> NotFound:
    """Return the error for an image that is not there."""
    return NotFound(f"there is no image {source}", hint="check name and tag; it may have been deleted")
