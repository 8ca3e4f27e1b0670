from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.model.plan import Plan, Rule, Task
from dregsy.model.platform import Platform
from dregsy.model.proposal import Proposal
from dregsy.model.report import Reason, Warned
from dregsy.model.tags import TagSet
from dregsy.planning import Planning
from dregsy.survey import Surveyor
from tests.testbed.copying import NATIVE, Workshop, rule, task
from tests.testbed.proxy import Fault, Gate, RecordingProxy

Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]
ARM = Platform.parse("linux/arm64")
ONE, TWO = images.image("x/1"), images.image("x/2", platform=ARM)
INDEX = images.index(ONE, TWO)


class Proposals:
    """Plans what is to go from one registry to another."""

    def __init__(self, shop: Workshop, pair: Pair) -> None:
        self.shop = shop
        self.source, self.target = pair
        self.warnings: list[str] = []

    async def of(self, *rules: Rule, targets: tuple[str, ...] = ()) -> Proposal:
        """Plan one task."""
        return await self.all(task(self.source.host, targets or (self.target.host,), *rules))

    async def all(self, *tasks: Task, timeout: float = 30) -> Proposal:
        """Plan some tasks."""
        registries = self.shop.registries
        surveyor = Surveyor(registries, self.shop.journal)
        plan = Plan(tasks, NATIVE, parallel=2, timeout=timeout)
        planning = Planning(plan, self.shop.resolver, registries, surveyor)

        def warn(warning: Warned) -> None:
            self.warnings.append(warning.message)

        for one in tasks:
            await planning.look(one, warn)
        return planning.proposal()


@pytest.fixture
async def plans(tmp_path: Path, embedded_pair: Pair) -> AsyncIterator[Proposals]:
    """An index under two tags, and something to plan with."""
    await images.seed(embedded_pair[0], "app", INDEX, "v1", "v2")
    async with Workshop(tmp_path) as shop:
        yield Proposals(shop, embedded_pair)


async def test_missing_changed_current(plans: Proposals) -> None:
    """What a target lacks is planned with its digest and what the target has instead; what it has is counted."""
    await images.seed(plans.source, "app", ONE, "v3")
    await images.seed(plans.target, "app", TWO, "v1")
    await images.seed(plans.target, "app", ONE, "v3")

    found = await plans.of(rule("app"))

    assert [(copy.source.tag, copy.source.digest, copy.origin) for copy in found.copies] == [
        ("v1", INDEX.digest, INDEX.digest),
        ("v2", INDEX.digest, INDEX.digest),
    ]
    assert [(one.reason, one.before) for copy in found.copies for one in copy.targets] == [
        (Reason.CHANGED, TWO.digest),
        (Reason.MISSING, None),
    ]
    assert (found.current, found.failures, found.relay) == (1, (), "native")
    assert {one.method for one in plans.target.requests} <= {"GET", "HEAD"}


async def test_parts(plans: Proposals) -> None:
    """Of a part of an image the digests of both are told: what is copied, and what its tag points at."""
    one = await plans.of(rule("app", "one", platform="linux/arm64", tags=("v1",)))
    some = await plans.of(rule("app", "some", subset=(ARM,), tags=("v1",)))
    digest = await plans.of(rule("app", "pin", tags=(f"{INDEX.digest}", f"x@{ONE.digest}")))

    assert [(copy.source.digest, copy.origin, copy.platforms) for copy in one.copies] == [
        (TWO.digest, INDEX.digest, ("linux/arm64",))
    ]
    (made,) = some.copies
    assert (made.origin, made.source.digest != INDEX.digest) == (INDEX.digest, True)
    assert [(copy.by_digest, str(copy.targets[0].ref)) for copy in digest.copies] == [
        (True, f"{plans.target.host}/pin:x"),
        (True, f"{plans.target.host}/pin@{INDEX.digest}"),
    ]


async def test_failures(plans: Proposals) -> None:
    """What cannot be found out is a part of the proposal; the rest is planned, and warnings are told."""
    plans.source.store.find("app").manifests.pop(TWO.digest)
    await images.seed(plans.source, "good", ONE, "v1")

    found = await plans.of(
        rule("app", tags=("v1", "v9")), rule("good"), rule("good", "s", platform="linux/s390x"), rule("regex:none.*")
    )

    assert [copy.source.repository for copy in found.copies] == ["good"]
    assert [one.failure.kind for one in found.failures if one.failure] == ["not-found", "not-found", "image"]
    assert ["matches no repository" in one for one in plans.warnings] == [True]


async def test_left_alone(plans: Proposals) -> None:
    """Tags that are never changed need nothing where a target has them."""
    await images.seed(plans.target, "app", TWO, "v1")
    kept = replace(rule("app"), immutable=TagSet.parse(["regex:.*"], key="skip-existing"))

    found = await plans.of(kept)

    assert ([copy.source.tag for copy in found.copies], found.current) == (["v2"], 1)


async def test_one_target_down(plans: Proposals) -> None:
    """A target that does not answer is a failure; what the other needs is planned."""
    with RecordingProxy(plans.target.host, Fault(path="/manifests/", status=403, times=99)) as broken:
        found = await plans.of(rule("app", tags=("v1",)), targets=(plans.target.host, broken.host))

        (copy,) = found.copies
        assert [(one.ref.host, one.to) for one in copy.targets] == [(plans.target.host, 0)]
        assert [one.target.host for one in found.failures if one.target] == [broken.host]


async def test_pulls_left(plans: Proposals) -> None:
    """How many pulls the source still allows is told, as it said last."""
    quota = {"RateLimit-Remaining": "76;w=21600", "Docker-Content-Digest": str(ONE.digest)}
    await images.seed(plans.source, "app", ONE)
    with RecordingProxy(
        plans.source.host, Fault(method="HEAD", path="/manifests/v1", status=200, headers=quota)
    ) as hub:
        found = await plans.all(task(hub.host, (plans.target.host,), rule("app", tags=("v1",))))

        assert {one.host: one.left for one in found.traffic} == {hub.host: 76, plans.target.host: None}


async def test_time(plans: Proposals) -> None:
    """A registry that never answers holds nothing up for longer than a copy may take."""
    with RecordingProxy(plans.source.host, Fault(path="/manifests/v1", gate=Gate())) as slow:
        found = await plans.all(task(slow.host, (plans.target.host,), rule("app", tags=("v1",))), timeout=0.2)

        assert [one.failure.kind for one in found.failures if one.failure] == ["unreachable"]


async def test_several_tasks(plans: Proposals) -> None:
    """Tasks keep their places in the file; one that has nothing to do is left out."""
    nothing, something = (task(plans.source.host, (plans.target.host,), rule("app", to)) for to in ("a", "b"))
    await images.seed(plans.target, "a", INDEX, "v1", "v2")

    found = await plans.all(nothing, something)

    assert [(one.name, one.position, len(one.copies)) for one in found.tasks] == [("test", 1, 2)]
