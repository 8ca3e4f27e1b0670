import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import DregsyError, NotFound, RateLimited, Unreachable
from dregsy.executor import LocalExecutor, VerifyingExecutor, contained
from dregsy.inspection import Inspector
from dregsy.journal import Journal
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Task
from dregsy.model.platform import Platform
from dregsy.model.ref import Ref
from dregsy.model.report import Failure, Moved, Outcome, Status
from dregsy.registry.repositories import Repositories
from dregsy.relay import Toolbox
from relays.native.relay import NativeRelay, Settings
from tests.testbed.aws import AwsApi, Moto
from tests.testbed.copying import Workshop, task
from tests.testbed.ecr import HOST
from tests.testbed.faults import Fault, Gate
from tests.testbed.proxy import RecordingProxy

DIGEST = Digest.of(b"image")
LINUX = Platform("linux", "amd64")
MOVED = Moved(DIGEST, bytes_written=7)
TASK = task("a.example", ("b.example", "c.example"))
COPY = Copy(
    "test",
    Ref("a.example", "app", "v1", DIGEST),
    (Ref("c.example", "app", "v1"), Ref("b.example", "app", "v1")),
    (1, 0),
)
Deed = Callable[[], Awaitable[Sequence[Moved | DregsyError]]]


class GuestRelay(NativeRelay):
    """A relay that someone else wrote: it does what it was told to do, whatever that is."""

    def __init__(self, toolbox: Toolbox, deed: Deed) -> None:
        super().__init__(Settings(), toolbox)
        self.asked: list[tuple[Copy, Endpoint, Sequence[Endpoint]]] = []
        self._deed = deed

    async def copy(self, copy: Copy, source: Endpoint, targets: Sequence[Endpoint]) -> Sequence[Moved | DregsyError]:
        """Note what was asked for, then do as told."""
        self.asked.append((copy, source, targets))
        return await self._deed()


@pytest.fixture
def guest(tmp_path: Path) -> Callable[[Deed], GuestRelay]:
    """Make relays of someone else's."""
    toolbox = Workshop(tmp_path).toolbox
    return lambda deed: GuestRelay(toolbox, deed)


async def outcomes(relay: GuestRelay) -> list[tuple[Status, Moved | Failure | None]]:
    """Carry out the copy, and tell how it ended for each of its targets."""
    results = await LocalExecutor(relay, iter([10.0, 12.5]).__next__).run(TASK, COPY)
    assert [one.target for one in results] == list(COPY.targets)
    assert {one.seconds for one in results} == {2.5}
    return [(one.status, one.moved or one.failure) for one in results]


async def test_results(guest: Callable[[Deed], GuestRelay]) -> None:
    """Each target has an outcome of its own, and the relay is told the registries in the order of the targets."""

    async def half() -> Sequence[Moved | DregsyError]:
        return [Unreachable("no answer", retryable=True, hint="wait"), MOVED]

    relay = guest(half)
    assert await outcomes(relay) == [
        (Status.FAILED, Failure("unreachable", "no answer", "wait", retryable=True)),
        (Status.COPIED, MOVED),
    ]
    assert relay.asked == [(COPY, TASK.source, [Endpoint("c.example"), Endpoint("b.example")])]


class ModestRelay(GuestRelay):
    """A relay that can do no more than it must."""

    features = frozenset()


