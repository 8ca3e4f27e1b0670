"""Manifests and indexes as raw bytes with a parsed view (OCI image spec; Docker image manifest v2, schemas 1 and 2).

The bytes are the truth: they are hashed, stored and sent as they came, never encoded again.
"""

import base64
import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypedDict

from dregsy.errors import DigestMismatch, ImageError
from dregsy.model import jsontext, pattern
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

PARTS_LIMIT = 20_000
"""The most layers of an image, or entries of an index; what has more is no image but an attack."""

_HIGHEST_SIZE = 2**63 - 1
_MEDIA_TYPE = pattern.compile_whole(r"[A-Za-z0-9][\w!#$&^.+-]{0,126}/[A-Za-z0-9][\w!#$&^.+-]{0,126}")

UNKNOWN_SIZE = -1
"""The size of a blob that a schema 1 manifest names, which tells none."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Points at some content: what it is, its digest and its size in bytes (OCI image spec, Descriptors)."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str = ""
    urls: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Read a descriptor from parsed JSON; ValueError says which part is wrong."""
        if not isinstance(data, dict):
            raise ValueError("a descriptor is not an object")
        size = data.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _HIGHEST_SIZE:
            raise ValueError("a descriptor has no valid size")
        return cls(
            media_type=_text(data, "mediaType"),
            digest=Digest.parse(_text(data, "digest")),
            size=size,
            platform=_platform(data.get("platform")),
            annotations=_texts(data.get("annotations")),
            artifact_type=_text(data, "artifactType"),
            urls=_urls(data.get("urls")),
        )

    @property
    def is_foreign(self) -> bool:
        """Whether the content lives elsewhere and is neither fetched from nor sent to a registry.

        Of other layers with URLs registries want to have the content themselves, too.
        """
        return bool(self.urls) and (".foreign." in self.media_type or ".nondistributable." in self.media_type)

    @property
    def is_attestation(self) -> bool:
        """Whether this entry of an index describes another entry (BuildKit's attestation manifests)."""
        return self.annotations.get("vnd.docker.reference.type") == "attestation-manifest"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or index: its bytes, and what they point at.

    ``children`` are the entries of an index, in the order of the document; one manifest stands
    there more than once when it serves several platforms. ``blobs`` are the config and layers of
    an image, each digest once. ``digest`` of a signed schema 1 manifest is that of what is signed.
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
        content = _content(raw, media_type)
        if digest is not None and not digest.matches(raw) and not digest.matches(content):
            really = Digest.of(raw, digest.algorithm)
            raise DigestMismatch(f"the manifest received as {digest} is really {really}", retryable=True)
        digest = digest or Digest.of(content)
        try:
            kind, name = _types(_document(raw), media_type)
            return cls(raw, name, digest, **_parts(kind, _document(content)))
        except ValueError as error:
            raise ImageError(f"{digest} is no valid manifest: {error}") from None

    @property
    def is_index(self) -> bool:
        """Whether this lists other manifests."""
        return self.media_type in INDEX_TYPES or bool(self.children)


class _Parts(TypedDict, total=False):
    children: tuple[Descriptor, ...]
    blobs: tuple[Descriptor, ...]
    config: Descriptor | None
    subject: Descriptor | None


def _parts(kind: str, document: dict[str, Any]) -> _Parts:
    if kind in SCHEMA1_TYPES:
        return {"blobs": _schema1_blobs(document)}
    subject = Descriptor.parse(document["subject"]) if document.get("subject") else None
    if kind in INDEX_TYPES:
        _lacks(document, "config", "layers")
        return {"children": _descriptors(document, "manifests"), "subject": subject}
    _lacks(document, "manifests")
    config = Descriptor.parse(document["config"]) if document.get("config") else None
    layers = _descriptors(document, "blobs" if kind == OCI_ARTIFACT else "layers")
    blobs: dict[Digest, Descriptor] = {}
    for blob in (config, *layers) if config else layers:
        if blob.digest not in blobs or blobs[blob.digest].is_foreign:  # one that must be there counts
            blobs[blob.digest] = blob
    return {"blobs": tuple(blobs.values()), "config": config, "subject": subject}


