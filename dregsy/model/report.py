"""What happened: decisions, outcomes, the report of a task's run, and the events on the way."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from dregsy.errors import DregsyError, Problem
from dregsy.model.digest import Digest
from dregsy.model.plan import Copy, Rule, Task
from dregsy.model.ref import Ref


class Reason(StrEnum):
    """Why a target needs a copy, or why not."""

    MISSING = "missing"
    CHANGED = "changed"
    CURRENT = "current"
    IMMUTABLE = "immutable"
    """The target has a tag of that name, and the mapping says that this is enough (``skip-existing``)."""


class Status(StrEnum):
    """How it ended for one target."""

    COPIED = "copied"
    CURRENT = "current"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a comparison of source and targets says about each of ``copy.targets``, in order.

    A Failure stands where a target could not be asked.
    """

    copy: Copy
    reasons: "tuple[Reason | Failure, ...]"


@dataclass(frozen=True, slots=True)
class Moved:
    """What one target took: bytes read for it, bytes sent to it, and how its blobs got there; None is not known.

    Where one read feeds several targets, only the first of them counts ``bytes_read``.
    """

    digest: Digest
    bytes_read: int | None = None
    bytes_written: int | None = None
    blobs_moved: int | None = None
    blobs_mounted: int | None = None
    blobs_skipped: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """An error made portable: its kind (as in dregsy.errors), what happened, and what to do now.

    ``retryable`` tells whether another attempt may succeed.
    """

    kind: str
    message: str
    hint: str = ""
    retryable: bool = False

    @classmethod
    def of(cls, error: DregsyError) -> Self:
        """Describe ``error``."""
        return cls(error.kind, error.message, error.hint, bool(getattr(error, "retryable", False)))

    def __str__(self) -> str:
        return f"{self.message} — {self.hint}" if self.hint else self.message


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended for one image and one target; ``target`` is None where no target was reached at all."""

    copy: Copy
    target: Ref | None
    status: Status
    seconds: float = 0.0
    moved: Moved | None = None
    reason: Reason | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Unlisted:
    """Images that could not be found out, though another attempt may succeed: of a rule, or of a repository of it.

    With ``tags`` only these are meant: their dates could not be read, while others were. ``outcomes`` are what is to
    be reported unless it does.
    """

    outcomes: tuple[Outcome, ...]
    rule: Rule
    repository: str | None = None
    tags: frozenset[str] = frozenset()

    @classmethod
    def among(
        cls, failed: Iterable[Outcome], rule: Rule, repository: str | None = None
    ) -> "Iterator[Outcome | Unlisted]":
        """Give what failed for good, and then all that may fare better, as one."""
        passing: list[Outcome] = []
        for one in failed:
            if one.failure is not None and one.failure.retryable:
                passing.append(one)
            else:
                yield one
        if passing:
            tags = frozenset(one.copy.source.tag for one in passing if one.copy.source.tag is not None)
            yield cls(tuple(passing), rule, repository, tags)


@dataclass(frozen=True, slots=True)
class Report:
    """One run of one task; times are seconds since the epoch.

    ``interrupted`` tells that the run was told to stop before it had looked at everything. ``saved`` is how many
    requests were not needed because registries listed the digests of many tags at once, or the journal knew.
    """

    task: Task
    started: float
    finished: float
    outcomes: tuple[Outcome, ...]
    warnings: tuple[str, ...] = ()
    interrupted: bool = False
    saved: int = 0

    @property
    def counts(self) -> Counter[Status]:
        """How many outcomes there are of each status."""
        return Counter(outcome.status for outcome in self.outcomes)

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The outcomes that failed."""
        return tuple(outcome for outcome in self.outcomes if outcome.status is Status.FAILED)

    @property
    def ok(self) -> bool:
        """Whether everything asked for is now at its targets."""
        done = {Status.COPIED, Status.CURRENT}
        return not self.interrupted and all(outcome.status in done for outcome in self.outcomes)


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A run of a task begins."""

    task: Task


@dataclass(frozen=True, slots=True)
class CopyFound:
    """A rule means this image; whether any target needs it is not known yet."""

    copy: Copy


@dataclass(frozen=True, slots=True)
class CopyStarted:
    """The relay starts to move an image; ``copy.targets`` are only those that need it, for ``reasons``."""

    copy: Copy
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class RelaySaid:
    """A tool that a relay runs printed a line; secrets are no longer in it."""

    copy: Copy
    line: str


@dataclass(frozen=True, slots=True)
class CopyProgress:
    """Something moved: ``bytes_read`` and ``bytes_written`` since the last such event of this copy.

    ``bytes_expected`` is how many more bytes will be written than was thought before; it is negative
    for those that turned out to be there. ``blob`` is set when that blob is whole at a target.
    """

    copy: Copy
    bytes_read: int = 0
    bytes_written: int = 0
    bytes_expected: int = 0
    blob: Digest | None = None


@dataclass(frozen=True, slots=True)
class CopyFinished:
    """It ended for one image and one target; also sent for targets that were up to date."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Warned:
    """Something a user should know that is no failure, such as a filter that matches nothing."""

    task: str
    message: str


