"""Makes images for the demo, the tests and the benchmarks: small, real, and the same bytes for the same seed.

Layers are gzipped tar archives and configs tell the truth about them, so that every tool can pull and unpack
what is made here. Nothing is read from anywhere.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dregsy.embedded.store import Store
from dregsy.model.digest import Digest
from dregsy.model.manifest import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Manifest
from dregsy.model.platform import Platform

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
IN_TOTO = "application/vnd.in-toto+json"
SBOM = "application/spdx+json"

AMD64 = Platform("linux", "amd64")
CREATED = "2024-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Image:
    """An image, index or artifact with all that belongs to it.

    ``manifests`` come children first, so that pushing them in order is always right; the last is ``top``.
    """

    blobs: Mapping[Digest, bytes]
    manifests: tuple[Manifest, ...]

    @property
    def top(self) -> Manifest:
        """The manifest that a tag of this image points at."""
        return self.manifests[-1]

    @property
    def digest(self) -> Digest:
        """The digest of the top manifest."""
        return self.top.digest


class Stocked(Protocol):
    """Something with a store, such as a running registry."""

    store: Store


async def seed(target: Store | Stocked, repository: str, image: Image, *tags: str) -> None:
    """Put an image with all its blobs straight into a store, or that of a registry, under ``tags``."""
    store = target if isinstance(target, Store) else target.store
    opened = store.open(repository)
    opened.blobs.update(image.blobs)
    for manifest in image.manifests:
        opened.put_manifest(str(manifest.digest), manifest.raw, manifest.media_type)
    for tag in tags:
        opened.put_manifest(tag, image.top.raw, image.top.media_type)


def image(
    text: str,
    *,
    platform: Platform = AMD64,
    layers: int = 2,
    size: int = 1024,
    docker: bool = False,
    created: str = CREATED,
) -> Image:
    """Make an image of one platform whose content depends on ``text`` alone, with ``size`` random bytes per layer.

    Layer 0 is the same for all images whose ``text`` agrees up to the first ``/``, as if they had a common base.
    ``docker`` makes a Docker v2 schema 2 image instead of an OCI image. ``created`` is its date (RFC 3339).
    """
    base = text.partition("/")[0]
    archives = [_archive(f"{base if index == 0 else text}-{index}", size) for index in range(layers)]
    packed = [gzip.compress(archive, 1, mtime=0) for archive in archives]
    config = _encode(_config(text, platform, archives, created))
    layer_type = DOCKER_LAYER if docker else OCI_LAYER
    return _assembled(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
            "config": _descriptor(config, DOCKER_CONFIG if docker else OCI_CONFIG),
            "layers": [_descriptor(layer, layer_type) for layer in packed],
        },
        [config, *packed],
    )


def index(*images: Image, docker: bool = False, attested: bool = False) -> Image:
    """Make an index of images; ``attested`` adds for each an attestation manifest, as BuildKit does."""
    entries = [_entry(one, _platform(one)) for one in images]
    members = list(images)
    for one in images if attested else ():
        statement = _attestation(one)
        marks = {"vnd.docker.reference.digest": str(one.digest), "vnd.docker.reference.type": "attestation-manifest"}
        unknown = {"architecture": "unknown", "os": "unknown"}
        entries.append({**_entry(statement, unknown), "annotations": marks})
        members.append(statement)
    top = {"schemaVersion": 2, "mediaType": DOCKER_LIST if docker else OCI_INDEX, "manifests": entries}
    return _assembled(top, [], *members)


def artifact(subject: Image | None = None, *, kind: str = SBOM, text: str = "sbom") -> Image:
    """Make an OCI 1.1 artifact of type ``kind``, such as an SBOM, that refers to ``subject`` if there is one."""
    payload = _encode({"name": text, "of": str(subject.digest) if subject else None})
    empty = b"{}"
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": kind,
        "config": _descriptor(empty, OCI_EMPTY),
        "layers": [_descriptor(payload, kind)],
        "annotations": {"org.opencontainers.image.title": text},
    }
    if subject is not None:
        document["subject"] = _descriptor(subject.top.raw, subject.top.media_type)
    return _assembled(document, [empty, payload])


def _assembled(document: dict[str, Any], blobs: list[bytes], *members: Image) -> Image:
    """Close a manifest over its blobs and over the images it lists."""
    own = {Digest.of(blob): blob for blob in blobs}
    below = {one.digest: one for member in members for one in member.manifests}
    top = Manifest.parse(_encode(document), document["mediaType"])
    every = [member.blobs for member in members]
    return Image({key: blob for group in (*every, own) for key, blob in group.items()}, (*below.values(), top))


def _archive(text: str, size: int) -> bytes:
    """Make a tar archive with one readable and one random file, the same for the same ``text``."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        noise = hashlib.shake_256(text.encode()).digest(size)
        for name, content in (("README", f"{text}\n".encode()), ("noise", noise)):
            entry = tarfile.TarInfo(f"{text.replace('/', '_')}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _config(text: str, platform: Platform, archives: list[bytes], created: str) -> dict[str, Any]:
    """Describe an image as a builder would (OCI image spec, Image Configuration)."""
    return {
        "created": created,
        **_platform_fields(platform),
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/true"], "Labels": {"org.opencontainers.image.title": text}},
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(archive)) for archive in archives]},
        "history": [{"created": created, "created_by": f"COPY layer{number} /"} for number in range(len(archives))],
    }


def _attestation(of: Image) -> Image:
    """Make the manifest by which BuildKit attaches provenance to an image of an index."""
    subject = [{"name": "image", "digest": {of.digest.algorithm: of.digest.hex}}]
    statement = _encode({"_type": "https://in-toto.io/Statement/v0.1", "subject": subject, "predicate": {}})
    unknown = {"architecture": "unknown", "os": "unknown", "config": {}}
    config = _encode({**unknown, "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(statement))]}})
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(config, OCI_CONFIG),
        "layers": [_descriptor(statement, IN_TOTO)],
    }
    return _assembled(document, [config, statement])


def _platform(one: Image) -> dict[str, str]:
    """Read the platform of an image out of its config; an index has none of its own."""
    if one.top.config is None:
        return {}
    config = json.loads(one.blobs[one.top.config.digest])
    return {key: config[key] for key in ("architecture", "os", "variant", "os.version") if key in config}


def _platform_fields(platform: Platform) -> dict[str, str]:
    fields = {
        "architecture": platform.architecture,
        "os": platform.os,
        "variant": platform.variant,
        "os.version": platform.os_version,
    }
    return {key: value for key, value in fields.items() if value}


def _entry(one: Image, platform: dict[str, str]) -> dict[str, Any]:
    entry = _descriptor(one.top.raw, one.top.media_type)
    return {**entry, "platform": platform} if platform else entry


def _descriptor(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content)}


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode()