def _lacks(document: dict[str, Any], *keys: str) -> None:
    """Refuse what another reader may take for another kind of manifest (CVE-2021-41190)."""
    for key in keys:
        if document.get(key):
            raise ValueError(f"it is both an image and an index: it has {key}")


def _document(raw: bytes) -> dict[str, Any]:
    if raw.startswith(codecs.BOM_UTF8):
        raise ValueError("it begins with a mark of byte order, which others take for no JSON")
    document = jsontext.parse(raw)
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    return document


def _content(raw: bytes, header: str) -> bytes:
    """Return what a manifest's digest is of: its bytes, or of signed schema 1 ones what the signature is for.

    Docker image manifest v2 schema 1, Signed manifests. What cannot be read so is left to the digest to refuse.
    """
    if b'"signatures"' not in raw:
        return raw
    try:
        document = _document(raw)
        if _types(document, header)[0] != DOCKER_SCHEMA1_SIGNED:
            return raw
        protected = jsontext.parse(_base64url(document["signatures"][0]["protected"]))
        return raw[: protected["formatLength"]] + _base64url(protected["formatTail"])
    except (ValueError, LookupError, TypeError):
        return raw


def _base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")  # JSON web signatures leave the padding out


def _types(document: dict[str, Any], header: str) -> tuple[str, str]:
    """Return as which of MANIFEST_TYPES a document is read, and the media type that it is stored under."""
    own = _text(document, "mediaType")
    if own and not _MEDIA_TYPE(own):  # it is to be sent as a header
        raise ValueError(f"not a media type: {own[:200]!r}")
    header = header.partition(";")[0].strip().lower()
    for named in (own, header):
        if named in MANIFEST_TYPES:
            return named, named
    if document.get("schemaVersion") == 1:
        kind = DOCKER_SCHEMA1_SIGNED if document.get("signatures") else DOCKER_SCHEMA1
    elif isinstance(document.get("manifests"), list):
        kind = OCI_INDEX
    elif isinstance(document.get("layers"), list):
        kind = OCI_MANIFEST
    else:
        named = own or header
        raise ValueError(f"unknown media type {named[:200]!r}" if named else "it has no media type")
    return kind, own or kind


def _descriptors(document: dict[str, Any], key: str) -> tuple[Descriptor, ...]:
    entries = document.get(key) or []
    if not isinstance(entries, list):
        raise ValueError(f"{key} is not a list")
    _not_too_many(entries)
    return tuple(map(Descriptor.parse, entries))


def _not_too_many(entries: list[Any]) -> None:
    if len(entries) > PARTS_LIMIT:
        raise ValueError(f"it lists more than {PARTS_LIMIT} parts")


def _schema1_blobs(document: dict[str, Any]) -> tuple[Descriptor, ...]:
    """List the layers of a schema 1 manifest, which names digests without sizes."""
    entries = document.get("fsLayers")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("fsLayers is not a list of objects")
    _not_too_many(entries)
    digests = dict.fromkeys(Digest.parse(_text(entry, "blobSum")) for entry in entries)
    return tuple(Descriptor("application/octet-stream", digest, UNKNOWN_SIZE) for digest in digests)


def _platform(data: Any) -> Platform | None:
    if not isinstance(data, dict):
        return None
    platform = Platform(
        _text(data, "os"), _text(data, "architecture"), _text(data, "variant"), _text(data, "os.version")
    )
    return platform if platform.os or platform.architecture else None


def _urls(data: Any) -> tuple[str, ...]:
    return tuple(url for url in data if isinstance(url, str)) if isinstance(data, list) else ()


def _text(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a text")
    return value


def _texts(data: Any) -> dict[str, str]:
    return {k: v for k, v in data.items() if isinstance(v, str)} if isinstance(data, dict) else {}
