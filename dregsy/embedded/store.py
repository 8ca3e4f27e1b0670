"""What the embedded registry holds, in memory: for each repository its blobs, manifests, tags and uploads.

Content shared by repositories is one object in memory, and is gone when the last of them lets go of it.
Refusals are RegistryErrors with the status and the error code that the server answers.
"""

import hashlib
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from dregsy.errors import ImageError, NotFound, RegistryError
from dregsy.model.digest import Digest
from dregsy.model.manifest import SCHEMA1_TYPES, Descriptor, Manifest
from dregsy.model.ref import is_repository, is_tag

MANIFEST_LIMIT = 4 * 2**20
"""The most bytes a manifest may have, as in most registries (OCI distribution spec, Pushing Manifests)."""

BLOB_LIMIT = 2**30
"""The most bytes a blob may have, unless the store is told otherwise."""


class Upload:
    """A blob on its way in; it grows with each chunk, and is hashed on the way."""

    def __init__(self, limit: int) -> None:
        self.id = str(uuid.uuid4())
        self.data = bytearray()
        self._limit = limit
        self._sha256 = hashlib.sha256()

    def append(self, chunk: bytes) -> None:
        """Take the next bytes; RegistryError (413) when the blob grows too large."""
        if len(self.data) + len(chunk) > self._limit:
            raise RegistryError(f"a blob may have {self._limit} bytes here", status=413, codes=["SIZE_INVALID"])
        self.data += chunk
        self._sha256.update(chunk)

    def matches(self, digest: Digest) -> bool:
        """Tell whether what has arrived is the content that ``digest`` names."""
        if digest.algorithm == "sha256":
            return self._sha256.hexdigest() == digest.hex
        return hashlib.new(digest.algorithm, self.data).hexdigest() == digest.hex

    def take(self) -> bytearray:
        """Hand over what has arrived; a straggling chunk can no longer change it."""
        data, self.data = self.data, bytearray()
        return data


@dataclass(slots=True)
class Repository:
    """The content of one repository; blobs are linked, so that other repositories may hold the same object."""

    blob_limit: int = BLOB_LIMIT
    blobs: dict[Digest, bytes | bytearray] = field(default_factory=dict)
    manifests: dict[Digest, Manifest] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)

    def blob(self, digest: Digest) -> memoryview:
        """Return a blob without copying it; NotFound when this repository does not link it."""
        if digest not in self.blobs:
            raise NotFound(f"no blob {digest}", status=404, codes=["BLOB_UNKNOWN"])
        return memoryview(self.blobs[digest])

    def delete_blob(self, digest: Digest) -> None:
        """Unlink a blob; NotFound when there is none."""
        self.blob(digest)
        del self.blobs[digest]

    def start_upload(self) -> Upload:
        """Begin a new blob."""
        upload = Upload(self.blob_limit)
        self.uploads[upload.id] = upload
        return upload

    def upload(self, upload_id: str) -> Upload:
        """Return an upload that has begun and has neither ended nor failed; else NotFound."""
        if upload_id not in self.uploads:
            raise NotFound("no such upload", status=404, codes=["BLOB_UPLOAD_UNKNOWN"])
        return self.uploads[upload_id]

    def finish_upload(self, upload: Upload, digest: Digest) -> None:
        """Turn an upload into the blob ``digest``; RegistryError (400) when its bytes are others. Ends it anyway."""
        self.uploads.pop(upload.id, None)
        if not upload.matches(digest):
            raise RegistryError(f"the content is not {digest}", status=400, codes=["DIGEST_INVALID"])
        self.blobs[digest] = upload.take()

    def resolve(self, reference: str) -> Digest:
        """Return the digest of the manifest that a tag or digest names here; else NotFound."""
        digest = self.tags.get(reference) or _digest(reference)
        if digest is None or digest not in self.manifests:
            raise NotFound(f"no manifest {reference}", status=404, codes=["MANIFEST_UNKNOWN"])
        return digest

    def put_manifest(self, reference: str, raw: bytes, media_type: str) -> Digest:
        """Store a manifest under a tag or under its digest; RegistryError when it is refused.

        All that it names must be here already, except foreign layers and its subject
        (OCI distribution spec, Pushing Manifests).
        """
        digest = _digest(reference)
        if digest is None and not is_tag(reference):
            raise RegistryError("neither a tag nor a digest", status=400, codes=["TAG_INVALID"])
        if len(raw) > MANIFEST_LIMIT:
            raise RegistryError(
                f"a manifest may have {MANIFEST_LIMIT} bytes here", status=413, codes=["MANIFEST_INVALID"]
            )
        if digest is not None and not digest.matches(raw):
            raise RegistryError(f"the content is not {digest}", status=400, codes=["DIGEST_INVALID"])
        manifest = _parse(raw, media_type, digest)
        self._check_complete(manifest)
        self.manifests[manifest.digest] = manifest
        if digest is None:
            self.tags[reference] = manifest.digest
        return manifest.digest

    def _check_complete(self, manifest: Manifest) -> None:
        lacking = [one.digest for one in manifest.children if one.digest not in self.manifests]
        lacking += [one.digest for one in manifest.blobs if not one.is_foreign and one.digest not in self.blobs]
        if lacking:
            named = ", ".join(map(str, lacking))
            codes = ["MANIFEST_BLOB_UNKNOWN"] * len(lacking)
            raise RegistryError(f"not in this repository: {named}", status=400, codes=codes)

    def delete_manifest(self, reference: str) -> None:
        """Delete a tag, or a manifest and all its tags; NotFound when there is no such thing."""
        digest = self.resolve(reference)
        if reference in self.tags:
            del self.tags[reference]
            return
        del self.manifests[digest]
        self.tags = {tag: target for tag, target in self.tags.items() if target != digest}

    def referrers(self, digest: Digest, artifact_type: str = "") -> list[dict[str, Any]]:
        """List descriptors of the manifests whose subject is ``digest`` (OCI distribution spec, Listing Referrers)."""
        found = [_referrer(one) for one in self.manifests.values() if one.subject and one.subject.digest == digest]
        return [one for one in found if artifact_type in {"", one.get("artifactType")}]


