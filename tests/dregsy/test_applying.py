import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dregsy.applying import Applying, Job, jobs
from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import Outdated
from dregsy.executor import LocalExecutor
from dregsy.journal import Journal
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Once, Plan, Rule, Task
from dregsy.model.platform import Platform
from dregsy.model.proposal import Mount, PlannedCopy, PlannedTarget, PlannedTask, Proposal
from dregsy.model.ref import Ref
from dregsy.model.report import Moved, Reason, Report
from dregsy.model.tagnames import TagNames
from dregsy.model.tags import TagSet
from dregsy.orchestrator import Orchestrator
from dregsy.planning import Planning
from dregsy.survey import Surveyor
from tests.testbed.copying import NATIVE, Workshop, rule, task
from tests.testbed.proxy import Fault, RecordingProxy

Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]
ARM = Platform.parse("linux/arm64")
ONE, TWO = images.image("x/1"), images.image("x/2", platform=ARM)
INDEX = images.index(ONE, TWO)
A, B = Digest.of(b"a"), Digest.of(b"b")


def planned(source: str, *targets: str, by_digest: bool = False, digest: Digest = A) -> PlannedCopy:
    """A copy of the image ``A``."""
    places = tuple(
        PlannedTarget(Ref.parse(name), to, Reason.MISSING, None, Moved(digest)) for to, name in enumerate(targets)
    )
    return PlannedCopy(replace(Ref.parse(source), digest=digest), A, by_digest, places)


def meant(work: Task, *copies: PlannedCopy, mounts: tuple[Mount, ...] = ()) -> tuple[Job, ...]:
    """What a plan comes to by a config with one task."""
    return jobs(Proposal("native", (PlannedTask(work.name, 0, copies),), mounts=mounts), Plan((work,), NATIVE))


NAMED = rule(
    "app", "m/app", names=TagNames.parse("", "x-", ""), where="f:7", exclude=TagSet.parse(["bad"], key="exclude")
)
FRONT = Task("test", Once(), Endpoint("a.example", "in"), (Endpoint("b.example", "out"),), (rule("regex:.*", "all"),))


@pytest.mark.parametrize(
    ("work", "copy"),
    [
        (task("a.example", ("b.example",), rule("app")), planned("a.example/app:v1", "b.example/app:v1")),
        (task("a.example", ("b.example",), NAMED), planned("a.example/app:v1", "b.example/m/app:x-v1")),
        (FRONT, planned("a.example/in/deep/app:v1", "b.example/out/all/deep/app:v1")),
        (
            task("docker.io", ("b.example",), rule("busybox")),
            planned("docker.io/library/busybox:1", "b.example/busybox:1"),
        ),
        (
            task("docker.io", ("b.example",), rule("regex:.*")),
            planned("docker.io/library/a:1", "b.example/library/a:1"),
        ),
        (
            task("a.example", ("b.example",), rule("app", tags=(f"v1@{A}",))),
            planned("a.example/app:v1", "b.example/app:v1", by_digest=True),
        ),
        (
            task("a.example", ("b.example",), rule("app", tags=(str(A),))),
            planned("a.example/app", f"b.example/app@{A}", by_digest=True),
        ),
    ],
)
def test_what_a_mapping_means(work: Task, copy: PlannedCopy) -> None:
    """A planned copy is found again in the mapping that it came from, with all that this says of it."""
    (job,) = meant(work, copy)

    assert (job.copy.where, job.copy.source.digest, job.copy.by_digest) == (work.rules[0].where, A, copy.by_digest)
    assert job.copy.targets == tuple(target.ref for target in copy.targets)


