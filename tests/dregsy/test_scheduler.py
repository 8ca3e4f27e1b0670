import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Cron, Every, Once, Schedule, Task
from dregsy.model.report import Event, Report, Scheduled, Waiting
from dregsy.orders import Orders
from dregsy.scheduler import RECHECK, LocalTime, WallClock, following, serve

NOON = datetime(2024, 3, 1, 12, 0, tzinfo=UTC).timestamp()


def task(name: str, schedule: Schedule) -> Task:
    """Make a task that has nothing but a name and a schedule."""
    return Task(name, schedule, Endpoint("a.example"), (Endpoint("b.example"),), ())


@dataclass
class FakeClock:
    """Time that passes only while someone waits, or when told to."""

    time: float = NOON
    waits: list[float] = field(default_factory=list)
    jump: Callable[[], None] | None = None

    def now(self) -> float:
        """Return the pretended time."""
        return self.time

    async def sleep_until(self, when: float, wake: asyncio.Event) -> None:
        """Let the time pass at once."""
        await asyncio.sleep(0)
        if wake.is_set():
            return
        self.waits.append(when - self.time)
        self.time = when
        if self.jump is not None:
            self.jump()


@dataclass
class Runs:
    """Takes note of each run, lets it last as long as told, and stops after a number of runs."""

    clock: FakeClock
    limit: int = 1000
    lasts: dict[str, float] = field(default_factory=dict)
    seen: list[tuple[str, float]] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, task: Task) -> Report:
        """Run a task."""
        started = self.clock.time
        self.seen.append((task.name, started - NOON))
        self.clock.time += self.lasts.get(task.name, 0)
        if len(self.seen) >= self.limit:
            self.stop.set()
        return Report(task, started, self.clock.time, ())


async def run(tasks: list[Task], runs: Runs) -> tuple[Report, ...]:
    """Serve ``tasks`` until they end or ``runs`` has enough."""
    return await serve(tasks, runs, clock=runs.clock, stop=runs.stop)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone with summer time, spelled out so that no zone files are needed."""
    yield from zone(monkeypatch, "CET-1CEST,M3.5.0,M10.5.0/3")


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone that NOON is told in."""
    yield from zone(monkeypatch, "UTC0")


def zone(monkeypatch: pytest.MonkeyPatch, rules: str) -> Iterator[None]:
    """Have local time follow these rules for a while."""
    monkeypatch.setenv("TZ", rules)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def test_one_off_tasks_run_once_in_order() -> None:
    """One-off tasks run in file order, and the program ends by itself."""
    runs = Runs(FakeClock(), lasts={"a": 5})

    reports = await run([task("b", Once()), task("a", Once()), task("c", Once())], runs)

    assert runs.seen == [("b", 0), ("a", 0), ("c", 5)]
    assert [report.task.name for report in reports] == ["b", "a", "c"]


async def test_nothing_to_do() -> None:
    """No tasks at all is no reason to wait."""
    assert await run([], Runs(FakeClock())) == ()


async def test_periodic_tasks_come_after_the_one_off_ones_and_at_once() -> None:
    """Periodic tasks wait for the one-off tasks, wherever they stand, and then fire at once."""
    runs = Runs(FakeClock(), limit=5, lasts={"once": 7})

    await run([task("p", Every(60)), task("once", Once()), task("q", Every(60))], runs)

    assert runs.seen == [("once", 0), ("p", 7), ("q", 7), ("p", 67), ("q", 67)]


async def test_interval_counts_from_the_start() -> None:
    """The interval lies between starts, however long a run takes."""
    runs = Runs(FakeClock(), limit=4, lasts={"p": 20})

    await run([task("p", Every(60))], runs)

    assert runs.seen == [("p", 0), ("p", 60), ("p", 120), ("p", 180)]


async def test_long_run_drops_the_times_it_missed() -> None:
    """A run longer than its interval is followed by no burst, but by the next time that is still to come."""
    runs = Runs(FakeClock(), limit=3, lasts={"p": 150})

    await run([task("p", Every(60))], runs)

    assert runs.seen == [("p", 0), ("p", 180), ("p", 360)]


async def test_long_runs_starve_nobody() -> None:
    """A task that is always late leaves each other task its turn before it runs again."""
    runs = Runs(FakeClock(), limit=7, lasts={"long": 95})

    await run([task("long", Every(30)), task("short", Every(60)), task("rare", Every(300))], runs)

    names = [name for name, _ in runs.seen]
    assert names == ["long", "short", "rare", "long", "short", "long", "short"]


