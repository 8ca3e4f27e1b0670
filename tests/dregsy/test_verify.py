from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.executor import LocalExecutor, VerifyingExecutor
from dregsy.inspection import Inspector
from dregsy.model.plan import Plan, Rule
from dregsy.model.platform import Platform
from dregsy.model.report import Warned
from dregsy.model.tags import TagSet
from dregsy.verify import Finding, State, Verification
from tests.testbed.copying import NATIVE, Workshop, rule, task
from tests.testbed.proxy import Fault, Gate, RecordingProxy

Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]
ARM = Platform.parse("linux/arm64")
ONE, OTHER = images.image("x/1"), images.image("x/2", platform=ARM)
INDEX = images.index(ONE, OTHER)
LAYER = OTHER.top.blobs[-1].digest


class Mirror:
    """Verifies one registry's images at another, in one process."""

    def __init__(self, shop: Workshop, source: str, target: str) -> None:
        self.shop = shop
        self._hosts = source, target
        self.warnings: list[Warned] = []

    async def verify(self, *rules: Rule, repair: bool = False, deep: bool = False) -> list[Finding]:
        """Verify a task; mend what is to be mended."""
        source, target = self._hosts
        inspector = Inspector(self.shop.registries, deep=deep)
        mender = VerifyingExecutor(LocalExecutor(self.shop.relay), inspector, self.shop.journal, timeout=30)
        plan = Plan((), NATIVE, parallel=2)
        found: list[Finding | Warned] = []
        verification = Verification(plan, self.shop.resolver, inspector, mender if repair else None)
        await verification.run(task(source, (target,), *rules), found.append)
        self.warnings = [one for one in found if isinstance(one, Warned)]
        return [one for one in found if isinstance(one, Finding)]

    async def states(self, *rules: Rule, repair: bool = False, deep: bool = False) -> list[State]:
        """Verify a task and tell what was found, in order."""
        return [one.state for one in await self.verify(*rules, repair=repair, deep=deep)]


@pytest.fixture
async def mirror(tmp_path: Path, embedded_pair: Pair) -> AsyncIterator[Mirror]:
    """An index under two tags, mirrored by a relay that remembers what it did."""
    source, target = embedded_pair
    await images.seed(source, "app", INDEX, "v1", "v2")
    async with Workshop(tmp_path) as shop:
        await shop.run(task(source.host, (target.host,), rule("app")))
        for registry in embedded_pair:
            registry.log.clear()
        yield Mirror(shop, source.host, target.host)


async def test_whole(mirror: Mirror, embedded_pair: Pair) -> None:
    """What is whole is told so; nothing is written, and no image read from the source."""
    source, target = embedded_pair
    assert await mirror.states(rule("app")) == [State.WHOLE, State.WHOLE]
    assert {one.method for one in target.requests} <= {"GET", "HEAD"}
    assert source.count("GET", "/manifests/") + source.count("HEAD", "/manifests/") == 0


async def test_broken(mirror: Mirror, embedded_pair: Pair) -> None:
    """A layer that was deleted breaks each tag that needs it; it is sent once, and all else stays where it is."""
    target = embedded_pair[1]
    target.store.find("app").delete_blob(LAYER)
    assert await mirror.states(rule("app")) == [State.BROKEN, State.BROKEN]
    assert await mirror.states(rule("app"), repair=True) == [State.MENDED, State.MENDED]
    assert await mirror.states(rule("app")) == [State.WHOLE, State.WHOLE]
    assert target.count("PUT", "/blobs/") == embedded_pair[0].count("GET", "/blobs/") == 1


async def test_wrong(mirror: Mirror, embedded_pair: Pair) -> None:
    """A layer whose bytes are wrong is sent though the registry says that it has it, and then is right."""
    blobs = embedded_pair[1].store.find("app").blobs
    blobs[LAYER] = b"?" * len(blobs[LAYER])
    assert await mirror.states(rule("app")) == [State.WHOLE, State.WHOLE]
    assert await mirror.states(rule("app"), deep=True, repair=True) == [State.MENDED, State.MENDED]
    assert LAYER.matches(bytes(blobs[LAYER]))


async def test_missing(mirror: Mirror, embedded_pair: Pair) -> None:
    """A tag that is not at the target is missing, and copied; a tag that only the target has is left alone."""
    target = embedded_pair[1].store.find("app")
    target.tags["own"] = target.tags.pop("v1")
    assert await mirror.states(rule("app")) == [State.MISSING, State.WHOLE]
    assert await mirror.states(rule("app"), repair=True) == [State.MENDED, State.WHOLE]
    assert set(target.tags) == {"own", "v1", "v2"}


async def test_lost_repository(mirror: Mirror, embedded_pair: Pair) -> None:
    """A target that lost everything gets everything again, whatever the relay believes to be there."""
    target = embedded_pair[1].store.find("app")
    for content in (target.blobs, target.manifests, target.tags):
        content.clear()
    assert await mirror.states(rule("app"), repair=True) == [State.MENDED, State.MENDED]
    assert await mirror.states(rule("app"), deep=True) == [State.WHOLE, State.WHOLE]