@pytest.mark.parametrize(
    ("work", "copy"),
    [
        (task("a.example", ("b.example",), rule("app")), planned("a.example/app:v1", "b.example/other:v1")),
        (task("a.example", ("b.example",), rule("app")), planned("a.example/app:v1", "b.example/app:v2")),
        (task("a.example", ("b.example",), rule("app")), planned("a.example/other:v1", "b.example/other:v1")),
        (task("a.example", ("b.example",), rule("app")), planned("evil.example/app:v1", "b.example/app:v1")),
        (task("a.example", ("b.example",), rule("app")), planned("a.example/app:v1", "evil.example/app:v1")),
        (task("a.example", ("b.example",), rule("app")), planned("a.example/app:v1", *["b.example/app:v1"] * 2)),
        (task("a.example", ("b.example",), rule("app")), planned("a.example/app:v1", f"b.example/app@{A}")),
        (task("a.example", ("b.example",), rule("app", tags=("v1",))), planned("a.example/app:v2", "b.example/app:v2")),
        (task("a.example", ("b.example",), NAMED), planned("a.example/app:bad", "b.example/m/app:x-bad")),
        (
            task("a.example", ("b.example",), rule("app")),
            planned("a.example/app", f"b.example/app@{A}", by_digest=True),
        ),
        (
            task("a.example", ("b.example",), rule("app", tags=(f"v1@{B}",))),
            planned("a.example/app:v1", "b.example/app:v1", by_digest=True),
        ),
        (
            task("a.example", ("b.example",), rule("app", names=TagNames.parse("", "-", ""))),
            planned("a.example/app:v1", "b.example/app:v1"),
        ),
        (FRONT, planned("a.example/other/app:v1", "b.example/out/all/app:v1")),
        (FRONT, planned("a.example/in/app:v1", "b.example/all/app:v1")),
    ],
)
def test_what_no_mapping_means(work: Task, copy: PlannedCopy) -> None:
    """A copy that the config would not make is refused by name."""
    with pytest.raises(Outdated, match="no mapping of task 'test' means") as refused:
        meant(work, copy)
    assert (refused.value.kind, refused.value.hint) == ("outdated", "make a new plan")


def test_what_no_plan_holds() -> None:
    """Tasks that are not there, tags that are written twice, and registries that are no targets are refused."""
    work = task("a.example", ("b.example",), rule("app"))
    copy = planned("a.example/app:v1", "b.example/app:v1")
    proposal, plan = Proposal("native", (PlannedTask("test", 0, (copy,)),)), Plan((work,), NATIVE)

    for other in (PlannedTask("other", 0, (copy,)), PlannedTask("test", 1, (copy,))):
        with pytest.raises(Outdated, match="has no task"):
            jobs(replace(proposal, tasks=(other,)), plan)
    with pytest.raises(Outdated, match=r"writes b\.example/app:v1"):
        meant(work, copy, replace(copy, source=copy.source.with_tag("v1", B)))
    with pytest.raises(Outdated, match=r"writes b\.example/app:v1"):
        meant(work, copy, copy)
    with pytest.raises(Outdated, match=r"a blob of evil\.example"):
        meant(work, copy, mounts=(Mount("evil.example", "a", A),))


def test_what_is_left_alone() -> None:
    """A tag that never changes may be made, and is not replaced, unless another mapping says so."""
    kept = rule("app", where="f:7", immutable=TagSet.parse(["regex: v.*"], key="skip-existing"))
    copy = planned("a.example/app:v1", "b.example/app:v1")
    other = replace(copy, targets=(replace(copy.targets[0], before=B),))

    assert len(meant(task("a.example", ("b.example",), kept), copy)) == 1
    assert len(meant(task("a.example", ("b.example",), kept, rule("app")), other)) == 1
    with pytest.raises(Outdated, match=r"'skip-existing' at f:7 leaves alone what is there"):
        meant(task("a.example", ("b.example",), kept), other)


class Appliance:
    """Plans what goes from one registry to another, and does it later."""

    def __init__(self, shop: Workshop, pair: Pair) -> None:
        self.shop = shop
        self.source, self.target = pair

    async def plan(self, *rules: Rule) -> Callable[..., Any]:
        """Plan one task; return what applies it."""
        work = task(self.source.host, (self.target.host,), *rules)
        plan, registries = Plan((work,), NATIVE), self.shop.registries
        planning = Planning(plan, self.shop.resolver, registries, Surveyor(registries, self.shop.journal))
        await planning.look(work, self.shop.events.append)
        proposal = planning.proposal()

        async def apply(between: Callable[[], Any] = lambda: None, **changes: Any) -> tuple[Applying, list[Report]]:
            changed = replace(proposal, **changes)
            found = jobs(changed, plan)
            journal = self.shop.journal
            finder = Applying(found, changed.mounts, self.shop.resolver, registries, journal)
            await finder.check(2, 10)
            between()
            stop, abort, emit = self.shop.stop, self.shop.abort, self.shop.events.append
            run = Orchestrator(plan, finder, LocalExecutor(self.shop.relay), emit, stop, abort)
            return finder, [await run.run(task) for task in finder.tasks]

        return apply


@pytest.fixture
async def appliance(tmp_path: Path, embedded_pair: Pair) -> AsyncIterator[Appliance]:
    """An index and an image, and what brings them by a plan; with a journal that believes."""
    await images.seed(embedded_pair[0], "app", INDEX, "v1")
    await images.seed(embedded_pair[0], "app", ONE, "v2")
    async with Workshop(tmp_path, journal=Journal(tmp_path / "journal", 3600.0)) as shop:
        yield Appliance(shop, embedded_pair)