@dataclass(frozen=True, slots=True)
class CopyRetried:
    """A copy failed and will be tried again after the others."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class TaskFinished:
    """A run of a task ended."""

    report: Report


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The config was read again. When ``ok`` it counts from now on, and has ``tasks``.

    Otherwise the one before goes on counting. ``problems`` are all that was found in the new one.
    ``timeout`` is the longest that a copy may take from now on, in seconds.
    """

    ok: bool
    problems: tuple[Problem, ...] = ()
    tasks: tuple[Task, ...] = ()
    timeout: float = 0.0


@dataclass(frozen=True, slots=True)
class Listening:
    """The status page, metrics and health are served below ``url``."""

    url: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """No task is due before ``until`` (seconds since the epoch); sent again now and then while that is so."""

    until: float


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Copies wait for pulls of the registry ``host``, which has too few left (``rate-limit``).

    It is asked again at ``until`` (seconds since the epoch). Sent at least once a minute while that is so.
    """

    host: str
    until: float


@dataclass(frozen=True, slots=True)
class Scheduled:
    """When tasks that have times run next, in seconds since the epoch; those without are left out."""

    times: tuple[tuple[Task, float], ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """A server answered a request of ours, with ``status``, or did not (0).

    ``host`` is as in its URL: that of a registry, or of a server that a registry sends its clients to.
    ``remaining`` is how many requests it says that it will still take, of ``limit`` in all.
    """

    host: str
    method: str
    status: int
    remaining: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class RequestRetried:
    """A request to a registry is sent again after a passing fault."""

    host: str


@dataclass(frozen=True, slots=True)
class LoginFetched:
    """A cloud gave a login for its registry ``host``, good until ``expires`` (seconds since the epoch)."""

    host: str
    expires: float


Event = (
    TaskStarted
    | CopyFound
    | CopyStarted
    | CopyProgress
    | RelaySaid
    | CopyRetried
    | CopyFinished
    | Warned
    | TaskFinished
    | Reloaded
    | Listening
    | Waiting
    | HeldBack
    | Scheduled
    | Answered
    | RequestRetried
    | LoginFetched
)
Listener = Callable[[Event], None]


class LastReports:
    """A listener that keeps the last report of each task.

    When the config is read again, how a task ended before stays known until that task, as named, has run again or is
    no more; where several share its name, until all of these have.
    """

    def __init__(self) -> None:
        self._tasks: tuple[Task, ...] = ()
        self._before: tuple[Report, ...] = ()
        self._now: dict[int, Report] = {}

    def __call__(self, event: Event) -> None:
        """Take note of a task that ended, or of other tasks."""
        match event:
            case TaskFinished(report):
                self._now[id(report.task)] = report
            case Reloaded(ok=True, tasks=tasks):
                names = {task.name for task in tasks}
                self._before = tuple(one for one in self.reports if one.task.name in names)
                self._now = {}
                self._tasks = tasks

    @property
    def reports(self) -> tuple[Report, ...]:
        """The last report of each task, in the order in which they first ended."""
        due = {task.name for task in self._tasks if id(task) not in self._now}
        return (*(one for one in self._before if one.task.name in due), *self._now.values())
