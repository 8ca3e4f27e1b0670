import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from dregsy import app, ending
from dregsy.config.load import load
from dregsy.embedded.images import image, seed
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import RelayUnavailable, UsageError
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Every, Once, Plan, RelayChoice, Schedule, Task
from dregsy.model.ref import Ref
from dregsy.model.report import (
    CopyFinished,
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
    Warned,
)
from dregsy.relay import Toolbox

Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]
Deed = Callable[[], Awaitable[None]]

GUEST = '''
from pydantic import BaseModel
from dregsy.errors import RelayUnavailable
from dregsy.relay import Feature


class Guest:
    """Copies nothing, but does for each copy what its settings say: they are a function."""

    Settings = BaseModel
    features = frozenset(Feature)

    def __init__(self, settings, toolbox):
        self.deed = settings
        self.toolbox = toolbox

    async def __aenter__(self):
        await self.deed("enter", self.toolbox)
        return self

    async def __aexit__(self, *error):
        await self.deed("exit", self.toolbox)

    async def copy(self, copy, source, targets):
        return [await self.deed("copy", self.toolbox) for _ in targets]
'''


@dataclass
class Heard:
    """A listener that remembers."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        """Remember an event."""
        self.events.append(event)

    @property
    def statuses(self) -> list[Status]:
        """How the copies ended."""
        return [event.outcome.status for event in self.events if isinstance(event, CopyFinished)]

    @property
    def warnings(self) -> list[str]:
        """What was warned of."""
        return [event.message for event in self.events if isinstance(event, Warned)]


@dataclass
class Guest:
    """What the guest relay does, and what it saw."""

    enter: Deed | None = None
    copy: Deed | None = None
    exit: Deed | None = None
    seen: list[str] = field(default_factory=list)
    scratch: Path | None = None

    async def __call__(self, what: str, toolbox: Toolbox) -> Moved:
        """Do what was asked for at this moment."""
        self.seen.append(what)
        self.scratch = toolbox.scratch
        deed = {"enter": self.enter, "copy": self.copy, "exit": self.exit}[what]
        if deed is not None:
            await deed()
        return Moved(Digest.of(b""))


@pytest.fixture
def guest_relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a relay of somebody else, as pip would."""
    site = tmp_path / "site"
    info = site / "guest-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "guest_relay_of_app.py").write_text(GUEST)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dregsy.relays.v1]\nguest = guest_relay_of_app:Guest\n")
    monkeypatch.syspath_prepend(site)


async def planned(pair: Pair, tmp_path: Path, *, every: int = 0, tags: str = "") -> Plan:
    """Seed three images, and plan to mirror them in three tasks."""
    source, target = pair
    text = "tasks:\n"
    for name in ("a", "ab", "b"):
        await seed(source, f"test/{name}", image(f"app-{name}", layers=1, size=100), "1.0")
        text += f"""
- name: {name}
  interval: {every}
  source: {{registry: "{source.host}"}}
  target: {{registry: "{target.host}"}}
  mappings:
  - from: test/{name}
    {tags}
"""
    file = tmp_path / "sync.yaml"
    file.write_text(text)
    return load(str(file), environ={}).plan


async def run(plan: Plan, heard: Heard, *, only: str = "", grace: float = 25.0) -> int:
    """Run a plan as the command does."""
    return await app.run(plan, environ=os.environ, only=only, listeners=[heard], grace=grace)


def interrupt() -> None:
    """Send this process what ``kill`` sends."""
    os.kill(os.getpid(), signal.SIGTERM)


async def interrupt_and_go_on() -> None:
    """A copy that ends soon after a signal came."""
    interrupt()
    for _ in range(10):
        await asyncio.sleep(0)


async def interrupt_and_hang() -> None:
    """A copy that never ends by itself after a signal came."""
    interrupt()
    await asyncio.Event().wait()


async def interrupt_twice_and_hang() -> None:
    """A copy that never ends by itself after two signals came."""
    interrupt()
    await asyncio.sleep(0)
    await interrupt_and_hang()


def guest_plan(plan: Plan, guest: Guest, *, tasks: int = 2) -> Plan:
    """Let the guest do what a plan asks for."""
    return replace(plan, tasks=plan.tasks[:tasks], relay=RelayChoice("guest", guest))


async def test_run_brings_everything_to_its_target(embedded_pair: Pair, tmp_path: Path) -> None:
    """Every task is run, and what it asks for is at the target afterwards."""
    heard = Heard()

    code = await run(await planned(embedded_pair, tmp_path), heard)

    source, target = embedded_pair
    assert (code, heard.statuses) == (0, [Status.COPIED] * 3)
    assert source.store.open("test/a").tags == target.store.open("test/a").tags


async def test_failure_makes_the_exit_code_1(embedded_pair: Pair, tmp_path: Path) -> None:
    """A tag that is not there fails its copy and the exit code, and nothing else."""
    heard = Heard()

    code = await run(await planned(embedded_pair, tmp_path, tags="tags: ['1.0', '2.0']"), heard, only="a")

    assert (code, sorted(heard.statuses)) == (1, [Status.COPIED, Status.FAILED])


