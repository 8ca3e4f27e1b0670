"""Manifests and indexes as raw bytes with a parsed view (OCI image spec; Docker image manifest v2, schemas 1 and 2).

The bytes are the truth: they are hashed, stored and sent as they came, never encoded again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from dregsy.errors import DigestMismatch, ImageError
from dregsy.model.digest import Digest
from dregsy.model.platform import Platform

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"

MANIFEST_TYPES = (
    OCI_INDEX,
    DOCKER_LIST,
    OCI_MANIFEST,
    DOCKER_MANIFEST,
    OCI_ARTIFACT,
    DOCKER_SCHEMA1_SIGNED,
    DOCKER_SCHEMA1,
)
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
SCHEMA1_TYPES = frozenset({DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED})

SIZE_LIMIT = 8 * 2**20
"""The most bytes a manifest may have; registries commonly stop at 4 MiB."""

UNKNOWN_SIZE = -1
"""The size of a blob that a schema 1 manifest names, which tells none."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Points at some content: what it is, its digest and its size in bytes (OCI image spec, Descriptors)."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    urls: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Read a descriptor from parsed JSON; ValueError says which part is wrong."""
        if not isinstance(data, dict):
            raise ValueError("a descriptor is not an object")
        size = data.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ValueError("a descriptor has no valid size")
        return cls(
            media_type=_text(data, "mediaType"),
            digest=Digest.parse(_text(data, "digest")),
            size=size,
            platform=_platform(data.get("platform")),
            annotations=_texts(data.get("annotations")),
            artifact_type=_text(data, "artifactType"),
            urls=tuple(url for url in data.get("urls") or () if isinstance(url, str)),
        )

    @property
    def is_foreign(self) -> bool:
        """Whether the content lives elsewhere and is neither fetched from nor sent to a registry."""
        return bool(self.urls)

    @property
    def is_attestation(self) -> bool:
        """Whether this entry of an index describes another entry (BuildKit's attestation manifests)."""
        return self.annotations.get("vnd.docker.reference.type") == "attestation-manifest"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or index: its bytes, and what they point at.

    ``children`` are the manifests of an index, ``blobs`` the config and layers of an image, each
    digest once, in the order of the document.
    """

    raw: bytes = field(repr=False)
    media_type: str
    digest: Digest
    children: tuple[Descriptor, ...] = ()
    blobs: tuple[Descriptor, ...] = ()
    config: Descriptor | None = None
    subject: Descriptor | None = None

    @classmethod
    def parse(cls, raw: bytes, media_type: str = "", *, digest: Digest | None = None) -> Self:
        """Read a manifest; ``media_type`` is the Content-Type that came with it, ``digest`` what was asked for.

        Raises DigestMismatch when the bytes are not those of ``digest`` and ImageError when they
        are no manifest. The document's own mediaType wins over the header, which proxies get wrong.
        """
        if digest is not None and not digest.matches(raw):
            raise DigestMismatch(
                f"the manifest received as {digest} is really {Digest.of(raw, digest.algorithm)}",
                retryable=True,
            )
        digest = digest or Digest.of(raw)
        try:
            document = json.loads(raw)
            if not isinstance(document, dict):
                raise ValueError("it is not a JSON object")
            kind = _media_type(document, media_type)
            return cls._of(raw, kind, digest, document)
        except (ValueError, RecursionError) as error:
            raise ImageError(f"{digest} is no valid manifest: {error}") from None

    @classmethod
    def _of(cls, raw: bytes, kind: str, digest: Digest, document: dict[str, Any]) -> Self:
        if kind in SCHEMA1_TYPES:
            return cls(raw, kind, digest, blobs=_schema1_blobs(document))
        subject = Descriptor.parse(document["subject"]) if document.get("subject") else None
        if kind in INDEX_TYPES:
            return cls(raw, kind, digest, children=_descriptors(document, "manifests"), subject=subject)
        config = Descriptor.parse(document["config"]) if document.get("config") else None
        layers = _descriptors(document, "blobs" if kind == OCI_ARTIFACT else "layers")
        blobs = {one.digest: one for one in ((config, *layers) if config else layers)}
        return cls(raw, kind, digest, blobs=tuple(blobs.values()), config=config, subject=subject)

    @property
    def is_index(self) -> bool:
        """Whether this lists other manifests."""
        return self.media_type in INDEX_TYPES


def _media_type(document: dict[str, Any], header: str) -> str:
    own = document.get("mediaType")
    if isinstance(own, str) and own in MANIFEST_TYPES:
        return own
    header = header.partition(";")[0].strip().lower()
    if header in MANIFEST_TYPES:
        return header
    if document.get("schemaVersion") == 1:
        return DOCKER_SCHEMA1_SIGNED if document.get("signatures") else DOCKER_SCHEMA1
    if isinstance(document.get("manifests"), list):
        return OCI_INDEX
    if isinstance(document.get("layers"), list):
        return OCI_MANIFEST
    named = own if isinstance(own, str) and own else header
    raise ValueError(f"unknown media type {named[:200]!r}" if named else "it has no media type")


def _descriptors(document: dict[str, Any], key: str) -> tuple[Descriptor, ...]:
    entries = document.get(key) or []
    if not isinstance(entries, list):
        raise ValueError(f"{key} is not a list")
    return tuple({one.digest: one for one in map(Descriptor.parse, entries)}.values())


def _schema1_blobs(document: dict[str, Any]) -> tuple[Descriptor, ...]:
    """List the layers of a schema 1 manifest, which names digests without sizes."""
    entries = document.get("fsLayers")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("fsLayers is not a list of objects")
    digests = dict.fromkeys(Digest.parse(_text(entry, "blobSum")) for entry in entries)
    return tuple(Descriptor("application/octet-stream", digest, UNKNOWN_SIZE) for digest in digests)


def _platform(data: Any) -> Platform | None:
    if not isinstance(data, dict):
        return None
    return Platform(_text(data, "os"), _text(data, "architecture"), _text(data, "variant"), _text(data, "os.version"))


def _text(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a text")
    return value


def _texts(data: Any) -> dict[str, str]:
    return {k: v for k, v in data.items() if isinstance(v, str)} if isinstance(data, dict) else {}
