from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.model.ages import Ages
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Rule
from dregsy.model.ref import Ref
from dregsy.model.tags import TagSet
from dregsy.selection import Selected, Selector
from tests.testbed.copying import Workshop, rule
from tests.testbed.proxy import Fault, RecordingProxy
from tests.testbed.vendors.harbor import Harbor

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
    """A tag that is not there, or that cannot be read, fails alone: nothing passes of which no date is known."""
    broken = images.image("x/1.1", created="2024-05-01T00:00:00Z").top.config
    assert broken is not None
    with RecordingProxy(registry.host, Fault(path=f"/blobs/{broken.digest}", status=404, times=-1)) as proxy:
        found = await select(shop, proxy.host, "1.0", "1.1", "gone", ages=Ages(older_than=DAY))

    assert [str(pick) for pick in found.picks] == ["1.0"]
    assert {str(pick): error.kind for pick, error in found.failures.items()} == {
        "1.1": "not-found",
        "gone": "not-found",
    }


async def test_nothing_left(shop: Workshop, registry: EmbeddedRegistry) -> None:
    """A filter that leaves nothing is told with its line."""
    none = await select(shop, registry.host, "regex: x")
    excluded = await select(shop, registry.host, "1.0", exclude=TagSet.parse(["1.0"], key="exclude"))

    where = f"tags of {registry.host}/app"
    assert none.warnings == [f"f:3: 'tags' selects none of the 5 {where}"]
    assert excluded.warnings == [
        f"f:3: 'exclude', 'newer-than' or 'older-than' leave none of the 1 {where} that 'tags' selects"
    ]


# Where the registry's maker tells when a tag was pushed, that counts.

PUSHED = {"1.0": 90, "1.1": 60, "1.2": 10, "1.3": 1}
"""Days before NOW; the images themselves say that they are as old as DAYS has it, or much older."""


@pytest.fixture
async def harbor() -> AsyncIterator[Harbor]:
    """A Harbor with fresh tags of images that say that they are old."""
    async with Harbor() as server:
        for tag, days in PUSHED.items():
            await images.seed(server, "team/app", images.image(f"x/{tag}", created="2020-01-01T00:00:00Z"), tag)
            server.pushed[tag] = datetime.fromtimestamp(NOW, UTC) - timedelta(days=days)
        yield server


async def select_of(shop: Workshop, server: Harbor, *tags: str, **more: Any) -> Selected:
    """Select tags of its one repository."""
    wanted: Rule = rule("team/app", tags=tags, where="f:3", **more)
    return await Selector(shop.registries, shop.journal, lambda: NOW).select(
        Endpoint(server.host), wanted, Ref(server.host, "team/app")
    )


def requests(server: Harbor) -> list[str]:
    """Tell what was asked of its images and of its own list."""
    return [
        one.method for one in server.log if "/manifests/" in one.path or "/blobs/" in one.path or "/api/" in one.path
    ]


@pytest.mark.parametrize(
    ("tags", "ages", "expected"),
    [
        ([], Ages(older_than=7 * DAY), "1.0 1.1 1.2"),
        ([], Ages(newer_than=30 * DAY), "1.2 1.3"),
        (["keep: newest 2"], Ages(), "1.2 1.3"),
        (["keep: newest 1"], Ages(older_than=7 * DAY), "1.2"),
        (["keep: latest 1"], Ages(older_than=7 * DAY), "1.2"),
        (["1.0", "1.3"], Ages(older_than=7 * DAY), "1.0"),
    ],
)
async def test_pushes(tags: list[str], ages: Ages, expected: str, shop: Workshop, harbor: Harbor) -> None:
    """The age is that of the tag, not of the image; it costs one list, and a question for each tag that is taken."""
    found = await select_of(shop, harbor, *tags, ages=ages)

    assert expected.split() == [str(pick) for pick in found.picks]
    assert ["GET", *["HEAD"] * len(found.picks)] == requests(harbor)
    assert set(found.picks) == found.digests.keys()
    assert found.warnings == []


