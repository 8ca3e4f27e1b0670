"""Whether two manifests are one image although their digests differ, as when a docker daemon packed layers anew.

What docker calls an image's id is the digest of its config, which names the content of every layer.
"""

from dregsy.errors import NotFound
from dregsy.model.digest import Digest
from dregsy.model.manifest import DOCKER_MANIFEST, OCI_MANIFEST
from dregsy.model.platform import Platform, choose
from dregsy.registry.client import Registry

CONFIG_TYPES = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"},
)


async def image_id(registry: Registry, repository: str, reference: str, platform: Platform) -> Digest | None:
    """Return the id of the image that a tag or digest stands for; of an index, that of the image for ``platform``.

    Costs one GET of a manifest, two for an index. None where there is no such image, and for what has
    no id: artifacts, whose configs say nothing, and images of schema 1.
    """
    try:
        manifest = await registry.get_manifest(repository, reference)
        if manifest.is_index:
            position = choose(platform, [child.platform for child in manifest.children])
            if position is None:
                return None
            manifest = await registry.get_manifest(repository, str(manifest.children[position].digest))
    except NotFound:
        return None
    config = manifest.config
    if config is None or config.media_type not in CONFIG_TYPES:
        return None
    return config.digest if manifest.media_type in {OCI_MANIFEST, DOCKER_MANIFEST} else None
