from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.model.ages import Ages
from dregsy.model.endpoint import Endpoint
from dregsy.model.ref import Ref
from dregsy.model.tags import TagSet
from dregsy.selection import Selected, Selector
from tests.testbed.copying import Workshop, rule
from tests.testbed.proxy import Fault, RecordingProxy

NOW = datetime(2024, 6, 30, tzinfo=UTC).timestamp()
DAY = 86400.0
DAYS = {"1.0": "2024-01-01", "1.1": "2024-05-01", "1.2": "2024-06-20", "1.3": "2024-06-29", "edge": "1970-01-01"}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """Registry clients."""
    async with Workshop(tmp_path) as workshop:
        yield workshop


@pytest.fixture
async def registry(embedded_pair: tuple[EmbeddedRegistry, EmbeddedRegistry]) -> EmbeddedRegistry:
    """A registry with images of known age."""
    for tag, day in DAYS.items():
        await images.seed(embedded_pair[0], "app", images.image(f"x/{tag}", created=f"{day}T00:00:00Z"), tag)
    return embedded_pair[0]


async def select(shop: Workshop, host: str, *tags: str, **more: Any) -> Selected:
    """Select tags, at the end of June 2024."""
    return await Selector(shop.registries, shop.journal, lambda: NOW).select(
        Endpoint(host), rule("app", tags=tags, where="f:3", **more), Ref(host, "app")
    )


@pytest.mark.parametrize(
    ("tags", "more", "expected"),
    [
        ([], {}, "1.0 1.1 1.2 1.3 edge"),
        ([], {"exclude": ["regex: 1\\.[01]", "edge"]}, "1.2 1.3"),
        ([], {"exclude": ["semver: >=1.1.0"]}, "1.0 edge"),
        (["keep: latest 1"], {"exclude": ["1.3"]}, "1.2 edge"),
        (["1.0", "1.1"], {"exclude": ["1.0"]}, "1.1"),
        ([], {"newer": 30}, "1.2 1.3"),
        ([], {"older": 7}, "1.0 1.1 1.2"),
        ([], {"newer": 100, "older": 7}, "1.1 1.2"),
        (["1.3", "1.0"], {"older": 7}, "1.0"),
        (["keep: latest 2"], {"older": 7}, "1.1 1.2"),
        (["keep: newest 2"], {}, "1.2 1.3"),
        (["keep: newest 5"], {}, "1.0 1.1 1.2 1.3 edge"),
        (["keep: newest 0"], {}, "1.0 1.1 1.2 1.3 edge"),
        (["keep: newest 1", "regex: 1\\.[01]"], {}, "1.1"),
        (["keep: newest 2"], {"older": 7}, "1.1 1.2"),
        (["keep: newest 1", "keep: latest 2"], {}, "1.3"),
    ],
)
async def test_filters(
    tags: list[str], more: dict[str, Any], expected: str, shop: Workshop, registry: EmbeddedRegistry
) -> None:
    """Each filter takes its part away: first the excluded, then the too new and too old, then what counts allow."""
    ages = Ages(*(more[key] * DAY if key in more else None for key in ("newer", "older")))
    exclude = TagSet.parse(more.get("exclude", []), key="exclude")

    found = await select(shop, registry.host, *tags, ages=ages, exclude=exclude)

    assert expected.split() == [str(pick) for pick in found.picks]


async def test_dates_are_read_once_per_digest(shop: Workshop, registry: EmbeddedRegistry) -> None:
    """However many tags point at an image, and however often it is looked at, its config is read once."""
    await images.seed(registry, "app", images.image("x/1.3", created="2024-06-29T00:00:00Z"), "1", "latest")
    selector = Selector(shop.registries, shop.journal, lambda: NOW)
    wanted = rule("app", tags=("keep: newest 1",), ages=Ages(older_than=DAY / 2))

    for _ in range(2):
        found = await selector.select(Endpoint(registry.host), wanted, Ref(registry.host, "app"))
        assert [str(pick) for pick in found.picks] == ["latest"]

    assert (registry.count("GET", "/manifests/"), registry.count("GET", "/blobs/")) == (5, 5)
    assert registry.count("HEAD", "/manifests/") == 2 * 7


async def test_no_date_is_needed(shop: Workshop, registry: EmbeddedRegistry) -> None:
    """Without a filter by date nothing but the listing is asked for."""
    await select(shop, registry.host, exclude=TagSet.parse(["1.0"], key="exclude"))

    assert registry.count("HEAD", "") == registry.count("GET", "/(manifests|blobs)/") == 0


async def test_without_a_date(shop: Workshop, registry: EmbeddedRegistry) -> None:
    """What has no date is left out where its age counts, and the warning names it."""
    found = await select(shop, registry.host, ages=Ages(newer_than=1e9))

    assert [str(pick) for pick in found.picks] == ["1.0", "1.1", "1.2", "1.3"]
    assert found.warnings == [f"f:3: not copied, since no date of theirs is known: edge of {registry.host}/app"]


async def test_the_digest_judged_is_told(shop: Workshop, registry: EmbeddedRegistry) -> None:
    """What was found old enough is what is to be copied, whatever the tag points at later; pinned digests stay."""
    pinned = images.image("x/1.3", created="2024-06-29T00:00:00Z").digest

    found = await select(shop, registry.host, "1.0", f"pin@{pinned}", ages=Ages(older_than=7 * DAY))

    assert [str(pick) for pick in found.picks] == ["1.0", f"pin@{pinned}"]
    old = images.image("x/1.0", created="2024-01-01T00:00:00Z").digest
    assert {found.picks[0]: old} == found.digests


async def test_missing_and_broken(shop: Workshop, registry: EmbeddedRegistry) -> None:
    """A tag that is not there is left for the comparison to tell; one that cannot be read fails alone."""
    broken = images.image("x/1.1", created="2024-05-01T00:00:00Z").top.config
    assert broken is not None
    with RecordingProxy(registry.host, Fault(path=f"/blobs/{broken.digest}", status=404, times=-1)) as proxy:
        found = await select(shop, proxy.host, "1.0", "1.1", "gone", ages=Ages(older_than=DAY))

    assert [str(pick) for pick in found.picks] == ["1.0", "gone"]
    assert [(str(pick), error.kind) for pick, error in found.failures.items()] == [("1.1", "not-found")]


async def test_nothing_left(shop: Workshop, registry: EmbeddedRegistry) -> None:
    """A filter that leaves nothing is told with its line."""
    none = await select(shop, registry.host, "regex: x")
    excluded = await select(shop, registry.host, "1.0", exclude=TagSet.parse(["1.0"], key="exclude"))

    where = f"tags of {registry.host}/app"
    assert none.warnings == [f"f:3: 'tags' selects none of the 5 {where}"]
    assert excluded.warnings == [
        f"f:3: 'exclude', 'newer-than' or 'older-than' leave none of the 1 {where} that 'tags' selects"
    ]
