"""An index of some of an index's platforms: made by resolve to know its digest, and by a relay to write it."""

import json
from collections.abc import Sequence

from dregsy.errors import ImageError
from dregsy.model import jsontext
from dregsy.model.digest import Digest
from dregsy.model.manifest import Descriptor, Manifest
from dregsy.model.platform import Platform, choose

_REFERS_TO = "vnd.docker.reference.digest"


def offers(index: Manifest) -> str:
    """Say for which platforms an index has images."""
    named = [child.platform for child in index.children if child.platform and child.platform.os != "unknown"]
    return ", ".join(dict.fromkeys(map(str, named))) or "none that is named"


def subset(index: Manifest, platforms: Sequence[Platform], *, name: str) -> Manifest:
    """Return the index of those entries that fit ``platforms``, and of their attestations.

    Entries and fields keep their order, so that the same index always gives the same bytes. An index
    with nothing to leave out is returned as it is. ImageError, which calls the image ``name``, when
    it lacks a platform.
    """
    chosen: set[Digest] = set()
    kept: set[int] = set()
    for wanted in platforms:
        fitting = _fitting(index, wanted)
        if not fitting:
            raise ImageError(f"{name} has no image for {wanted}", hint=f"it has: {offers(index)}")
        kept.update(fitting)
        chosen.update(index.children[position].digest for position in fitting)
    attesting = {str(digest) for digest in chosen}
    kept.update(place for place, one in enumerate(index.children) if one.annotations.get(_REFERS_TO) in attesting)
    return index if len(kept) == len(index.children) else _only(index, kept)


def _fitting(index: Manifest, wanted: Platform) -> list[int]:
    """Return the places of all entries for the platform that fits best: Windows has one for each of its versions."""
    offered = [None if child.is_attestation else child.platform for child in index.children]
    best = choose(wanted, offered)
    if best is None:
        return []
    return [place for place, child in enumerate(index.children) if _same(child, index.children[best], wanted)]


def _same(one: Descriptor, other: Descriptor, wanted: Platform) -> bool:
    if one.platform is None or other.platform is None or one.is_attestation:
        return False
    a, b = one.platform.normalized(), other.platform.normalized()
    same_version = not wanted.os_version or a.os_version == b.os_version
    return same_version and (a.os, a.architecture, a.variant) == (b.os, b.architecture, b.variant)


def _only(index: Manifest, kept: set[int]) -> Manifest:
    try:
        document = jsontext.parse(index.raw)
        document["manifests"] = [entry for place, entry in enumerate(document["manifests"]) if place in kept]
        raw = json.dumps(document, separators=(",", ":")).encode()
    except ValueError as error:
        raise ImageError(f"no index of some platforms can be made of {index.digest}: {error}") from None
    return Manifest.parse(raw, index.media_type)
