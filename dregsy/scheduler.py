"""When tasks run: one-off tasks first, in file order, then the others by interval or cron, until told to stop.

Tasks run one at a time, in the order in which they fell due, so that a long run of one task delays
the others, but each of them has its turn before that task runs again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol

import schedule
from cronsim import CronSim

from dregsy.model.plan import Cron, Every, Once, Task
from dregsy.model.report import Listener, Report, Scheduled, Waiting
from dregsy.orders import Orders

RECHECK = 60.0
"""The longest wait in seconds before the clock is looked at again: it may have been set meanwhile."""


class Clock(Protocol):
    """Tells the time and waits for it."""

    def now(self) -> float:
        """Return the seconds since the epoch."""

    async def sleep_until(self, when: float, wake: asyncio.Event) -> None:
        """Wait until ``when`` (seconds since the epoch), or until ``wake`` is set."""


class WallClock:
    """The time of this machine."""

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return time.time()

    async def sleep_until(self, when: float, wake: asyncio.Event) -> None:
        """Wait until ``when`` (seconds since the epoch), or until ``wake`` is set."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, when - self.now())):
                await wake.wait()


class LocalTime(tzinfo):
    """This machine's time zone with its summer time, which cron expressions are meant in."""

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        """Return what local time is ahead of UTC at ``dt``."""
        return None if dt is None else dt.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, dt: datetime | None) -> timedelta | None:
        """Return None: nobody needs to know which part of the offset is summer time."""

    def tzname(self, dt: datetime | None) -> str | None:
        """Return the zone's abbreviation at ``dt``."""
        return None if dt is None else dt.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, dt: datetime) -> datetime:
        """Turn ``dt``, whose fields are UTC, into local time."""
        return datetime.fromtimestamp(dt.replace(tzinfo=UTC).timestamp()).replace(tzinfo=self)  # noqa: DTZ006 - the point


class Timer(schedule.Job):
    """A job of the ``schedule`` library that goes by our clock, in UTC, and by cron expressions too."""

    def __init__(self, when: Every | Cron, clock: Clock, book: schedule.Scheduler) -> None:
        super().__init__(when.seconds if isinstance(when, Every) else 1, book)
        self.when = when
        self.clock = clock
        self.next_run: datetime

    @property
    def should_run(self) -> bool:
        """Whether the time has come."""
        return self.clock.now() >= self.next_run.timestamp()

    def _schedule_next_run(self) -> None:
        """Set the next time; the library calls this when the job is made, and at the start of each run."""
        now = self.clock.now()
        at_once = isinstance(self.when, Every) and self.last_run is None
        self.next_run = datetime.fromtimestamp(now, UTC) if at_once else following(self.when, now)

    def drop_missed(self) -> None:
        """Leave out the times that passed during the run that just ended."""
        now = self.clock.now()
        late = now - self.next_run.timestamp()
        if late < 0:
            return
        if isinstance(self.when, Every):
            self.next_run += timedelta(seconds=self.interval * (late // self.interval + 1))
        else:
            self.next_run = following(self.when, now)

    def look_at_clock(self) -> None:
        """Come earlier when the clock was set back: never later than a timer that is set now."""
        self.next_run = min(self.next_run, following(self.when, self.clock.now()))


def following(when: Every | Cron, now: float) -> datetime:
    """Return the first time after ``now`` (seconds since the epoch), in UTC."""
    if isinstance(when, Every):
        return datetime.fromtimestamp(now, UTC) + timedelta(seconds=when.seconds)
    times = CronSim(when.expression, datetime.fromtimestamp(now, LocalTime()))
    found = next(times, None)
    return datetime.max.replace(tzinfo=UTC) if found is None else found.astimezone(UTC)


async def serve(
    tasks: Sequence[Task],
    run: Callable[[Task], Awaitable[Report]],
    *,
    clock: Clock,
    stop: asyncio.Event,
    emit: Listener = lambda _: None,
    orders: Orders | None = None,
) -> tuple[Report, ...]:
    """Run ``tasks`` when they are due, and return the last report of each that ran, in their order.

    An interval task runs at once and then every so many seconds from its start; a cron task runs when
    it is due. Neither overlaps itself, and times that pass during its own run are dropped. A run that ``orders``
    ask for comes before all that is due, and counts as one of its timetable, or as the one run of a one-off task that
    has yet to come. Returns when nothing is left to run, or when ``stop`` is set and the run in progress has ended.
    """
    last: dict[int, Report] = {}
    wakes = [stop] if orders is None else [stop, orders.given]
    orders = orders or Orders()
    orders.keep(task.name for task in tasks)
    once = {place: None for place, task in enumerate(tasks) if isinstance(task.schedule, Once)}
    timers = _timers(tasks, clock)
    while (once or timers or orders.given.is_set()) and not stop.is_set():
        due = _ordered(tasks, orders) or [*once][:1] or _due(tasks, timers, orders)
        emit(_scheduled(tasks, timers))
        for place in due:
            if stop.is_set():
                break
            once.pop(place, None)
            timer = timers.get(place)
            if timer is not None:
                begin: Callable[[], object] = timer.run
                begin()
                emit(_scheduled(tasks, timers))
            last[place] = await run(tasks[place])
            if timer is not None:
                timer.drop_missed()
        if not due and timers:
            until = min(timers.values()).next_run.timestamp()
            emit(Waiting(until))
            await _sleep(clock, min(until, clock.now() + RECHECK), wakes)
            for timer in timers.values():
                timer.look_at_clock()
    return tuple(last[place] for place in sorted(last))


def _timers(tasks: Sequence[Task], clock: Clock) -> dict[int, Timer]:
    """Make the timer of each task that has times, by its place."""
    book = schedule.Scheduler()
    timers: dict[int, Timer] = {}
    for place, task in enumerate(tasks):
        if not isinstance(task.schedule, Once):
            timers[place] = Timer(task.schedule, clock, book)
            timers[place].do(lambda: None)
    return timers


def _ordered(tasks: Sequence[Task], orders: Orders) -> list[int]:
    """Return the places of those whose run was asked for first, and take that for done."""
    name = orders.take()
    return [place for place, task in enumerate(tasks) if task.name == name]


def _due(tasks: Sequence[Task], timers: Mapping[int, Timer], orders: Orders) -> list[int]:
    """Return the place of what has waited for longest, if it is to run now."""
    place = min(timers, key=timers.__getitem__, default=None)
    if place is None or not timers[place].should_run:
        return []
    if orders.is_paused(tasks[place].name):
        timers[place].drop_missed()
        return []
    return [place]


def _scheduled(tasks: Sequence[Task], timers: Mapping[int, Timer]) -> Scheduled:
    return Scheduled(tuple((tasks[place], timer.next_run.timestamp()) for place, timer in timers.items()))


async def _sleep(clock: Clock, until: float, wakes: Sequence[asyncio.Event]) -> None:
    """Wait until that time, or for the first of several events."""
    async with asyncio.TaskGroup() as group:
        sleepers = [group.create_task(clock.sleep_until(until, wake)) for wake in wakes]
        await asyncio.wait(sleepers, return_when=asyncio.FIRST_COMPLETED)
        for sleeper in sleepers:
            sleeper.cancel()