async def test_mending_fails(mirror: Mirror, embedded_pair: Pair) -> None:
    """What cannot be mended is told, with the reason."""
    for registry in embedded_pair:
        registry.store.find("app").delete_blob(LAYER)
    findings = await mirror.verify(rule("app", tags=("v1",)), repair=True)
    assert [(one.state, one.failure.kind if one.failure else "") for one in findings] == [(State.BROKEN, "not-found")]
    embedded_pair[0].store.find("app").tags.clear()
    findings = await mirror.verify(rule("app", tags=("v1",)), repair=True)
    assert [(one.state, one.failure.kind if one.failure else "") for one in findings] == [(State.BROKEN, "not-found")]


async def test_no_help(tmp_path: Path, embedded_pair: Pair) -> None:
    """A registry that keeps wrong bytes whatever it is sent is told apart, with what its operator has to do."""
    source, target = embedded_pair
    await images.seed(source, "app", INDEX, "v1")
    await images.seed(target, "app", INDEX, "v1")
    wrong = Fault(path=f"/blobs/{LAYER}", method="GET", flip_at=10, times=-1)
    with RecordingProxy(target.host, wrong) as proxy:
        async with Workshop(tmp_path) as shop:
            mirror = Mirror(shop, source.host, proxy.host)
            (finding,) = await mirror.verify(rule("app"), deep=True, repair=True)
    assert finding.failure is not None
    assert (finding.state, finding.failure.kind) == (State.BROKEN, "broken")
    assert "deleted from its storage" in finding.failure.hint
    assert target.count("PUT", "/blobs/") == 1


async def test_left_alone(mirror: Mirror, embedded_pair: Pair) -> None:
    """What 'skip-existing' leaves alone is verified and mended, but never becomes another image."""
    source, target = embedded_pair
    kept = replace(rule("app", tags=("v1",)), immutable=TagSet.parse(("v1",), key="skip-existing"))
    assert await mirror.states(kept) == [State.WHOLE]
    target.store.find("app").delete_blob(LAYER)
    assert await mirror.states(kept, repair=True) == [State.MENDED]
    target.store.find("app").delete_blob(LAYER)
    await images.seed(source, "app", images.image("new"), "v1")
    (finding,) = await mirror.verify(kept, repair=True)
    assert (finding.state, finding.failure is not None) == (State.BROKEN, True)
    assert target.store.find("app").resolve("v1") == INDEX.digest


@pytest.mark.parametrize("part", ["platform", "subset", "digest"])
async def test_parts(part: str, mirror: Mirror, embedded_pair: Pair) -> None:
    """One platform, some platforms and images without a tag are found and mended as well."""
    of = {
        "platform": replace(rule("app", "part", tags=("v1",)), platforms=(ARM,)),
        "subset": replace(rule("app", "part", tags=("v1",)), subset=(ARM,)),
        "digest": rule("app", "part", tags=(str(INDEX.digest),)),
    }[part]
    assert await mirror.states(of, repair=True) == [State.MENDED]
    embedded_pair[1].store.find("part").delete_blob(LAYER)
    assert await mirror.states(of) == [State.BROKEN]
    assert await mirror.states(of, repair=True) == [State.MENDED]
    assert await mirror.states(of) == [State.WHOLE]


async def test_unknown(mirror: Mirror, embedded_pair: Pair) -> None:
    """What cannot be looked at is unknown, at the source or at the target, and never mended blindly."""
    source, target = embedded_pair
    findings = await mirror.verify(rule("nowhere"), rule("app", tags=("v3",)), repair=True)
    assert [one.state for one in findings] == [State.UNKNOWN, State.MISSING]
    await images.seed(source, "app", ONE, "v1")
    with RecordingProxy(target.host, Fault(path="/manifests/", status=403, times=-1)) as proxy:
        mirror = Mirror(mirror.shop, source.host, proxy.host)
        states = Counter(await mirror.states(rule("app"), repair=True))
    assert states == {State.UNKNOWN: 2}
    assert target.count("PUT", "/manifests/") == 0


async def test_warnings(mirror: Mirror) -> None:
    """What there is to say of the rules themselves is passed on."""
    assert await mirror.verify(rule("regex: none.*")) == []
    assert [("matches no repository" in one.message) for one in mirror.warnings] == [True]


async def test_in_time(tmp_path: Path, embedded_pair: Pair) -> None:
    """A target that hangs is unknown after the time that a copy may take."""
    source, target = embedded_pair
    await images.seed(source, "app", ONE, "v1")
    gate = Gate()
    with RecordingProxy(target.host, Fault(path="/manifests/", gate=gate, times=-1)) as proxy:
        async with Workshop(tmp_path) as shop:
            inspector = Inspector(shop.registries)
            found: list[Finding | Warned] = []
            verification = Verification(Plan((), NATIVE, timeout=0.1), shop.resolver, inspector)
            await verification.run(task(source.host, (proxy.host,), rule("app")), found.append)
        gate.open()
    (finding,) = found
    assert isinstance(finding, Finding)
    assert finding.failure is not None
    assert (finding.state, finding.failure.kind) == (State.UNKNOWN, "unreachable")
