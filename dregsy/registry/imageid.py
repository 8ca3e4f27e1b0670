"""Whether two manifests are one image although their digests differ, as when a docker daemon packed layers anew.

What docker calls an image's id is the digest of its config, which names the content of every layer.
"""

from dregsy.errors import NotFound
from dregsy.model.digest import Digest
from dregsy.model.manifest import DOCKER_MANIFEST, OCI_MANIFEST
from dregsy.model.platform import Platform, choose
from dregsy.registry.client import Registry
from dregsy.registry.contents import Contents, manifest_of

CONFIG_TYPES = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"},
)


async def image_id(
    contents: Contents, registry: Registry, repository: str, digest: Digest, platform: Platform
) -> Digest | None:
    """Return the id of the image that a digest stands for; of an index, that of the image for ``platform``.

    Costs one GET of a manifest, two for an index, and none a second time. None where there is no such image,
    and for what has no id: artifacts, whose configs say nothing, and images of schema 1.
    """
    try:
        manifest = await manifest_of(contents, registry, repository, digest)
        if manifest.is_index:
            position = choose(platform, [child.platform for child in manifest.children])
            if position is None:
                return None
            manifest = await manifest_of(contents, registry, repository, manifest.children[position].digest)
    except NotFound:
        return None
    config = manifest.config
    if config is None or config.media_type not in CONFIG_TYPES:
        return None
    return config.digest if manifest.media_type in {OCI_MANIFEST, DOCKER_MANIFEST} else None