class Store:
    """All repositories of a registry, by name."""

    def __init__(self, *, blob_limit: int = BLOB_LIMIT) -> None:
        self._blob_limit = blob_limit
        self._repositories: dict[str, Repository] = {}

    def find(self, name: str) -> Repository:
        """Return a repository to read from: an empty one, which is not kept, where there is none."""
        return self._repositories.get(name) or self._new(name)

    def open(self, name: str) -> Repository:
        """Return a repository to write to, which begins to exist where there is none."""
        return self._repositories.get(name) or self._repositories.setdefault(name, self._new(name))

    def mount(self, name: str, wanted: str, source: str) -> bool:
        """Link the blob ``wanted`` of the repository ``source`` into ``name``; False where that cannot be."""
        digest = _digest(wanted)
        blob = self._repositories[source].blobs.get(digest) if digest and source in self._repositories else None
        if digest is None or blob is None:
            return False
        self.open(name).blobs[digest] = blob
        return True

    def tags(self, name: str) -> list[str]:
        """Return the tags of a repository, sorted; NotFound where there is nothing at all."""
        repository = self.find(name)
        if not (repository.blobs or repository.manifests):
            raise NotFound(f"no repository {name}", status=404, codes=["NAME_UNKNOWN"])
        return sorted(repository.tags)

    def names(self) -> list[str]:
        """Return the names of all repositories that hold something, sorted."""
        return sorted(name for name, one in self._repositories.items() if one.blobs or one.manifests)

    def _new(self, name: str) -> Repository:
        if not is_repository(name):
            raise RegistryError("not a legal repository name", status=400, codes=["NAME_INVALID"])
        return Repository(self._blob_limit)


def _digest(reference: str) -> Digest | None:
    try:
        return Digest.parse(reference)
    except ValueError:
        return None


def _parse(raw: bytes, media_type: str, digest: Digest | None) -> Manifest:
    try:
        manifest = Manifest.parse(raw, media_type, digest=digest)
    except ImageError as error:
        raise RegistryError(error.message, status=400, codes=["MANIFEST_INVALID"]) from error
    if manifest.media_type in SCHEMA1_TYPES:
        raise RegistryError("schema 1 manifests are not stored here", status=400, codes=["MANIFEST_INVALID"])
    if manifest.media_type != media_type.partition(";")[0].strip():
        raise RegistryError("the Content-Type is not the manifest's", status=400, codes=["MANIFEST_INVALID"])
    return manifest


def _referrer(manifest: Manifest) -> dict[str, Any]:
    """Build the descriptor by which a referrer is listed: its artifact type is that of its config if it has none."""
    document = json.loads(manifest.raw)
    config: Descriptor | None = manifest.config
    descriptor: dict[str, Any] = {
        "mediaType": manifest.media_type,
        "digest": str(manifest.digest),
        "size": len(manifest.raw),
        "artifactType": document.get("artifactType") or (config.media_type if config else ""),
        "annotations": document.get("annotations") or {},
    }
    return {key: value for key, value in descriptor.items() if value}