def ends(reports: list[Report]) -> list[tuple[str | None, str, str]]:
    """How it ended for each tag, and the kind of its failure."""
    outcomes = [one for report in reports for one in report.outcomes]
    found = [(one.copy.source.tag, str(one.status), one.failure.kind if one.failure else "") for one in outcomes]
    return sorted(found, key=str)


async def test_it_is_done(appliance: Appliance) -> None:
    """Copies that are still as they were planned are made, of whatever kind they are."""
    apply = await appliance.plan(
        rule("app"),
        rule("app", "arm", platform="linux/arm64", tags=("v1",)),
        rule("app", "some", subset=(ARM,), tags=("v1",)),
    )

    _, reports = await apply()

    assert [end[1] for end in ends(reports)] == ["copied"] * 4
    assert appliance.target.store.find("app").tags == {"v1": INDEX.digest, "v2": ONE.digest}
    assert appliance.target.store.find("arm").tags == {"v1": TWO.digest}
    again = ends((await apply())[1])
    assert [end[1] for end in again] == ["current"] * 4


async def test_one_moved_source_stops_all(appliance: Appliance) -> None:
    """One image that moved is a failure of its own kind; the others are not begun, and are not told."""
    apply = await appliance.plan(rule("app"))
    await images.seed(appliance.source, "app", TWO, "v2")

    finder, reports = await apply()

    assert ends(reports) == [("v2", "failed", "outdated")]
    assert (len(finder.refused), appliance.target.store.find("app").tags) == (1, {})


async def test_what_cannot_be_looked_at_stops_all(appliance: Appliance) -> None:
    """So does one that cannot be looked at."""
    with RecordingProxy(appliance.source.host) as source:
        direct = appliance.source
        appliance.source = source  # type: ignore[assignment]  # has a host, too
        apply = await appliance.plan(rule("app"))
        source.faults.append(Fault(path="/manifests/v2", status=403, times=99))

        _, reports = await apply()

        assert [end[:2] for end in ends(reports)] == [("v2", "failed")]
        assert appliance.target.store.find("app").tags == {}
        assert direct.count("HEAD", "/manifests/v1") > 0


async def test_another_digest_than_the_config_means(appliance: Appliance) -> None:
    """A digest that is not what the mapping takes of the image is refused, though the tag has not moved."""
    apply = await appliance.plan(rule("app", platform="linux/arm64", tags=("v1",)))
    copy = planned(f"{appliance.source.host}/app:v1", f"{appliance.target.host}/app:v1", digest=ONE.digest)
    tasks = (PlannedTask("test", 0, (replace(copy, origin=INDEX.digest),)),)

    _, reports = await apply(tasks=tasks)

    assert ends(reports) == [("v1", "failed", "outdated")]


async def test_a_target_that_moves_at_the_last_moment(appliance: Appliance) -> None:
    """What somebody writes between the look at all and the copy is left alone; the others are copied."""
    apply = await appliance.plan(rule("app"))
    seeded = images.image("other")

    def between() -> None:
        store = appliance.target.store.open("app")
        store.blobs.update(seeded.blobs)
        store.put_manifest("v2", seeded.top.raw, seeded.top.media_type)

    _, reports = await apply(between)

    assert ends(reports) == [("v1", "copied", ""), ("v2", "failed", "outdated")]
    assert appliance.target.store.find("app").tags == {"v1": INDEX.digest, "v2": seeded.digest}


async def test_a_target_that_lost_its_tag(appliance: Appliance) -> None:
    """A tag that was deleted since counts as moved as well."""
    await images.seed(appliance.target, "app", TWO, "v2")
    apply = await appliance.plan(rule("app"))
    appliance.target.store.find("app").delete_manifest("v2")

    assert ends((await apply())[1]) == [("v2", "failed", "outdated")]


async def test_mounts_are_looked_at(appliance: Appliance) -> None:
    """Places to mount from are believed where the registry says so, and only then."""
    blob, other = ONE.top.blobs[0].digest, ONE.top.blobs[1].digest
    await images.seed(appliance.target, "old", ONE)
    apply = await appliance.plan(rule("app", tags=("v2",)))
    host = appliance.target.host

    await apply(mounts=(Mount(host, "old", blob), Mount(host, "nowhere", other)))

    assert appliance.target.count("POST", f"mount={blob}&from=old") == 1
    assert appliance.target.count("POST", "from=nowhere") == 0
    assert appliance.target.store.find("app").tags == {"v2": ONE.digest}