@pytest.mark.parametrize(
    "wish", [replace(COPY, platforms=(LINUX,)), replace(COPY, subset=(LINUX,)), replace(COPY, targets=(), to=())]
)
async def test_a_copy_that_needs_more_than_the_relay_can_do(tmp_path: Path, wish: Copy) -> None:
    """A relay is never asked for what it did not say that it can do: it would do something else."""

    async def nothing() -> Sequence[Moved | DregsyError]:
        return []

    relay = ModestRelay(Workshop(tmp_path).toolbox, nothing)
    results = await LocalExecutor(relay).run(TASK, wish)

    assert {one.failure.kind for one in results if one.failure} == ({"relay-unsupported"} if wish.targets else set())
    assert bool(relay.asked) == (not wish.targets)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (NotFound("not there"), Failure("not-found", "not there")),
        (
            ExceptionGroup("g", [RateLimited("slow down", retryable=True)]),
            Failure("rate-limited", "slow down", "", True),
        ),
    ],
)
async def test_one_reason_for_all(
    error: Exception, failure: Failure, guest: Callable[[Deed], GuestRelay], caplog: pytest.LogCaptureFixture
) -> None:
    """An error that the relay raises, even in a group, is the reason for all targets; it is no bug."""

    async def fails() -> Sequence[Moved | DregsyError]:
        raise error

    assert await outcomes(guest(fails)) == [(Status.FAILED, failure)] * 2
    assert caplog.records == []


async def broken() -> Sequence[Moved | DregsyError]:
    """Have a bug."""
    raise ZeroDivisionError


async def grouped() -> Sequence[Moved | DregsyError]:
    """Have a bug among refusals."""
    raise ExceptionGroup("all", [NotFound("not there"), ExceptionGroup("some", [ZeroDivisionError()])])


async def too_few() -> Sequence[Moved | DregsyError]:
    """Forget a target."""
    return [MOVED]


async def nonsense() -> Sequence[Moved | DregsyError]:
    """Return what is no result."""
    return [None, None]  # type: ignore[list-item]  # the author of a relay need not use mypy


async def nothing() -> Sequence[Moved | DregsyError]:
    """Forget to return anything."""
    return None  # type: ignore[return-value]  # as above


