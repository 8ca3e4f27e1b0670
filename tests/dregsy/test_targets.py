import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.journal import NAME, Journal
from dregsy.model.endpoint import Endpoint
from dregsy.model.ref import Ref
from dregsy.model.report import Failure, Reason
from dregsy.registry.inventory import Inventories
from dregsy.targets import TESTED, Targets
from tests.testbed.copying import Workshop

IMAGE, OTHER = images.image("x"), images.image("y")
TAGS = [f"v{number:03}" for number in range(100)]
TEST = int(1 + len(TAGS) * TESTED)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """Registry clients, and a journal in a file."""
    async with Workshop(tmp_path, journal=Journal(tmp_path / NAME, 3600.0)) as workshop:
        yield workshop


@pytest.fixture
def targets(shop: Workshop) -> Targets:
    """What compares."""
    return Targets(shop.registries, Inventories(shop.registries), shop.journal)


@pytest.fixture
async def registry(embedded_pair: tuple[EmbeddedRegistry, EmbeddedRegistry]) -> EmbeddedRegistry:
    """A target that has all tags."""
    for repository in ("app", "lib"):
        await images.seed(embedded_pair[1], repository, IMAGE, *TAGS)
    embedded_pair[1].log.clear()
    return embedded_pair[1]


async def compare(
    targets: Targets, registry: EmbeddedRegistry, tags: Sequence[str] = TAGS, repository: str = "app"
) -> tuple[list[Reason | Failure], int]:
    """Compare tags in a run of their own; return what came out, and how many requests it took."""
    registry.log.clear()
    endpoint = Endpoint(registry.host)
    targets.start()
    targets.expect(endpoint, repository, tags)
    refs = [Ref.parse(f"{registry.host}/{repository}:{tag}") for tag in tags]
    found = [await targets.compare(endpoint, ref, IMAGE.digest) for ref in refs]
    return found, registry.count("HEAD", "/manifests/")


async def test_seen_before(targets: Targets, registry: EmbeddedRegistry) -> None:
    """What was seen is believed in later runs, but for a part that is looked up again, another one each time."""
    current = [Reason.CURRENT] * len(TAGS)
    assert (current, len(TAGS)) == await compare(targets, registry)
    looked_up = set()
    for _ in range(int(1 / TESTED)):
        assert (current, TEST) == await compare(targets, registry)
        looked_up |= {one.path for one in registry.requests}
    assert len(looked_up - {"/v2/"}) == len(TAGS)


async def test_only_what_is_expected(targets: Targets, registry: EmbeddedRegistry) -> None:
    """Tags that nobody expected are looked up, and a run that expects nothing believes nothing."""
    await compare(targets, registry)
    assert (await compare(targets, registry, TAGS[:10]))[1] == 1
    ref = Ref.parse(f"{registry.host}/app:{TAGS[20]}")
    assert await targets.compare(Endpoint(registry.host), ref, IMAGE.digest) is Reason.CURRENT
    assert registry.count("HEAD", f"/{TAGS[20]}") == 1


async def test_many_small_repositories(targets: Targets, registry: EmbeddedRegistry) -> None:
    """The part that is looked up is counted over all repositories of a registry."""
    endpoint, names = Endpoint(registry.host), [f"small/{number}" for number in range(40)]
    for name in names:
        await images.seed(registry, name, IMAGE, "v1", "v2")
    for _ in range(2):
        targets.start()
        registry.log.clear()
        for name in names:
            targets.expect(endpoint, name, ["v1", "v2"])
            for tag in ("v1", "v2"):
                assert await targets.compare(endpoint, Ref(registry.host, name, tag), IMAGE.digest) is Reason.CURRENT
    assert registry.count("HEAD", "") == 1 + int(80 * TESTED)


