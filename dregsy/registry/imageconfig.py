"""What an image says about itself in its config: its platform, and when it was made (OCI image spec, Configuration)."""

from typing import Any

from dregsy.errors import ImageError
from dregsy.model import jsontext
from dregsy.model.manifest import DOCKER_MANIFEST, OCI_MANIFEST, SCHEMA1_TYPES, Manifest
from dregsy.registry.client import Registry
from dregsy.registry.contents import Contents, blob_of

CONFIG_LIMIT = 8 * 2**20
"""The most bytes that a config may have."""


async def read_config(contents: Contents, registry: Registry, repository: str, manifest: Manifest) -> dict[str, Any]:
    """Return the config of an image; empty where it has none that says anything, as that of an artifact.

    That of a schema 1 image is what its first layer in the manifest says, which is the last one made.
    Raises ImageError for one of more than 8 MiB, and what reading a blob raises.
    """
    if manifest.media_type in SCHEMA1_TYPES:
        return _newest_layer(_object(manifest.raw))
    config = manifest.config
    if config is None or manifest.media_type not in {OCI_MANIFEST, DOCKER_MANIFEST}:
        return {}
    if config.size > CONFIG_LIMIT:
        name = f"{registry.endpoint.host}/{repository}@{manifest.digest}"
        raise ImageError(f"the config of {name} has more than {CONFIG_LIMIT} bytes")
    return _object(await blob_of(contents, registry, repository, config))


def _newest_layer(manifest: dict[str, Any]) -> dict[str, Any]:
    """Read ``history[0].v1Compatibility`` (Docker image manifest v2, schema 1)."""
    match manifest:
        case {"history": [{"v1Compatibility": str(text)}, *_]}:
            return _object(text)
    return {}


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        document = jsontext.parse(text.encode() if isinstance(text, str) else text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