async def cancels_itself() -> Sequence[Moved | DregsyError]:
    """Let a cancellation out that nobody asked for."""
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("deed", "name"),
    [
        (broken, "ZeroDivisionError"),
        (grouped, "ZeroDivisionError"),
        (too_few, "AssertionError"),
        (nonsense, "AttributeError"),
        (nothing, "TypeError"),
        (cancels_itself, "CancelledError"),
    ],
)
async def test_bug(
    deed: Deed, name: str, guest: Callable[[Deed], GuestRelay], caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in a relay is a failure of kind bug for each target, and its traceback is in the log; no crash."""
    results = await outcomes(guest(deed))
    failure = Failure("bug", f"a bug came up: {name}", "please report it with the traceback in the log")
    assert results == [(Status.FAILED, failure)] * 2
    assert {(one.levelno, bool(one.exc_info)) for one in caplog.records} == {(logging.ERROR, True)}


async def stubborn() -> Sequence[Moved | DregsyError]:
    """Swallow the cancellation."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return [MOVED, MOVED]


async def complaining() -> Sequence[Moved | DregsyError]:
    """Answer the cancellation with an error."""
    try:
        await asyncio.Event().wait()
    finally:
        raise NotFound("too late")


@pytest.mark.parametrize("deed", [stubborn, complaining])
async def test_cancellation(deed: Deed, guest: Callable[[Deed], GuestRelay]) -> None:
    """A cancellation passes, whatever the relay makes of it."""
    relay = guest(deed)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(LocalExecutor(relay).run(TASK, COPY))
        while not relay.asked:
            await asyncio.sleep(0)
        running.cancel()
    assert running.cancelled()


async def test_targets_that_are_not_ready(
    guest: Callable[[Deed], GuestRelay], moto: Moto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a repository of AWS's is missing after all it is made, and only that target is copied to once more."""
    hosts = ("b.example", HOST)
    copy = Copy("test", COPY.source, tuple(Ref(host, "app", "v1") for host in hosts), (0, 1))
    answers: list[Sequence[Moved | DregsyError]] = [[MOVED, NotFound("NAME_UNKNOWN")], [MOVED]]

    async def late() -> Sequence[Moved | DregsyError]:
        return answers.pop(0)

    relay = guest(late)
    with AwsApi(moto) as api:
        for name, value in api.environ.items():
            monkeypatch.setenv(name, value)
        executor = LocalExecutor(relay, repositories=Repositories(relay._toolbox.registries))
        results = await executor.run(task("a.example", hosts), copy)

    assert [(one.target, one.moved) for one in results] == [(target, MOVED) for target in copy.targets]
    assert [asked.targets for asked, _, _ in relay.asked] == [copy.targets, copy.targets[1:]]
    assert [one.operation for one in api.asked] == ["DescribeRepositories", "CreateRepository"]


async def test_a_target_that_cannot_be_made_ready(guest: Callable[[Deed], GuestRelay]) -> None:
    """What stays an error is told as it is, and nothing is copied again."""

    async def refused() -> Sequence[Moved | DregsyError]:
        return [NotFound("not there"), MOVED]

    relay = guest(refused)
    executor = LocalExecutor(relay, repositories=Repositories(relay._toolbox.registries))
    results = await executor.run(TASK, COPY)
    executor.finish()

    assert [one.moved or one.failure for one in results] == [Failure("not-found", "not there"), MOVED]
    assert len(relay.asked) == 1


def test_task_fixture() -> None:
    """The copy of these tests belongs to the task of these tests."""
    assert isinstance(TASK, Task)
    assert [TASK.targets[to].host for to in COPY.to] == [target.host for target in COPY.targets]


async def test_what_is_contained() -> None:
    """Looking at an image may fail, too: a refusal stays one, and a bug is told and hidden in no other way."""
    copy = Copy("t", Ref("a.example", "app", "1"), (Ref("b.example", "app", "1"),), (0,))

    async def fail(error: Exception) -> int:
        raise error

    async def succeed() -> int:
        return 7

    refusal, bug = await contained(fail(NotFound("gone")), copy), await contained(fail(ValueError("x")), copy)

    assert (refusal, await contained(succeed(), copy)) == (Failure("not-found", "gone"), 7)
    assert isinstance(bug, Failure)
    assert (bug.kind, bug.message) == ("bug", "a bug came up: ValueError")


IMAGE = images.image("x")
LAYER = IMAGE.top.blobs[-1].digest


@dataclass
class Careless:
    """An executor that copies, and then loses a layer so many times."""

    inner: LocalExecutor
    target: EmbeddedRegistry
    losses: int
    asked: list[Copy] = field(default_factory=list)

    async def run(self, task: Task, copy: Copy) -> tuple[Outcome, ...]:
        """Copy, and lose."""
        self.asked.append(copy)
        outcomes = await self.inner.run(task, copy)
        if self.losses:
            self.losses -= 1
            self.target.store.find("app").delete_blob(LAYER)
        return outcomes

    def finish(self) -> None:
        """Keep nothing."""


@pytest.mark.parametrize(("losses", "status"), [(0, Status.COPIED), (1, Status.COPIED), (2, Status.FAILED)])
async def test_verified(
    losses: int, status: Status, tmp_path: Path, embedded_pair: tuple[EmbeddedRegistry, EmbeddedRegistry]
) -> None:
    """An image that is not whole where it was written is written once more; if that does not help, it failed.

    What is believed of the lost parts is dropped, so that they are sent again, now and in the next run.
    """
    source, target = embedded_pair
    await images.seed(source, "app", IMAGE, "v1")
    copy = Copy("test", Ref(source.host, "app", "v1", IMAGE.digest), (Ref(target.host, "app", "v1"),), (0,))
    async with Workshop(tmp_path, journal=Journal(tmp_path / "journal", 3600)) as shop:
        careless = Careless(LocalExecutor(shop.relay), target, losses)
        executor = VerifyingExecutor(careless, Inspector(shop.registries), shop.journal, timeout=30)
        (outcome,) = await executor.run(task(source.host, (target.host,)), copy)
        executor.finish()
        believed = set(await shop.journal.tags(target.host, "app"))
        homes = await shop.journal.homes(target.host, LAYER)
    assert outcome.status is status
    assert (len(careless.asked), bool(outcome.failure)) == (1 + bool(losses), status is Status.FAILED)
    assert (believed, homes) == (({"v1"}, ["app"]) if status is Status.COPIED else (set(), []))
    if outcome.failure:
        assert (outcome.failure.kind, f"layer {LAYER} is missing" in outcome.failure.message) == ("broken", True)


async def test_another_image_under_the_tag(
    tmp_path: Path, embedded_pair: tuple[EmbeddedRegistry, EmbeddedRegistry]
) -> None:
    """A target that says that it took an image, and goes on to hold the old one, has not been copied to."""
    source, target = embedded_pair
    old = images.image("old")
    await images.seed(source, "app", IMAGE, "v1")
    await images.seed(target, "app", old, "v1")
    lie = {"Docker-Content-Digest": str(IMAGE.digest)}
    with RecordingProxy(
        target.host, Fault(path="/manifests/v1", method="PUT", status=201, headers=lie, times=-1)
    ) as at:
        copy = Copy("test", Ref(source.host, "app", "v1", IMAGE.digest), (Ref(at.host, "app", "v1"),), (0,))
        async with Workshop(tmp_path, journal=Journal(tmp_path / "journal", 3600)) as shop:
            executor = VerifyingExecutor(
                LocalExecutor(shop.relay), Inspector(shop.registries), shop.journal, timeout=30
            )
            (outcome,) = await executor.run(task(source.host, (at.host,)), copy)
            believed = set(await shop.journal.tags(at.host, "app"))
    assert outcome.failure is not None
    assert (outcome.status, outcome.failure.kind, believed) == (Status.FAILED, "broken", set())
    assert f"the tag is wrong: it is {old.digest} there, and not {IMAGE.digest}" in outcome.failure.message
    assert "in front of the registry" in outcome.failure.hint


async def test_a_look_has_an_end(tmp_path: Path, embedded_pair: tuple[EmbeddedRegistry, EmbeddedRegistry]) -> None:
    """A target that took an image, and hangs when it is looked at, is given up after the time that a copy may take."""
    source, target = embedded_pair
    await images.seed(source, "app", IMAGE, "v1")
    gate = Gate()
    with RecordingProxy(target.host, Fault(path="/manifests/v1", method="HEAD", gate=gate, times=-1)) as at:
        copy = Copy("test", Ref(source.host, "app", "v1", IMAGE.digest), (Ref(at.host, "app", "v1"),), (0,))
        async with Workshop(tmp_path) as shop:
            executor = VerifyingExecutor(
                LocalExecutor(shop.relay), Inspector(shop.registries), shop.journal, timeout=0.1
            )
            (outcome,) = await executor.run(task(source.host, (at.host,)), copy)
        gate.open()
    assert outcome.failure is not None
    assert (outcome.status, outcome.failure.kind) == (Status.FAILED, "unreachable")


async def test_only_what_was_written_is_verified(tmp_path: Path) -> None:
    """A copy that failed stays failed as it was, and its target is not asked."""

    async def fails() -> Sequence[Moved | DregsyError]:
        return [NotFound("gone"), NotFound("gone")]

    shop = Workshop(tmp_path)
    relay = GuestRelay(shop.toolbox, fails)
    executor = VerifyingExecutor(LocalExecutor(relay), Inspector(shop.registries), shop.journal, timeout=30)
    assert [one.failure for one in await executor.run(TASK, COPY)] == [Failure("not-found", "gone")] * 2


async def test_not_to_be_verified(tmp_path: Path) -> None:
    """What was written, and cannot be looked at, is no success, and not written again in vain."""

    async def writes() -> Sequence[Moved | DregsyError]:
        return [MOVED]

    copy = Copy("test", COPY.source, (Ref("127.0.0.1:1", "app", "v1"),), (0,))
    async with Workshop(tmp_path) as shop:
        relay = GuestRelay(shop.toolbox, writes)
        executor = VerifyingExecutor(LocalExecutor(relay), Inspector(shop.registries), shop.journal, timeout=30)
        (outcome,) = await executor.run(task("a.example", ("127.0.0.1:1",)), copy)
    assert outcome.failure is not None
    assert (outcome.status, outcome.failure.kind, len(relay.asked)) == (Status.FAILED, "unverified", 1)