async def test_filter_that_matches_nothing(embedded_pair: Pair, tmp_path: Path) -> None:
    """When no task matches, that is said, nobody is asked anything, and all is well."""
    heard = Heard()

    code = await run(await planned(embedded_pair, tmp_path), heard, only="nope")

    assert (code, heard.warnings) == (0, ["no task's name matches the filter 'nope'"])
    assert embedded_pair[0].requests == []


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("", ["a", "ab", "b"]),
        ("a", ["a"]),
        (" a.* ", ["a", "ab"]),
        ("!a", ["ab", "b"]),
        ("! a", ["a", "ab", "b"]),
        ("a|b", ["a", "b"]),
        ("(?i)AB", ["ab"]),
        ("nope", []),
    ],
)
def test_selected(only: str, names: list[str]) -> None:
    """The filter matches whole names; a leading exclamation mark inverts it."""
    tasks = [task(name) for name in ("a", "ab", "b")]

    assert [one.name for one in app.selected(tasks, only)] == names


def test_filter_that_is_no_expression() -> None:
    """A filter that cannot be read is the user's mistake."""
    with pytest.raises(UsageError, match="invalid task filter"):
        app.selected([], "(")


@pytest.mark.usefixtures("guest_relay")
async def test_signal_lets_the_copy_in_flight_finish(embedded_pair: Pair, tmp_path: Path) -> None:
    """After SIGTERM the copy in flight is finished, and no other task begins."""
    heard, guest = Heard(), Guest(copy=interrupt_and_go_on)

    code = await run(guest_plan(await planned(embedded_pair, tmp_path), guest), heard)

    assert (code, heard.statuses, guest.seen) == (1, [Status.COPIED], ["enter", "copy", "exit"])
    assert heard.warnings[0].startswith("stopping: ")


@pytest.mark.usefixtures("guest_relay")
async def test_stopped_daemon_ends_well(embedded_pair: Pair, tmp_path: Path) -> None:
    """A periodic task runs at once; after SIGTERM the program ends with 0."""
    heard, guest = Heard(), Guest(copy=interrupt_and_go_on)
    plan = guest_plan(await planned(embedded_pair, tmp_path, every=3600), guest)

    assert await run(plan, heard) == 0
    assert sum(isinstance(event, TaskFinished) for event in heard.events) == 1


@pytest.mark.usefixtures("guest_relay")
async def test_signal_while_waiting_for_the_next_run(embedded_pair: Pair, tmp_path: Path) -> None:
    """A daemon that waits for the next run ends at once when it gets a signal."""

    class Clock:
        def now(self) -> float:
            return 1e9

        async def sleep_until(self, when: float, wake: asyncio.Event) -> None:
            assert when > self.now()
            interrupt()
            await wake.wait()

    plan = guest_plan(await planned(embedded_pair, tmp_path, every=3600), Guest())

    assert await app.run(plan, environ=os.environ, clock=Clock()) == 0


@pytest.mark.usefixtures("guest_relay")
@pytest.mark.parametrize(("deed", "grace"), [(interrupt_twice_and_hang, 3600.0), (interrupt_and_hang, 0.0)])
async def test_second_signal_or_end_of_grace_cancels(
    deed: Deed, grace: float, embedded_pair: Pair, tmp_path: Path
) -> None:
    """A second signal cancels what is in flight, and so does the end of the grace period."""
    heard, guest = Heard(), Guest(copy=deed)

    code = await run(guest_plan(await planned(embedded_pair, tmp_path), guest), heard, grace=grace)

    assert (code, heard.statuses, guest.seen) == (1, [Status.CANCELLED], ["enter", "copy", "exit"])
    assert guest.scratch is not None
    assert not guest.scratch.exists()


