"""Google's registries (gcr.io, Artifact Registry): one listing of a repository tells digests and what is below it."""

from datetime import datetime
from typing import Any

from dregsy.model.ages import Listed, read_seconds
from dregsy.model.ref import is_repository
from dregsy.registry.challenge import pull
from dregsy.registry.vendors.api import Names, NotOffered, Page, Tags, VendorApi

_MOST = {"n": "10000"}


async def tags(api: VendorApi, repository: str) -> Tags:
    """Give all tags of a repository, in one page: Google adds ``manifest`` to the distribution API's listing."""
    page = await _listing(api, repository)
    manifests = page.document.get("manifest")
    if not isinstance(manifests, dict):
        raise NotOffered(f"{api.host} lists no digests")
    yield {
        tag: Listed(digest, _uploaded(manifest))
        for digest, manifest in manifests.items()
        if isinstance(manifest, dict)
        for tag in manifest.get("tag") or ()
        if isinstance(tag, str)
    }


async def repositories(api: VendorApi, prefix: str) -> Names:
    """Walk down from ``prefix`` by the ``child`` that Google adds to listings, parents before children, in order."""
    if not prefix:
        raise NotOffered(f"{api.host} lists what is below a path only")
    waiting = [prefix]
    while waiting:
        name = waiting.pop()
        listing = (await _listing(api, name)).document
        children = listing.get("child")
        if not isinstance(children, list):
            raise NotOffered(f"{api.host} does not list what is below a path")
        if listing.get("manifest") or listing.get("tags"):
            yield [name]
        below = [f"{name}/{child}" for child in children if isinstance(child, str)]
        waiting.extend(sorted(filter(is_repository, below), reverse=True))


def _uploaded(manifest: dict[str, Any]) -> datetime | None:
    """Read when a manifest was stored; Google writes milliseconds, as digits."""
    text = manifest.get("timeUploadedMs")
    return read_seconds(f"{text}e-3") if isinstance(text, str) else None


async def _listing(api: VendorApi, name: str) -> Page:
    page = await api.get(f"v2/{name}/tags/list", _MOST, repository=name, scopes=(pull(name),))
    if not isinstance(page.document, dict):
        raise page.odd()
    return page
