"""When images were made: read from each image's config, and remembered."""

import asyncio
from collections import OrderedDict
from datetime import datetime
from weakref import WeakValueDictionary

from dregsy.model.ages import read_date
from dregsy.model.digest import Digest
from dregsy.model.manifest import Manifest
from dregsy.registry.client import Registry
from dregsy.registry.contents import Contents, manifest_of
from dregsy.registry.imageconfig import read_config

_MOST = 20_000
"""How many dates are remembered; the longest unused go first."""
_DEPTH_LIMIT = 8


class Dates:
    """The dates of images, by their digests, for as long as this process lives."""

    def __init__(self, contents: Contents, most: int = _MOST) -> None:
        self._contents = contents
        self._most = most
        self._known: OrderedDict[Digest, datetime | None] = OrderedDict()
        self._reading: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()

    async def of(self, registry: Registry, repository: str, digest: Digest) -> datetime | None:
        """Return when the image was made, None when it does not say so; raises what ``created`` does."""
        async with self._reading.setdefault(digest, asyncio.Lock()):
            if digest not in self._known:
                self._known[digest] = await created(self._contents, registry, repository, digest)
        date = self._known[digest]
        self._known.move_to_end(digest)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return date


async def created(contents: Contents, registry: Registry, repository: str, digest: Digest) -> datetime | None:
    """Read an image's date from its config, of an index that of its first image; None when there is no usable one.

    Raises a DregsyError when manifest or config cannot be read.
    """
    manifest = await manifest_of(contents, registry, repository, digest)
    for _ in range(_DEPTH_LIMIT):
        if not manifest.is_index:
            break
        child = _first_image(manifest)
        if child is None:
            return None
        manifest = await manifest_of(contents, registry, repository, child)
    return read_date((await read_config(contents, registry, repository, manifest)).get("created"))


def _first_image(index: Manifest) -> Digest | None:
    return next((child.digest for child in index.children if not child.is_attestation), None)