class World:
    """Registries with images that share this and that, all by chance: two sources and two targets."""

    def __init__(self, seed: int, registries: list[EmbeddedRegistry]) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - nothing is kept secret by it
        self.registries = registries
        self.pool = [
            images.image(f"{self.chance.randrange(3)}/{number}", layers=self.chance.randrange(4), platform=platform)
            for number, platform in enumerate([images.AMD64, ARM] * 3)
        ]
        self.pool += [images.index(*self.chance.sample(self.pool[:6], 2), attested=True) for _ in range(4)]

    async def fill(self) -> None:
        """Put images, and parts of images, into repositories."""
        for registry in self.registries:
            for name in ("a", "b", "m/a", "other"):
                for number in range(self.chance.randrange(4)):
                    await images.seed(registry, name, self.chance.choice(self.pool), f"v{number}")
                blobs = self.chance.choice(self.pool).blobs
                registry.store.open(name).blobs.update(list(blobs.items())[: self.chance.randrange(3)])

    def tasks(self) -> tuple[Task, ...]:
        """What is to go from where to where: from one of the targets to the other as well."""
        first, second, target, other = (Endpoint(registry.host) for registry in self.registries)
        every = rule("regex:[a-z]+", "m")
        return (
            Task("1", Once(), first, (target,), (every,)),
            Task("2", Once(), second, (target, other), (rule("a", "x", where="f:2"), rule("b", "y", where="f:3"))),
            Task("3", Once(), target, (target, other), (rule("other", "z", where="f:4"),)),
        )


@pytest.mark.parametrize("seed", range(6))
async def test_any_world(seed: int, tmp_path: Path) -> None:
    """Whatever is where: as many bytes are written as were planned, with no more requests and pulls."""
    async with AsyncExitStack() as stack:
        registries = [await stack.enter_async_context(EmbeddedRegistry()) for _ in range(4)]
        world = World(seed, registries)
        await world.fill()
        plan = Plan(world.tasks(), NATIVE)
        async with Workshop(tmp_path / "before") as shop:
            planning = Planning(plan, shop.resolver, shop.registries, Surveyor(shop.registries, shop.journal))
            for work in plan.tasks:
                await planning.look(work, shop.events.append)
            proposal = planning.proposal()
        for registry in registries:
            registry.log.clear()

        async with Workshop(tmp_path / "after") as shop:
            finder = Applying(jobs(proposal, plan), proposal.mounts, shop.resolver, shop.registries, shop.journal)
            await finder.check(4, 30)
            run = Orchestrator(plan, finder, LocalExecutor(shop.relay), shop.events.append, shop.stop, shop.abort)
            reports = [await run.run(work) for work in finder.tasks]

        assert [failure for report in reports for failure in report.failures] == []
        promised = {one.host: one for one in proposal.traffic}
        for registry in registries:
            if (one := promised.get(registry.host)) is None:
                assert registry.requests == []
                continue
            sent = sum(seen.bytes_in for seen in registry.requests if seen.method == "PUT" and "/blobs/" in seen.path)
            assert sent == one.bytes_written
            assert len(registry.requests) <= one.requests
            assert registry.count("GET", "/manifests/") <= one.pulls


async def test_who_has_the_first_right(appliance: Appliance) -> None:
    """Where two mappings mean different images for one tag, a plan that has the second one's image gets nowhere."""
    await images.seed(appliance.source, "evil", TWO, "v2", "v3")
    apply = await appliance.plan(rule("app", "x"), rule("evil", "x"))
    host, there = appliance.source.host, appliance.target.host
    copy = planned(f"{host}/evil:v2", f"{there}/x:v2", digest=TWO.digest)

    _, reports = await apply(tasks=(PlannedTask("test", 0, (replace(copy, origin=TWO.digest),)),))
    before = appliance.target.store.find("x").tags
    _, planned_reports = await apply()

    assert (ends(reports), before) == ([("v2", "failed", "tag-taken")], {})
    assert {end[1] for end in ends(planned_reports)} == {"copied"}
    assert appliance.target.store.find("x").tags == {"v1": INDEX.digest, "v2": ONE.digest, "v3": TWO.digest}


async def test_mappings_that_mean_the_same(appliance: Appliance) -> None:
    """An image that two mappings bring to one tag is planned once, and copied."""
    apply = await appliance.plan(rule("app"), rule("app", tags=("v1",)))

    _, reports = await apply()

    assert ends(reports) == [("v1", "copied", ""), ("v2", "copied", "")]