async def test_last_report_counts() -> None:
    """Of a task that ran often, the last report is kept."""
    runs = Runs(FakeClock(), limit=3)

    (report,) = await run([task("p", Every(60))], runs)

    assert report.started == NOON + 120


async def test_tasks_of_one_name_are_two_tasks() -> None:
    """Two tasks that share a name both run and both report."""
    runs = Runs(FakeClock())

    reports = await run([task("same", Once()), task("same", Once())], runs)

    assert len(reports) == 2


async def test_stop_ends_the_one_off_tasks() -> None:
    """After a stop no further task begins; those that did not run have no report."""
    runs = Runs(FakeClock(), limit=1)

    reports = await run([task("a", Once()), task("b", Once()), task("p", Every(60))], runs)

    assert runs.seen == [("a", 0)]
    assert [report.task.name for report in reports] == ["a"]


async def test_stop_interrupts_the_wait() -> None:
    """A stop during the wait for the next run ends it at once."""
    clock = FakeClock()
    runs = Runs(clock)
    clock.jump = runs.stop.set

    await run([task("p", Every(3600))], runs)

    assert runs.seen == [("p", 0)]
    assert clock.waits == [RECHECK]


async def test_who_waits_says_so() -> None:
    """Before each look at the clock it is told until when nothing is due; a stuck scheduler is known by its silence."""
    runs = Runs(FakeClock(), limit=2)
    told: list[Event] = []

    await serve([task("p", Every(150))], runs, clock=runs.clock, stop=runs.stop, emit=told.append)

    assert runs.clock.waits == [RECHECK, RECHECK, 30]
    assert [event for event in told if not isinstance(event, Scheduled)] == [Waiting(NOON + 150)] * 3


async def test_cron_waits_for_its_time() -> None:
    """A cron task does not run at the start, but when its expression says so."""
    runs = Runs(FakeClock(NOON + 1), limit=3)

    await run([task("c", Cron("*/15 * * * *"))], runs)

    assert runs.seen == [("c", 900), ("c", 1800), ("c", 2700)]


async def test_cron_drops_the_times_it_missed() -> None:
    """A cron task whose run takes too long waits for the next time that is still to come."""
    runs = Runs(FakeClock(NOON + 1), limit=2, lasts={"c": 2000})

    await run([task("c", Cron("*/15 * * * *"))], runs)

    assert runs.seen == [("c", 900), ("c", 3600)]


@pytest.mark.usefixtures("utc")
async def test_cron_time_during_another_run_is_kept() -> None:
    """A cron task that falls due while another task runs is run after it."""
    runs = Runs(FakeClock(NOON + 1), limit=2, lasts={"p": 1000})

    await run([task("p", Every(5000)), task("c", Cron("15 12 * * *"))], runs)

    assert runs.seen == [("p", 1), ("c", 1001)]


async def test_clock_set_forward() -> None:
    """When the clock is set forward during the wait, what is due by then runs at the next look at it."""
    clock = FakeClock()
    runs = Runs(clock, limit=2)

    def forward() -> None:
        clock.time += 7200

    clock.jump = forward
    await run([task("p", Every(3600))], runs)

    assert runs.seen == [("p", 0), ("p", RECHECK + 7200)]


async def test_clock_set_back() -> None:
    """When the clock is set back by days, the task still runs within its interval."""
    clock = FakeClock()
    runs = Runs(clock, limit=2)
    day = 86400.0

    def back() -> None:
        clock.time -= day
        clock.jump = None

    clock.jump = back
    await run([task("p", Every(300))], runs)

    assert [("p", 0), ("p", RECHECK - day + 300)] == runs.seen


async def test_expression_that_never_comes_true() -> None:
    """A cron expression for no day of any year waits until the stop."""
    clock = FakeClock()
    runs = Runs(clock)
    clock.jump = runs.stop.set

    assert await run([task("never", Cron("0 0 31 2,4 MON#1"))], runs) == ()


