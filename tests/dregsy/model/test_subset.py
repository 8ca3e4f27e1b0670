import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.embedded import images
from dregsy.embedded.images import Image
from dregsy.errors import ImageError
from dregsy.model.manifest import Manifest
from dregsy.model.platform import Platform
from dregsy.model.subset import offers, subset

NAMES = ["linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64", "windows/amd64"]


def make(*platforms: Platform, **options: bool) -> Image:
    """Make an index of these platforms."""
    return images.index(*(images.image(f"x/{one}", platform=one) for one in platforms), **options)


INDEX = make(*map(Platform.parse, NAMES), attested=True).top


def taken(index: Manifest, *platforms: str) -> list[str]:
    """The platforms of what is left of an index."""
    return [str(one.platform) for one in subset(index, [*map(Platform.parse, platforms)], name="x").children]


def test_children_and_their_attestations() -> None:
    """Only what was chosen stays, with the attestations of it, in the order of the index."""
    made = subset(INDEX, [Platform.parse("linux/arm64"), Platform.parse("linux/amd64")], name="x")
    expected = [INDEX.children[place] for place in (0, 3, 5, 8)]

    assert expected == list(made.children)
    assert (INDEX.media_type, True) == (made.media_type, made.is_index)


def test_one_platform_is_an_index() -> None:
    """An index of one image stays an index; the best fitting variant is taken."""
    assert taken(make(*map(Platform.parse, NAMES[:2])).top, "linux/arm/v7") == ["linux/arm/v6"]


def test_other_fields_stay() -> None:
    """What else the index says stays as it is, and in its place."""
    document: dict[str, Any] = {"annotations": {"ä": "\ud83d"}, **json.loads(INDEX.raw), "odd": [1.5, None]}
    index = Manifest.parse(json.dumps(document).encode())
    made = json.loads(subset(index, [Platform.parse("linux/amd64")], name="x").raw)

    assert list(document) == list(made)
    assert {**document, "manifests": [document["manifests"][0], document["manifests"][5]]} == made


def test_nothing_to_leave_out() -> None:
    """An index that has nothing else is not written anew: it keeps its bytes and its digest."""
    index = make(*map(Platform.parse, NAMES[:2])).top

    assert subset(index, [*map(Platform.parse, NAMES[:2])], name="x") is index


def test_all_versions_of_windows() -> None:
    """A platform without OS version takes the images of all versions; with one, only that."""
    versions = [Platform("windows", "amd64", "", one) for one in ("10.0.1", "10.0.2")]
    index = make(*versions, Platform("linux", "amd64")).top

    assert taken(index, "windows/amd64") == ["windows/amd64 (10.0.1)", "windows/amd64 (10.0.2)"]
    assert [versions[1]] == [one.platform for one in subset(index, versions[1:], name="x").children]


def test_missing_platform() -> None:
    """A platform that the index lacks is an error, which says what there is; attestations are nothing."""
    with pytest.raises(ImageError) as caught:
        taken(INDEX, "linux/amd64", "linux/riscv64")

    assert ("x has no image for linux/riscv64", f"it has: {', '.join(NAMES)}") == (
        caught.value.message,
        caught.value.hint,
    )
    assert offers(images.index().top) == "none that is named"


@given(st.sets(st.sampled_from(NAMES), min_size=1))
def test_always_the_same(wanted: set[str]) -> None:
    """The same platforms in any order give the same bytes, which are a valid index of just these."""
    forth, back = (
        subset(INDEX, [Platform.parse(one) for one in sorted(wanted, reverse=way)], name="x") for way in (False, True)
    )

    assert forth == back
    assert forth.raw == back.raw
    assert forth.digest.matches(forth.raw)
    found = {str(one.platform) for one in forth.children if not one.is_attestation}
    assert {str(Platform.parse(one)) for one in wanted} == {str(Platform.parse(one)) for one in found}
