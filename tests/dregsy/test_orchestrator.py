import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.model.ages import Ages
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Once, Task
from dregsy.model.ref import Ref
from dregsy.model.report import (
    CopyFinished,
    CopyFound,
    CopyProgress,
    CopyRetried,
    CopyStarted,
    Decision,
    Event,
    Failure,
    Moved,
    Outcome,
    Reason,
    Report,
    Status,
    TaskFinished,
    TaskStarted,
    Warned,
)
from dregsy.model.tags import TagSet
from tests.testbed.copying import Workshop, left_over, rule, task
from tests.testbed.proxy import Fault, Gate, RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.vendors.harbor import Harbor
from tests.testbed.vendors.server import numbered

Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]
AGAIN = Failure("unreachable", "not now", retryable=True)
NEVER = Failure("image", "never", retryable=False)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A native relay and what runs tasks by it."""
    async with Workshop(tmp_path) as workshop:
        yield workshop


class StubExecutor:
    """An executor on its own terms: ends copies as ``script`` says, holds them while ``gate`` is closed."""

    def __init__(self, script: Callable[[str, int], Failure | None] = lambda _tag, _time: None) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.tried: list[tuple[str, tuple[int, ...]]] = []
        self.running = 0
        self.finished = 0
        self.most = 0
        self.arrived = asyncio.Event()
        self._script = script

    def finish(self) -> None:
        """Note that the run is over."""
        self.finished += 1

    async def run(self, task: Task, copy: Copy) -> tuple[Outcome, ...]:
        """Note the try, wait for the gate, and end as told; a target's name is its tag and position."""
        del task
        tag = copy.source.tag or ""
        self.tried.append((tag, copy.to))
        self.running += 1
        self.most = max(self.most, self.running)
        self.arrived.set()
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        time = sum(tag == one for one, _ in self.tried)
        return tuple(
            self._ended(copy, target, f"{tag}{to}", time) for target, to in zip(copy.targets, copy.to, strict=True)
        )

    def _ended(self, copy: Copy, target: Ref, name: str, time: int) -> Outcome:
        failure = self._script(name, time)
        if failure is not None:
            return Outcome(copy, target, Status.FAILED, failure=failure)
        return Outcome(copy, target, Status.COPIED, moved=Moved(Digest.of(b"")))


async def seeded(source: EmbeddedRegistry, *tags: str) -> None:
    """Put images into the repository ``app``."""
    for tag in tags:
        await images.seed(source, "app", images.image(f"x/{tag}", layers=1), tag)


def ends(report: Report) -> dict[str, Status]:
    """Tell how it ended for each target, by repository and tag; each has ended once."""
    names = [f"{one.target.host}/{one.target.repository}:{one.target.tag}" for one in report.outcomes if one.target]
    assert max(Counter(names).values(), default=1) == 1
    by_tag = {f"{one.target.repository}:{one.target.tag}": one.status for one in report.outcomes if one.target}
    assert len(by_tag) == len(names)
    return by_tag