@pytest.mark.parametrize("listed", [str(images.image("elsewhere").digest), None])
async def test_a_tag_that_was_just_moved(listed: str | None, shop: Workshop, harbor: Harbor) -> None:
    """What the list does not know yet is new, whatever the image says: it is not let out, and gives its place away."""
    harbor.claims["team/app"] = {"1.2": listed}

    old = await select_of(shop, harbor, "keep: latest 1", ages=Ages(older_than=7 * DAY))
    new = await select_of(shop, harbor, "keep: newest 1", "regex: 1\\.[012]")

    assert [str(pick) for pick in old.picks] == ["1.1"]
    assert [str(pick) for pick in new.picks] == ["1.2"]
    text = "counted as new, since the registry's own list does not know yet what they point at"
    assert [f"f:3: {text}: 1.2 of {harbor.host}/team/app"] == old.warnings == new.warnings


async def test_a_tag_that_is_gone(shop: Workshop, harbor: Harbor) -> None:
    """A tag that the list or the mapping names, but that is not there, fails."""
    del harbor.store.find("team/app").tags["1.0"]
    harbor.claims["team/app"] = {"1.0": str(images.image("x").digest)}

    found = await select_of(shop, harbor, "1.0", "1.1", "0.9", ages=Ages(older_than=7 * DAY))

    assert [str(pick) for pick in found.picks] == [str(pick) for pick in found.digests] == ["1.1"]
    assert {str(pick): str(error).partition(" —")[0] for pick, error in found.failures.items()} == {
        tag: f"there is no image {harbor.host}/team/app:{tag}" for tag in ("0.9", "1.0")
    }


async def test_a_list_without_some_dates(shop: Workshop, harbor: Harbor) -> None:
    """A tag without a date in the list has that of its image."""
    harbor.pushed["1.3"] = datetime(1970, 1, 1, tzinfo=UTC)

    found = await select_of(shop, harbor, ages=Ages(older_than=365 * DAY))

    assert [str(pick) for pick in found.picks] == ["1.3"]


async def test_a_tag_that_cannot_be_confirmed(shop: Workshop, harbor: Harbor) -> None:
    """A tag of which the registry itself does not say what it points at fails, and no other has its place."""
    with RecordingProxy(harbor.host, Fault(path="/manifests/1.3", status=403, times=-1)) as proxy:
        endpoint, wanted = Endpoint(proxy.host), rule("team/app", tags=("keep: newest 1",))
        found = await Selector(shop.registries, shop.journal, lambda: NOW).select(
            endpoint, wanted, Ref(proxy.host, "team/app")
        )

    assert found.picks == ()
    assert [(str(pick), error.kind) for pick, error in found.failures.items()] == [("1.3", "unauthorized")]


# The naive twin of all filters together, on the same registry.


def naive(tags: list[str], exclude: list[str], older: int | None, newer: int | None, counts: list[str]) -> list[str]:
    """Take one filter after the other; ``counts`` are latest and newest with their numbers."""
    left = sorted({tag for tag in (tags or PUSHED) if tag not in exclude})
    left = [tag for tag in left if older is None or PUSHED[tag] > older]
    left = [tag for tag in left if newer is None or PUSHED[tag] < newer]
    for text in counts:
        left = left[-int(text.split()[1]) :]  # here versions, names and dates have one order
    return left


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tags=st.lists(st.sampled_from(list(PUSHED)), max_size=3),
    exclude=st.lists(st.sampled_from(list(PUSHED)), max_size=2),
    older=st.none() | st.sampled_from([0, 5, 30, 75, 100]),
    newer=st.none() | st.sampled_from([0, 5, 30, 75, 100]),
    latest=st.none() | st.integers(1, 3),
    newest=st.none() | st.integers(1, 3),
)
async def test_all_filters_agree_with_a_naive_reading(
    shop: Workshop,
    harbor: Harbor,
    tags: list[str],
    exclude: list[str],
    older: int | None,
    newer: int | None,
    latest: int | None,
    newest: int | None,
) -> None:
    """Excluded first, then too new and too old, then what the counts allow."""
    counts = [f"{word} {count}" for word, count in (("latest", latest), ("newest", newest)) if count]
    ages = Ages(*(None if days is None else days * DAY for days in (newer, older)))

    found = await select_of(
        shop,
        harbor,
        *tags,
        *(f"keep: {text}" for text in counts),
        ages=ages,
        exclude=TagSet.parse(exclude, key="exclude"),
    )

    assert naive(tags, exclude, older, newer, counts) == [str(pick) for pick in found.picks]