@pytest.mark.usefixtures("berlin")
def test_cron_means_local_time() -> None:
    """``30 4 * * *`` is half past four here, in winter and in summer."""
    winter = datetime(2024, 1, 10, tzinfo=UTC).timestamp()
    summer = datetime(2024, 7, 10, tzinfo=UTC).timestamp()

    assert datetime(2024, 1, 10, 3, 30, tzinfo=UTC) == following(Cron("30 4 * * *"), winter)
    assert datetime(2024, 7, 10, 2, 30, tzinfo=UTC) == following(Cron("30 4 * * *"), summer)


@pytest.mark.usefixtures("berlin")
def test_cron_over_the_changes_of_the_clock() -> None:
    """A time that the change to summer time leaves out comes once that day, one that comes twice only once."""
    spring = datetime(2024, 3, 31, 0, 0, tzinfo=UTC).timestamp()
    autumn = datetime(2024, 10, 27, 0, 0, tzinfo=UTC).timestamp()
    nightly = Cron("30 2 * * *")

    first = following(nightly, autumn)

    assert datetime(2024, 3, 31, 1, 0, tzinfo=UTC) == following(nightly, spring)
    assert datetime(2024, 10, 27, 0, 30, tzinfo=UTC) == first
    assert datetime(2024, 10, 28, 1, 30, tzinfo=UTC) == following(nightly, first.timestamp())


@pytest.mark.usefixtures("berlin")
def test_local_time_survives_the_repeated_hour() -> None:
    """Both passes through the repeated hour are told apart, so that ``*/10`` goes on through them."""
    start = datetime(2024, 10, 27, 0, 55, tzinfo=UTC).timestamp()

    assert datetime(2024, 10, 27, 1, 0, tzinfo=UTC) == following(Cron("*/10 * * * *"), start)
    assert datetime.fromtimestamp(start + 3600, LocalTime()).tzname() == "CET"


async def test_wall_clock() -> None:
    """The real clock does not wait for what is past, nor when it is woken."""
    clock = WallClock()
    wake = asyncio.Event()

    await clock.sleep_until(clock.now() - 10, wake)
    asyncio.get_running_loop().call_soon(wake.set)
    await clock.sleep_until(clock.now() + 1e9, wake)

    assert wake.is_set()


@dataclass
class Wishes(Runs):
    """Runs during which, or after which, something is ordered; the keys are how many runs there were."""

    orders: Orders = field(default_factory=Orders)
    wishes: dict[int, Callable[[Orders], None]] = field(default_factory=dict)

    async def __call__(self, task: Task) -> Report:
        """Run a task."""
        report = await super().__call__(task)
        if (wish := self.wishes.get(len(self.seen))) is not None:
            wish(self.orders)
        return report


async def run_with(tasks: list[Task], runs: Wishes, events: list[Event] | None = None) -> None:
    """Serve ``tasks`` with orders until there are enough runs."""
    emit = events.append if events is not None else lambda _: None
    await serve(tasks, runs, clock=runs.clock, stop=runs.stop, emit=emit, orders=runs.orders)


async def test_run_now_comes_before_what_is_due() -> None:
    """A task that is asked for runs once the run in progress has ended; its interval counts from then."""
    runs = Wishes(FakeClock(), 6, {"a": 10, "b": 10}, wishes={3: lambda orders: orders.run_now("b")})

    await run_with([task("a", Every(60)), task("b", Every(100))], runs)

    assert runs.seen == [("a", 0), ("b", 10), ("a", 60), ("b", 70), ("a", 120), ("b", 170)]


async def test_run_now_wakes_the_scheduler() -> None:
    """It is not slept over until the next time comes: an hour later, here."""
    orders, ran = Orders(), asyncio.Event()
    stop = asyncio.Event()
    clock = WallClock()

    async def run_one(task: Task) -> Report:
        ran.set()
        return Report(task, 0, 0, ())

    def emit(event: Event) -> None:
        if isinstance(event, Waiting) and not ran.is_set():
            asyncio.get_running_loop().call_soon(orders.run_now, "yearly")

    async with asyncio.TaskGroup() as group, asyncio.timeout(30):
        serving = group.create_task(
            serve([task("yearly", Cron("0 0 1 1 *"))], run_one, clock=clock, stop=stop, emit=emit, orders=orders)
        )
        await ran.wait()
        stop.set()
        (report,) = await serving

    assert report.task.name == "yearly"


