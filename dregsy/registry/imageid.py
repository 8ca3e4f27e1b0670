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


_REMEMBERED = 10_000


class ImageIds:
    """Finds out images' ids and remembers them: what a digest stands for never changes."""

    def __init__(self) -> None:
        self._known: dict[tuple[Digest, Platform], Digest] = {}

    async def find(self, registry: Registry, repository: str, digest: Digest, platform: Platform) -> Digest | None:
        """Return the id of the image that a digest stands for; of an index, that of the image for ``platform``.

        Costs one GET of a manifest, two for an index. None where there is no such image, and for what has
        no id: artifacts, whose configs say nothing, and images of schema 1.
        """
        key = digest, platform
        if key not in self._known:
            found = await _find(registry, repository, digest, platform)
            if found is None:
                return None
            if len(self._known) >= _REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._known[key] = found
        return self._known[key]


async def _find(registry: Registry, repository: str, digest: Digest, platform: Platform) -> Digest | None:
    try:
        manifest = await registry.get_manifest(repository, str(digest))
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
