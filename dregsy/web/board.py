"""What there is to see of a running dregsy: a listener that keeps the last of everything, and no more than that.

However many images there are, it remembers only so many failures, hosts and notices. Names and reasons are kept as
they came: whoever shows them escapes them.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from dregsy.model.plan import Copy, Task
from dregsy.model.ref import Ref
from dregsy.model.report import (
    Answered,
    CopyFinished,
    CopyFound,
    CopyProgress,
    CopyRetried,
    CopyStarted,
    Event,
    Outcome,
    Reloaded,
    Report,
    Scheduled,
    Status,
    TaskFinished,
    TaskStarted,
    Warned,
)

FAILURES = 100
"""How many failures are remembered; the oldest go first."""
HOSTS = 50
"""How many hosts are remembered that tell how many more requests they take."""
NOTICES = 20
"""How many warnings are remembered."""


@dataclass(slots=True)
class Run:
    """A run in progress, in which so many images were ``found``, counted once for each target."""

    started: float
    found: int = 0
    counts: Counter[Status] = field(default_factory=Counter)
    bytes_written: int = 0


@dataclass(frozen=True, slots=True)
class Past:
    """A run that ended."""

    started: float
    finished: float
    counts: Counter[Status]
    ok: bool
    interrupted: bool


@dataclass(slots=True)
class Entry:
    """A task, when it runs next, and how it did; ``which`` tells tasks that share a name apart, by their order."""

    task: Task
    which: int = 0
    next_run: float | None = None
    run: Run | None = None
    past: Past | None = None

    @property
    def key(self) -> tuple[str, int]:
        """What stays when the config is read again."""
        return self.task.name, self.which


@dataclass(slots=True)
class Flight:
    """A copy that is under way to those targets that are ``pending``."""

    copy: Copy
    started: float
    pending: set[Ref]
    expected: int = 0
    written: int = 0
    read: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """An image that failed, and when."""

    at: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Limit:
    """How many more requests a host takes of ``most``, and when it said so.

    Where it does not say of how many, ``most`` is the most that were left.
    """

    remaining: int
    most: int
    at: float


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning, of a task or of none in particular."""

    at: float
    task: str
    message: str


class Board:
    """A listener that knows how ``tasks`` do, and those that take their place when the config is read again."""

    def __init__(self, tasks: Sequence[Task], now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.started = now()
        self.entries = list(_entries(tasks))
        self.flights: dict[Copy, Flight] = {}
        self.limits: dict[str, Limit] = {}
        self.notices: deque[Notice] = deque(maxlen=NOTICES)
        self.refused: tuple[str, ...] = ()
        """What is wrong with the config that was read last, and is not used."""
        self._failures: dict[tuple[tuple[str, int], str, str], Failed] = {}

    @property
    def failures(self) -> list[Failed]:
        """What failed, and was not seen to succeed since; the last at the front."""
        return list(reversed(self._failures.values()))

    def names(self, task: str) -> Iterator[Entry]:
        """Give the tasks of a name."""
        return (entry for entry in self.entries if entry.task.name == task)

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case CopyProgress():
                self._moved(event)
            case Answered(host, _, _, remaining, limit) if remaining is not None:
                self._limited(host, remaining, limit)
            case Scheduled(times):
                for task, moment in times:
                    for entry in self._of(task):
                        entry.next_run = moment
            case Warned(task, message):
                self.notices.append(Notice(self._now(), task, message))
            case Reloaded(ok=ok, tasks=tasks, problems=problems):
                self.refused = () if ok else tuple(str(one) for one in problems[:NOTICES])
                if ok:
                    self._take_up(tasks)
            case _:
                self._running(event)

    def _running(self, event: Event) -> None:
        match event:
            case TaskStarted(task):
                self.flights.clear()
                for entry in self._of(task):
                    entry.run = Run(self._now())
            case CopyFound(copy):
                for run in self._runs(copy):
                    run.found += len(copy.targets)
            case CopyStarted(copy):
                self.flights[copy] = Flight(copy, self._now(), set(copy.targets))
            case CopyRetried(outcome):
                self._landed(outcome)
            case CopyFinished(outcome):
                self._landed(outcome)
                self._finished(outcome)
            case TaskFinished(report):
                self._ended(report)

    def _of(self, task: Task) -> Iterator[Entry]:
        return (entry for entry in self.entries if entry.task is task)

    def _runs(self, copy: Copy) -> Iterator[Run]:
        """Give the run that a copy belongs to."""
        return (entry.run for entry in self._running_of(copy) if entry.run is not None)

    def _running_of(self, copy: Copy) -> Iterator[Entry]:
        """Give the task that a copy belongs to: only one runs at a time, also of those that share a name."""
        return (entry for entry in self.entries if entry.run is not None and entry.task.name == copy.task)

    def _moved(self, event: CopyProgress) -> None:
        flight = self.flights.get(event.copy)
        if flight is not None:
            flight.expected += event.bytes_expected
            flight.written += event.bytes_written
            flight.read += event.bytes_read
        if event.bytes_written:
            for run in self._runs(event.copy):
                run.bytes_written += event.bytes_written

    def _limited(self, host: str, remaining: int, limit: int | None) -> None:
        before = self.limits.get(host)
        if before is None and len(self.limits) >= HOSTS:
            return
        most = limit if limit is not None else max(remaining, before.most if before else 0)
        self.limits[host] = Limit(remaining, most, self._now())

    def _landed(self, outcome: Outcome) -> None:
        """A copy is over for one of its targets, or for all; its name may have got a digest on the way."""
        for copy, flight in list(self.flights.items()):
            if copy.source == outcome.copy.source:
                flight.pending -= set(copy.targets) if outcome.target is None else {outcome.target}
                if not flight.pending:
                    del self.flights[copy]

    def _finished(self, outcome: Outcome) -> None:
        for run in self._runs(outcome.copy):
            run.counts[outcome.status] += 1
            run.found += outcome.target is None  # what could not even be looked for
        of = next((entry.key for entry in self._running_of(outcome.copy)), (outcome.copy.task, 0))
        key = of, str(outcome.copy.source.name), f"{outcome.copy.source.tag} {outcome.target}"
        self._failures.pop(key, None)
        if outcome.status is Status.FAILED:
            self._failures[key] = Failed(self._now(), outcome)
            if len(self._failures) > FAILURES:
                del self._failures[next(iter(self._failures))]

    def _ended(self, report: Report) -> None:
        """A run that came to its end tells all that fails now: what failed before, it saw succeed or go."""
        self.flights.clear()
        for entry in self._of(report.task):
            began = entry.run.started if entry.run is not None else report.started
            entry.run = None
            entry.past = Past(report.started, report.finished, report.counts, report.ok, report.interrupted)
            if not report.interrupted:
                self._forget(entry.key, before=began)

    def _take_up(self, tasks: Sequence[Task]) -> None:
        """Begin with other tasks; how those of the same name did stays known."""
        pasts = {entry.key: entry.past for entry in self.entries}
        self.entries = list(_entries(tasks))
        for entry in self.entries:
            entry.past = pasts.pop(entry.key, None)
        self.flights.clear()
        for gone in pasts:
            self._forget(gone)

    def _forget(self, task: tuple[str, int], before: float = float("inf")) -> None:
        """Forget what failed of a task before that time."""
        self._failures = {key: one for key, one in self._failures.items() if key[0] != task or one.at >= before}


def _entries(tasks: Sequence[Task]) -> Iterator[Entry]:
    """Give a blank entry for each task."""
    seen = Counter[str]()
    for task in tasks:
        yield Entry(task, seen[task.name])
        seen[task.name] += 1