async def test_one_off_tasks_run_again_when_asked_for() -> None:
    """They have no times, but may be run beside those that have, and after the last of their own."""
    runs = Wishes(FakeClock(), 4, wishes={2: lambda orders: orders.run_now("once")})
    alone = Wishes(FakeClock(), wishes={1: lambda orders: orders.run_now("once")})

    await run_with([task("once", Once()), task("p", Every(60))], runs)
    await run_with([task("once", Once())], alone)

    assert [name for name, _ in runs.seen] == ["once", "p", "once", "p"]
    assert [name for name, _ in alone.seen] == ["once", "once"]


async def test_run_now_comes_before_the_one_off_tasks_that_are_left() -> None:
    """It waits for the run in progress alone; an interval counts from then, and a one-off task has had its run."""

    def both(orders: Orders) -> None:
        orders.run_now("p")
        orders.run_now("c")

    runs = Wishes(FakeClock(), 5, {"a": 5, "p": 1}, wishes={1: both})

    await run_with([task("p", Every(60)), *(task(name, Once()) for name in "abc")], runs)

    assert runs.seen == [("a", 0), ("p", 5), ("c", 6), ("b", 6), ("p", 65)]


@pytest.mark.usefixtures("utc")
async def test_what_falls_due_during_one_off_tasks_runs_after_them() -> None:
    """As during any other run, a time of a cron task is not lost."""
    runs = Runs(FakeClock(NOON + 1), limit=3, lasts={"a": 1000})

    await run([task("c", Cron("15 12 * * *")), task("a", Once()), task("b", Once())], runs)

    assert runs.seen == [("a", 1), ("b", 1001), ("c", 1001)]


async def test_tasks_of_one_name_are_asked_for_together() -> None:
    """An order names tasks, and cannot tell two of a name apart."""
    runs = Wishes(FakeClock(), 4, wishes={2: lambda orders: orders.run_now("same")})

    await run_with([task("same", Every(60)), task("same", Every(90))], runs)

    assert runs.seen == [("same", 0), ("same", 0), ("same", 0), ("same", 0)]


async def test_a_paused_task_lets_its_times_pass() -> None:
    """Others go on; once resumed it keeps to the times that it always had; asked for it runs all the same."""
    wishes: dict[int, Callable[[Orders], None]] = {
        2: lambda orders: orders.pause("a"),
        4: lambda orders: orders.run_now("a"),
        6: lambda orders: orders.resume("a"),
    }
    runs = Wishes(FakeClock(), 8, wishes=wishes)

    await run_with([task("a", Every(60)), task("b", Every(100))], runs)

    assert runs.seen[:6] == [("a", 0), ("b", 0), ("b", 100), ("b", 200), ("a", 200), ("b", 300)]
    assert runs.seen[6:] == [("a", 320), ("a", 380)]


async def test_all_are_paused() -> None:
    """Then there is nothing to do but to wait for somebody to resume them."""
    runs = Wishes(FakeClock(), 2, wishes={1: lambda orders: orders.pause("p")})
    runs.clock.jump = lambda: runs.orders.resume("p") if runs.clock.time > NOON + 500 else None

    await run_with([task("p", Every(60))], runs)

    assert runs.seen == [("p", 0), ("p", 540)]


async def test_times_that_were_let_pass_are_told_no_more() -> None:
    """Each wait is for the time that was told last, also where that of a paused task has just passed."""
    events: list[Event] = []
    runs = Wishes(FakeClock(), 2, wishes={1: lambda orders: orders.pause("p")})
    runs.clock.jump = lambda: runs.orders.resume("p") if runs.clock.time > NOON + 200 else None

    await run_with([task("p", Every(60))], runs, events)

    waits = [(before, event) for before, event in pairwise(events) if isinstance(event, Waiting)]
    told = [(before.times[0][1], event.until) for before, event in waits if isinstance(before, Scheduled)]
    assert told == [(NOON + 60 * number, NOON + 60 * number) for number in (1, 2, 3, 4)]


async def test_times_are_told() -> None:
    """Before and during each run, and while nothing is due: when each task with times runs next."""
    events: list[Event] = []
    runs = Wishes(FakeClock(), 2)
    tasks = [task("once", Once()), task("p", Every(90))]

    await run_with(tasks, runs, events)

    times = [[(one.name, moment - NOON) for one, moment in event.times] for event in events if type(event) is Scheduled]
    assert times == [[("p", 0)], [("p", 0)], [("p", 90)]]