async def test_another_image_is_wanted(targets: Targets, registry: EmbeddedRegistry) -> None:
    """What is believed of a tag says only whether it is up to date: for anything else the registry is asked."""
    await images.seed(registry, "app", OTHER, TAGS[7])
    found, _ = await compare(targets, registry)
    assert found[7] is Reason.CHANGED
    assert (await compare(targets, registry))[0][7] is Reason.CHANGED
    registry.store.find("app").tags[TAGS[7]] = IMAGE.digest
    assert (await compare(targets, registry))[0][7] is Reason.CURRENT


@pytest.mark.parametrize("other", [True, False])
async def test_all_is_wrong(other: bool, targets: Targets, registry: EmbeddedRegistry) -> None:
    """A target that lost its images, or has others now, is seen through at once, and looked at tag by tag."""
    await compare(targets, registry)
    await compare(targets, registry, repository="lib")
    for name in ("app", "lib"):
        tags = registry.store.find(name).tags
        if other:
            await images.seed(registry, name, OTHER, *TAGS)
        else:
            tags.clear()
    wrong = Reason.CHANGED if other else Reason.MISSING
    assert ([wrong] * len(TAGS), len(TAGS) + 1) == await compare(targets, registry)
    found, requests = await compare(targets, registry, repository="lib")
    assert (found, requests - other) == ([wrong] * len(TAGS), len(TAGS))


async def test_all_is_wrong_at_once(targets: Targets, registry: EmbeddedRegistry) -> None:
    """Repositories that are asked for at the same time wait for the first lookup before anything is believed."""
    endpoint, names = Endpoint(registry.host), [f"small/{number}" for number in range(20)]
    for name in names:
        await images.seed(registry, name, IMAGE, "v1")
    for expected in (Reason.CURRENT, Reason.MISSING):
        targets.start()
        for name in names:
            targets.expect(endpoint, name, ["v1"])
        refs = [Ref(registry.host, name, "v1") for name in names]
        found = await asyncio.gather(*(targets.compare(endpoint, ref, IMAGE.digest) for ref in refs))
        assert [expected] * 20 == found
        for name in names:
            registry.store.find(name).tags.clear()


async def test_one_is_wrong(targets: Targets, registry: EmbeddedRegistry) -> None:
    """A single tag that is gone is found out when its turn comes, in one of the next forty runs."""
    await compare(targets, registry)
    del registry.store.find("app").tags[TAGS[50]]
    for _ in range(int(1 / TESTED)):
        found, _ = await compare(targets, registry)
        if found[50] is Reason.MISSING:
            break
    assert (found[49], found[50]) == (Reason.CURRENT, Reason.MISSING)


async def test_a_target_that_is_down(targets: Targets) -> None:
    """A target that cannot be reached fails, although all was known of it."""
    async with EmbeddedRegistry() as registry:
        await images.seed(registry, "app", IMAGE, *TAGS)
        await compare(targets, registry)
    found, _ = await compare(targets, registry, TAGS[:3])
    assert [Failure] * 3 == [type(one) for one in found]


async def test_digests(targets: Targets, registry: EmbeddedRegistry) -> None:
    """A target without a tag is looked up under its digest, and believed to be there, too."""
    endpoint, ref = Endpoint(registry.host), Ref(registry.host, "app", None, IMAGE.digest)
    for _ in range(2):
        targets.start()
        targets.expect(endpoint, "app", [*TAGS, ref.reference])
        for tag in TAGS:
            await targets.compare(endpoint, Ref(registry.host, "app", tag), IMAGE.digest)
        assert await targets.compare(endpoint, ref, IMAGE.digest) is Reason.CURRENT
    assert registry.count("HEAD", str(IMAGE.digest)) == 1


async def test_without_belief(tmp_path: Path, registry: EmbeddedRegistry) -> None:
    """With a ttl of nothing, and without a file, each tag is looked up in each run."""
    for name, journal in (("zero", Journal(tmp_path / NAME, 0.0)), ("memory", Journal())):
        async with Workshop(tmp_path / name, journal=journal) as shop:
            targets = Targets(shop.registries, Inventories(shop.registries), journal)
            for _ in range(2):
                assert ([Reason.CURRENT] * len(TAGS), len(TAGS)) == await compare(targets, registry)