async def test_second_run_moves_nothing(
    shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A run copies what is missing; the next finds all in place: two requests a tag besides the listing, no byte."""
    for number in range(5):
        push(registry_a.host, repo, images.image(f"{repo}/{number}"), f"v{number}")
    with RecordingProxy(registry_a.host) as source, RecordingProxy(registry_b.host) as target:
        work = task(source.host, (target.host,), rule(repo))
        first = await shop.run(work)
        source.seen.clear()
        target.seen.clear()
        second = await shop.run(work)
        assert Counter(one.method for one in source.seen) == {"HEAD": 5, "GET": 1}
        assert Counter(one.method for one in target.seen) == {"HEAD": 5}
    assert (first.counts, first.ok) == ({Status.COPIED: 5}, True)
    assert (second.counts, second.ok) == ({Status.CURRENT: 5}, True)


async def test_events(shop: Workshop, embedded_pair: Pair) -> None:
    """Listeners hear of everything, in order; the last event carries the report with its times and reasons."""
    a, b = embedded_pair
    await seeded(a, "v1", "v2")
    await images.seed(b, "app", images.image("x/v1", layers=1), "v1")
    work = task(a.host, (b.host,), rule("app"), rule("app", "other", tags=("regex:none",), where="f:4"))
    report = await shop.orchestrator().run(work, iter([5.0, 8.0]).__next__)
    kinds: list[type[Event]] = [type(one) for one in shop.events if not isinstance(one, CopyProgress)]
    found = [CopyFound] * 2
    assert Counter(kinds) == Counter([TaskStarted, Warned, *found, CopyStarted, *[CopyFinished] * 2, TaskFinished])
    assert (kinds[0], shop.events[-1]) == (TaskStarted, TaskFinished(report))
    assert (report.started, report.finished, report.interrupted) == (5.0, 8.0, False)
    assert report.warnings == (f"f:4: 'tags' selects none of the 2 tags of {a.host}/app",)
    assert {one.target.tag: one.reason for one in report.outcomes if one.target} == {
        "v1": Reason.CURRENT,
        "v2": Reason.MISSING,
    }


async def test_no_more_is_done_than_was_found(shop: Workshop, embedded_pair: Pair) -> None:
    """What is left alone, or may not be copied, is told as found before it is told as done, as all else is."""
    a, b = embedded_pair
    await seeded(a, "v1", "v2", "v3")
    await images.seed(b, "app", images.image("x/v1", layers=1), "v1")
    kept = TagSet.parse(["v1"], key="skip-existing")
    rules = (rule("app", immutable=kept), rule("other", "app", tags=("v2",), where="f:4"))
    report = await shop.run(task(a.host, (b.host,), *rules))

    left = 0
    for event in shop.events:
        left += len(event.copy.targets) if isinstance(event, CopyFound) else -isinstance(event, CopyFinished)
        assert left >= 0
    assert left == 0
    assert report.counts == {Status.COPIED: 2, Status.CURRENT: 1, Status.FAILED: 1}


async def test_failures_stop_nothing(shop: Workshop, embedded_pair: Pair) -> None:
    """What fails, fails alone: other tags, mappings and targets are served, and every failure has its reason."""
    a, b = embedded_pair
    await seeded(a, "v1", "v2", "v3")
    a.store.open("app").blobs.pop(images.image("x/v2", layers=1).top.blobs[0].digest)
    rules = (rule("app"), rule("gone"), rule("app", "Bad Name"), rule("app", "other", tags=("nope",)))
    with RecordingProxy(b.host, Fault(path="/other/", status=500, times=-1)) as proxy:
        report = await shop.run(task(a.host, (proxy.host,), *rules))
    assert {key: ends(report)[key] for key in ("app:v1", "app:v2", "app:v3", "other:nope")} == {
        "app:v1": Status.COPIED,
        "app:v2": Status.FAILED,
        "app:v3": Status.COPIED,
        "other:nope": Status.FAILED,
    }
    assert (len(report.failures), report.ok, report.interrupted) == (4, False, False)
    assert all(one.failure and one.failure.message for one in report.failures)


async def test_retries(shop: Workshop, embedded_pair: Pair) -> None:
    """What may succeed later is tried again after everything else, only for the targets that failed."""
    a, b = embedded_pair
    await seeded(a, "v1", "v2", "v3", "v4")
    plan: dict[str, list[Failure | None]] = {"v11": [AGAIN], "v20": [NEVER], "v30": [AGAIN] * 9, "v31": [AGAIN, NEVER]}

    def script(name: str, time: int) -> Failure | None:
        return dict(enumerate(plan.get(name, []), 1)).get(time)

    async with EmbeddedRegistry() as c:
        stub = StubExecutor(script)
        work = task(a.host, (b.host, c.host), rule("app"))
        report = await shop.orchestrator(executor=stub, parallel=1, retries=2).run(work)

        assert stub.finished == 1
        how = {(one.target.tag, one.target.host == c.host): one for one in report.outcomes if one.target}
    assert stub.tried[:4] == [(f"v{number}", (0, 1)) for number in (1, 2, 3, 4)]
    assert stub.tried[4:] == [("v1", (1,)), ("v3", (0, 1)), ("v3", (0,))]
    assert {key: one.failure for key, one in how.items() if one.failure} == {
        ("v2", False): NEVER,
        ("v3", False): AGAIN,
        ("v3", True): NEVER,
    }
    assert len(report.outcomes) == 8
    assert sum(isinstance(one, CopyRetried) for one in shop.events) == 4


async def test_retry_of_a_comparison(shop: Workshop, embedded_pair: Pair) -> None:
    """A source or target that could not be asked is asked again in the next round."""
    a, b = embedded_pair
    await seeded(a, "v1", "v2")
    source_fault = Fault(path="/manifests/v1", method="HEAD", status=503, times=2)
    target_fault = Fault(path="/manifests/v2", method="HEAD", status=503, times=2)
    with RecordingProxy(a.host, source_fault) as source, RecordingProxy(b.host, target_fault) as target:
        report = await shop.run(task(source.host, (target.host,), rule("app", tags=("v1", "v2"))), retries=1)
    assert report.counts == {Status.COPIED: 2}
    assert sum(isinstance(one, CopyRetried) for one in shop.events) == 2


async def test_stop(shop: Workshop, embedded_pair: Pair) -> None:
    """Told to stop, a run finishes what is in flight, begins nothing new, and says that it was interrupted."""
    a, b = embedded_pair
    tags = [f"v{number}" for number in range(60)]
    await seeded(a, *tags)
    stub = StubExecutor()
    stub.gate.clear()
    async with asyncio.TaskGroup() as group:
        orchestrator = shop.orchestrator(executor=stub, parallel=2)
        running = group.create_task(orchestrator.run(task(a.host, (b.host,), rule("app"))))
        while stub.running < 2:
            await asyncio.sleep(0)
        shop.stop.set()
        stub.gate.set()
    report = running.result()
    assert (report.interrupted, report.ok) == (True, False)
    assert len(stub.tried) == 2
    assert report.counts[Status.COPIED] == 2
    assert set(ends(report).values()) == {Status.COPIED, Status.CANCELLED}


async def test_stop_at_the_end(shop: Workshop, embedded_pair: Pair) -> None:
    """Told to stop when everything is in flight already, a run is complete; what failed is not tried again."""
    a, b = embedded_pair
    await seeded(a, "v1", "v2")
    stub = StubExecutor(lambda name, _time: AGAIN if name == "v20" else None)
    stub.gate.clear()
    async with asyncio.TaskGroup() as group:
        orchestrator = shop.orchestrator(executor=stub, parallel=2, retries=3)
        running = group.create_task(orchestrator.run(task(a.host, (b.host,), rule("app"))))
        while stub.running < 2:
            await asyncio.sleep(0)
        shop.stop.set()
        stub.gate.set()
    report = running.result()
    assert not report.interrupted
    assert ends(report) == {"app:v1": Status.COPIED, "app:v2": Status.FAILED}
    assert [one.failure for one in report.failures] == [AGAIN]


async def test_stop_before_the_start(shop: Workshop, embedded_pair: Pair) -> None:
    """A run that is told to stop before it begins asks nobody anything."""
    a, b = embedded_pair
    await seeded(a, "v1")
    shop.stop.set()
    report = await shop.run(task(a.host, (b.host,), rule("app")))
    assert (report.interrupted, report.outcomes, a.requests, b.requests) == (True, (), [], [])


async def test_abort(shop: Workshop, embedded_pair: Pair) -> None:
    """Aborted in the middle of uploads, a run cancels them; each target that was reached is reported once, untagged."""
    a, b = embedded_pair
    await seeded(a, *(f"v{number}" for number in range(12)))
    gate = Gate()
    with RecordingProxy(b.host, Fault(path="/uploads/", method="PUT", gate=gate, times=-1)) as proxy:
        before = asyncio.all_tasks()
        async with asyncio.TaskGroup() as group:
            work = task(a.host, (proxy.host,), rule("app"), rule("app", "other"))
            running = group.create_task(shop.run(work, parallel=2))
            await gate.arrival()
            shop.abort.set()
        report = running.result()
        assert left_over(before) == []
        gate.open()
    assert report.interrupted
    assert set(ends(report).values()) == {Status.CANCELLED}
    begun = {event.copy.targets[0] for event in shop.events if isinstance(event, CopyStarted)}
    assert begun < {one.target for one in report.outcomes}
    assert b.store.find("app").tags == b.store.find("other").tags == {}


async def test_abort_in_a_later_round(shop: Workshop, embedded_pair: Pair) -> None:
    """What failed before and is aborted while it is tried again stays failed, with its reason, and is told once."""
    a, b = embedded_pair
    await seeded(a, "v1", "v2", "v3")
    stub = StubExecutor(lambda _name, _time: AGAIN)
    async with asyncio.TaskGroup() as group:
        orchestrator = shop.orchestrator(executor=stub, parallel=1, retries=1)
        running = group.create_task(orchestrator.run(task(a.host, (b.host,), rule("app"))))
        while sum(isinstance(one, CopyRetried) for one in shop.events) < 3:
            await asyncio.sleep(0)
        stub.gate.clear()
        while len(stub.tried) < 4:
            await asyncio.sleep(0)
        shop.abort.set()
    report = running.result()
    assert report.interrupted
    assert ends(report) == dict.fromkeys(["app:v1", "app:v2", "app:v3"], Status.FAILED)


async def test_cancelled_from_outside(shop: Workshop, embedded_pair: Pair) -> None:
    """A run that is cancelled lets the cancellation pass, and leaves no task."""
    a, b = embedded_pair
    await seeded(a, "v1")
    stub = StubExecutor()
    stub.gate.clear()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(shop.orchestrator(executor=stub).run(task(a.host, (b.host,), rule("app"))))
        await stub.arrived.wait()
        running.cancel()
    assert running.cancelled()
    assert stub.running == 0


async def test_bounds(shop: Workshop, embedded_pair: Pair) -> None:
    """However many tags there are, only as many images are held as workers ask for, and few are copied at once."""
    a, b = embedded_pair
    await seeded(a, "v0")
    digest = a.store.find("app").resolve("v0")
    a.store.open("app").tags.update({f"t{number}": digest for number in range(500)})
    stub = StubExecutor()
    stub.gate.clear()
    async with asyncio.TaskGroup() as group:
        work = task(a.host, (b.host,), rule("app"))
        running = group.create_task(shop.orchestrator(executor=stub, parallel=3).run(work))
        await stub.arrived.wait()
        while b.count("HEAD", "/manifests/") < 12:
            await asyncio.sleep(0)
        for _ in range(200):
            await asyncio.sleep(0)
        assert a.count("HEAD", "/manifests/") == b.count("HEAD", "/manifests/") == 12
        stub.gate.set()
    assert (stub.most, len(running.result().outcomes)) == (3, 501)


async def test_copies_begin_while_listing(shop: Workshop, embedded_pair: Pair) -> None:
    """Copies begin before the last repository was listed."""
    a, b = embedded_pair
    await seeded(a, "v1")
    gate = Gate()
    stub = StubExecutor()
    with RecordingProxy(a.host, Fault(path="/late/tags/list", gate=gate)) as source:
        async with asyncio.TaskGroup() as group:
            work = task(source.host, (b.host,), rule("app"), rule("late"))
            running = group.create_task(shop.orchestrator(executor=stub).run(work))
            await gate.arrival()
            await stub.arrived.wait()
            gate.open()
    assert running.result().counts == {Status.COPIED: 1, Status.FAILED: 1}


@pytest.mark.parametrize(("source", "path"), [("app", "/app/tags/list"), ("regex:a.*", "_catalog")])
@pytest.mark.parametrize("failures", [2, 4, 6])
async def test_listings_are_tried_again(
    shop: Workshop, embedded_pair: Pair, source: str, path: str, failures: int
) -> None:
    """What could not be listed is listed again after all else, for as many rounds as copies get; then it has failed."""
    a, b = embedded_pair
    await seeded(a, "v1")
    await images.seed(a, "other", images.image("x"), "v1")
    with RecordingProxy(a.host, Fault(path=path, status=503, times=failures)) as proxy:
        report = await shop.run(task(proxy.host, (b.host,), rule(source), rule("other")), retries=2)

    ended = [one.outcome.status for one in shop.events if isinstance(one, CopyFinished)]
    again = [one.outcome for one in shop.events if isinstance(one, CopyRetried)]
    assert [Status.COPIED, Status.FAILED if failures == 6 else Status.COPIED] == ended
    assert [one.status for one in report.outcomes] == ended
    assert [None] * min(failures // 2, 2) == [one.target for one in again]


@pytest.mark.parametrize("filters", [{"ages": Ages(older_than=86400.0)}, {"tags": ("keep: newest 2",)}])
@pytest.mark.parametrize("failures", [2, 4, 6])
async def test_dates_are_tried_again(
    shop: Workshop, embedded_pair: Pair, filters: dict[str, Any], failures: int
) -> None:
    """Tags whose dates could not be read are looked at again after all else, alone; the others are copied at once."""
    a, b = embedded_pair
    for number in (1, 2):
        await images.seed(a, "app", images.image(f"{number}", created=f"2024-01-0{number}T00:00:00Z"), f"v{number}")
    fault = Fault(path="/manifests/v1", method="HEAD", status=503, times=failures)
    with RecordingProxy(a.host, fault) as proxy:
        report = await shop.run(task(proxy.host, (b.host,), rule("app", **filters)), retries=2)

    ended = [(one.outcome.copy.source.tag, one.outcome.status) for one in shop.events if isinstance(one, CopyFinished)]
    again = [one.outcome.copy.source.tag for one in shop.events if isinstance(one, CopyRetried)]
    assert ended == [("v2", Status.COPIED), ("v1", Status.FAILED if failures == 6 else Status.COPIED)]
    assert [one.copy.source.tag for one in report.outcomes] == ["v2", "v1"]
    assert again == ["v1"] * min(failures // 2, 2)
    assert report.warnings == ()


async def test_a_date_that_nobody_can_read_is_final(shop: Workshop, embedded_pair: Pair) -> None:
    """What another attempt cannot mend gets none."""
    a, b = embedded_pair
    await seeded(a, "v1")
    with RecordingProxy(a.host, Fault(path="/manifests/v1", method="HEAD", status=403, times=-1)) as proxy:
        report = await shop.run(task(proxy.host, (b.host,), rule("app", ages=Ages(older_than=1.0))), retries=2)

    assert [one.status for one in report.outcomes] == [Status.FAILED]
    assert proxy.count("HEAD", "/manifests/v1") == 1


@pytest.mark.parametrize("times", [1, 2])
async def test_a_listing_that_failed_is_reported_when_stopped(shop: Workshop, embedded_pair: Pair, times: int) -> None:
    """A run that is stopped before it could look again, or while it does, reports what could not be listed."""
    a, b = embedded_pair
    await seeded(a, "v1")

    def stop(event: Event) -> None:
        if isinstance(event, CopyRetried) and sum(isinstance(one, CopyRetried) for one in shop.events) == times - 1:
            shop.stop.set()
        shop.events.append(event)

    with RecordingProxy(a.host, Fault(path="tags/list", status=503, times=-1)) as proxy:
        orchestrator = shop.orchestrator(retries=2)
        orchestrator._emit = stop
        report = await orchestrator.run(task(proxy.host, (b.host,), rule("app")))

    assert [one.status for one in report.outcomes] == [Status.FAILED]


async def test_a_check_looks_once(shop: Workshop, embedded_pair: Pair) -> None:
    """A check has no rounds: what cannot be listed is told as it is."""
    a, b = embedded_pair
    items: list[Decision | Outcome | Warned] = []
    with RecordingProxy(a.host, Fault(path="tags/list", status=503, times=-1)) as proxy:
        await shop.orchestrator(retries=2).check(task(proxy.host, (b.host,), rule("app")), items.append)

    assert [one.status for one in items if isinstance(one, Outcome)] == [Status.FAILED]
    assert proxy.count("GET", "tags/list") == 2


async def test_check(shop: Workshop, embedded_pair: Pair) -> None:
    """A check says for each image what a run would do, and why; it writes nothing and is stopped by nothing."""
    a, b = embedded_pair
    await seeded(a, "v1", "v2")
    await images.seed(b, "app", images.image("x/v1", layers=1), "v1")
    work = task(a.host, (b.host,), rule("app"), rule("app", tags=("gone",)), rule("app", "Bad"), rule("regex:none"))
    items: list[Decision | Outcome | Warned] = []
    await shop.orchestrator().check(work, items.append)
    reasons = {one.copy.source.tag: one.reasons for one in items if isinstance(one, Decision)}
    assert reasons == {"v1": (Reason.CURRENT,), "v2": (Reason.MISSING,)}
    failed = [one for one in items if isinstance(one, Outcome)]
    assert [(one.status, one.failure.kind if one.failure else "") for one in failed] == [
        (Status.FAILED, "not-found"),
        (Status.FAILED, "image"),
    ]
    assert sum(isinstance(one, Warned) for one in items) == 1
    assert {one.method for one in b.requests} <= {"GET", "HEAD"}


async def test_same_name_at_two_targets(shop: Workshop, embedded_pair: Pair) -> None:
    """A task with the same target twice is served for both, also in a later round."""
    a, b = embedded_pair
    await seeded(a, "v1")
    stub = StubExecutor(lambda _name, time: AGAIN if time == 1 else None)
    work = Task("t", Once(), Endpoint(a.host), (Endpoint(b.host), Endpoint(b.host)), (rule("app"),))
    report = await shop.orchestrator(executor=stub, retries=1).run(work)
    assert (report.counts, stub.tried) == ({Status.COPIED: 2}, [("v1", (0, 1)), ("v1", (0, 1))])


async def test_the_report_tells_of_saved_requests(shop: Workshop) -> None:
    """Where registries list the digests of many tags at once, the report says how many requests that saved."""
    async with Harbor() as source, Harbor() as target:
        source.put("team/app", numbered(50))
        work = task(source.host, (target.host,), rule("team/app"))
        first = await shop.run(work)
        target.log.clear()
        second = await shop.run(work)

        assert (first.counts, second.counts) == ({Status.COPIED: 50}, {Status.CURRENT: 50})
        assert (first.saved, second.saved) == (0, 94)
        assert (target.log.count("HEAD", ""), target.log.count("GET", "artifacts")) == (2, 1)