@pytest.mark.usefixtures("guest_relay")
async def test_relay_that_does_not_end(embedded_pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a relay takes too long to close after the work is done, that is cut short, and the work counts."""
    monkeypatch.setattr(ending, "LAST_CALL", 0.0)
    guest = Guest(exit=interrupt_twice_and_hang)
    heard = Heard()

    assert await run(guest_plan(await planned(embedded_pair, tmp_path), guest), heard) == 0
    assert heard.statuses == [Status.COPIED] * 2


@pytest.mark.usefixtures("guest_relay")
async def test_signal_while_the_relay_starts(embedded_pair: Pair, tmp_path: Path) -> None:
    """A signal during a slow start ends it at once: there is nothing to wait for."""
    guest = Guest(enter=interrupt_and_hang)

    assert await run(guest_plan(await planned(embedded_pair, tmp_path), guest), Heard()) == 1
    assert guest.seen == ["enter"]


@pytest.mark.usefixtures("guest_relay")
async def test_relay_that_does_not_work_here(embedded_pair: Pair, tmp_path: Path) -> None:
    """A relay that is not available fails the run at once, and leaves no folder behind."""

    async def refuse() -> None:
        raise RelayUnavailable("no binary", relay="guest")

    guest = Guest(enter=refuse)

    with pytest.raises(RelayUnavailable):
        await run(guest_plan(await planned(embedded_pair, tmp_path), guest), Heard())
    assert guest.scratch is not None
    assert not guest.scratch.exists()


async def test_signals_are_left_alone_afterwards(embedded_pair: Pair, tmp_path: Path) -> None:
    """After a run, signals do what they did before."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

    await run(await planned(embedded_pair, tmp_path), Heard(), only="a")

    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


async def test_check_tells_and_writes_nothing(embedded_pair: Pair, tmp_path: Path) -> None:
    """A check says of each image whether a run would copy it, and neither source nor target is written to."""
    plan = await planned(embedded_pair, tmp_path)
    await run(plan, Heard(), only="a")
    await seed(embedded_pair[1], "test/ab", image("another", size=100), "1.0")
    found: list[tuple[str, Decision | Outcome]] = []
    for registry in embedded_pair:
        registry.log.clear()

    complete = await app.check(plan, environ=os.environ, found=lambda task, item: found.append((task.name, item)))

    reasons = [(name, item.reasons) for name, item in found if isinstance(item, Decision)]
    assert complete
    assert reasons == [("a", (Reason.CURRENT,)), ("ab", (Reason.CHANGED,)), ("b", (Reason.MISSING,))]
    assert {one.method for registry in embedded_pair for one in registry.requests} <= {"GET", "HEAD"}


async def test_check_tells_what_it_cannot_compare(embedded_pair: Pair, tmp_path: Path) -> None:
    """An image that is not at the source is an outcome of the check, and the rest is still told."""
    plan = await planned(embedded_pair, tmp_path, tags="tags: ['1.0', '2.0']")
    found: list[Decision | Outcome] = []

    await app.check(plan, environ=os.environ, found=lambda _, item: found.append(item), only="a")

    assert sorted(type(item).__name__ for item in found) == ["Decision", "Outcome"]


async def test_check_warns(embedded_pair: Pair, tmp_path: Path) -> None:
    """Warnings of a check reach the listeners: a filter for tags, or for tasks, that matches nothing."""
    plan = await planned(embedded_pair, tmp_path, tags="tags: ['regex: nope']")
    heard = Heard()

    for only in ("a", "nope"):
        await app.check(plan, environ=os.environ, found=lambda _task, _item: None, only=only, listeners=[heard])

    assert len(heard.warnings) == 2


async def test_check_can_be_interrupted(embedded_pair: Pair, tmp_path: Path) -> None:
    """A signal ends a check at once, and that is told."""
    plan = await planned(embedded_pair, tmp_path)
    found: list[str] = []

    def note(task: Task, _: Decision | Outcome) -> None:
        found.append(task.name)
        interrupt()

    assert not await app.check(plan, environ=os.environ, found=note)
    assert found == ["a"]


def task(name: str, schedule: Schedule | None = None) -> Task:
    """Make a task that does nothing."""
    return Task(name, schedule or Once(), Endpoint("a.example"), (Endpoint("b.example"),), ())


def report(of: Task, *statuses: Status, interrupted: bool = False) -> Report:
    """Make the report of a run in which copies ended in certain ways."""
    copy = Copy(of.name, Ref("a.example", "x", "1"), (Ref("b.example", "x", "1"),), (0,))
    outcomes = [
        Outcome(copy, None, status, failure=Failure("error", "x") if status is Status.FAILED else None)
        for status in statuses
    ]
    return Report(of, 0.0, 1.0, tuple(outcomes), interrupted=interrupted)


ONCE, DAILY = task("once"), task("daily", Every(86400))


@pytest.mark.parametrize(
    ("reports", "code"),
    [
        ([report(ONCE, Status.COPIED, Status.CURRENT), report(DAILY)], 0),
        ([report(ONCE, Status.FAILED), report(DAILY)], 1),
        ([report(ONCE), report(DAILY, Status.COPIED, Status.FAILED)], 1),
        ([report(ONCE, Status.CANCELLED), report(DAILY)], 1),
        ([report(ONCE, interrupted=True), report(DAILY)], 1),
        ([report(ONCE), report(DAILY, Status.CANCELLED, interrupted=True)], 0),
        ([report(ONCE)], 0),
        ([report(DAILY)], 1),
        (None, 1),
    ],
)
def test_exit_code(reports: list[Report] | None, code: int) -> None:
    """The last run of each task counts; what a stop cut short counts for one-off tasks only."""
    assert app.exit_code([ONCE, DAILY], reports) == code


def test_exit_code_of_a_new_config() -> None:
    """What a task did before the config was read again is no run of the task that took its place."""
    assert app.exit_code([ONCE], [Report(replace(ONCE), 0, 1, ())]) == 1


async def test_events_reach_all_listeners(embedded_pair: Pair, tmp_path: Path) -> None:
    """Each listener hears everything, in the same order."""
    one, other = Heard(), Heard()

    await app.run(await planned(embedded_pair, tmp_path), environ=os.environ, listeners=[one, other])

    assert one.events == other.events
    assert sum(isinstance(event, CopyStarted) for event in one.events) == 3
