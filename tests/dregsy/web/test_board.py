import pytest

from dregsy.errors import Problem
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy
from dregsy.model.ref import Ref
from dregsy.model.report import (
    Answered,
    CopyFinished,
    CopyFound,
    CopyProgress,
    CopyRetried,
    CopyStarted,
    Event,
    Failure,
    Outcome,
    Reloaded,
    Report,
    Scheduled,
    Status,
    TaskFinished,
    TaskStarted,
    Warned,
)
from dregsy.web.board import FAILURES, HOSTS, NOTICES, Board, Limit
from tests.dregsy.web.stage import copied, copy, current, failed, task


class Watched:
    """A board at a time that is set by hand."""

    def __init__(self) -> None:
        self.time = 100.0
        self.tasks = [task(), task("other")]
        self.board = Board(self.tasks, now=lambda: self.time)

    def __call__(self, *events: Event) -> None:
        """Something happens."""
        for event in events:
            self.board(event)

    def run(self, *outcomes: Outcome, which: int = 0, interrupted: bool = False) -> None:
        """A run begins and ends."""
        started = self.time
        self(TaskStarted(self.tasks[which]), *map(CopyFinished, outcomes))
        self.time += 10.0
        self(TaskFinished(Report(self.tasks[which], started, self.time, outcomes, interrupted=interrupted)))

    @property
    def failing(self) -> list[str | None]:
        """The tags of what fails."""
        return [one.outcome.copy.source.tag for one in self.board.failures]


@pytest.fixture
def watched() -> Watched:
    """Return a board of two tasks."""
    return Watched()


def test_a_run(watched: Watched) -> None:
    """While it lasts images are counted once for each target; then its counts are those of the report."""
    two = copy("1", "b.test", "c.test")
    watched(TaskStarted(watched.tasks[0]), CopyFound(two), CopyStarted(two), CopyProgress(two, 500, 300, 900))
    watched(CopyFinished(Outcome(two, two.targets[0], Status.COPIED)))
    entry = watched.board.entries[0]
    assert entry.run is not None
    running = entry.run.found, entry.run.counts.total(), entry.run.bytes_written
    flights = [(one.pending, one.written, one.expected, one.read) for one in watched.board.flights.values()]
    watched(TaskFinished(Report(watched.tasks[0], 100.0, 130.0, (copied(), failed()))))

    assert running == (2, 1, 300)
    assert flights == [({two.targets[1]}, 300, 900, 500)]
    assert ([one.run for one in watched.board.entries], len(watched.board.flights)) == ([None, None], 0)
    assert entry.past is not None
    assert (entry.past.ok, entry.past.counts[Status.COPIED], entry.past.finished) == (False, 1, 130.0)


def test_times_belong_to_tasks(watched: Watched) -> None:
    """Also where two have the same name: it is the task itself that counts."""
    watched(Scheduled(((watched.tasks[1], 500.0),)))

    assert [entry.next_run for entry in watched.board.entries] == [None, 500.0]


def test_what_is_tried_again_is_no_failure_yet(watched: Watched) -> None:
    """Its copy is no longer under way, and nothing is counted."""
    one = copy()
    watched(TaskStarted(watched.tasks[0]), CopyFound(one), CopyStarted(one), CopyRetried(failed()))

    run = watched.board.entries[0].run
    assert run is not None
    assert (watched.board.flights, run.counts.total(), watched.failing) == ({}, 0, [])


def test_what_could_not_be_listed(watched: Watched) -> None:
    """A repository that has no target yet is a failure, and counts among what was found."""
    source = Copy("nightly", Ref("a.test", "app"), (), (), where="sync.yaml:7")
    watched(TaskStarted(watched.tasks[0]))
    watched(CopyFinished(Outcome(source, None, Status.FAILED, failure=Failure("not-found", "gone"))))

    run = watched.board.entries[0].run
    assert run is not None
    assert (run.found, watched.failing) == (1, [None])


def test_failures_last_until_they_are_over(watched: Watched) -> None:
    """What succeeds, or is not seen in a run that came to its end, fails no longer; other tasks' failures stay."""
    watched.run(failed("1"), failed("2"), failed("3"))
    watched.run(failed("x", name="other"), which=1)
    watched.run(failed("1"), current("2"), interrupted=True)
    interrupted = watched.failing
    watched.run(failed("1"))

    assert interrupted == ["1", "x", "3"]
    assert watched.failing == ["1", "x"]


def test_tasks_of_one_name_fail_each_for_itself(watched: Watched) -> None:
    """A run of one forgets nothing of the other, also after the config was read again; what is gone is forgotten."""
    watched.tasks = [task("same"), task("same")]
    watched(Reloaded(ok=True, tasks=tuple(watched.tasks)))
    watched.run(failed("1", name="same"), failed("2", name="same"), which=1)
    watched.run(failed("2", name="same"), copied("3", name="same"))
    both = watched.failing
    watched.tasks = [task("same"), task("same")]
    watched(Reloaded(ok=True, tasks=tuple(watched.tasks)))
    watched.run(copied("2", name="same"))
    other = watched.failing, [entry.past and entry.past.ok for entry in watched.board.entries]
    watched(Reloaded(ok=True, tasks=(task("same"),)))

    assert both == ["2", "2", "1"]
    assert other == (["2", "1"], [True, False])
    assert watched.failing == []


def test_memory_has_bounds(watched: Watched) -> None:
    """However much fails, however many hosts there are and warnings come, the newest are remembered."""
    watched(TaskStarted(watched.tasks[0]))
    for number in range(10_000):
        watched(CopyFinished(failed(str(number))), CopyFinished(copied(f"ok-{number}")))
        watched(Answered(f"{number}.test", "GET", 200, number), Warned("nightly", str(number)))

    assert watched.failing == [str(9999 - number) for number in range(FAILURES)]
    assert len(watched.board.limits) == HOSTS
    assert [one.message for one in watched.board.notices] == [
        str(10_000 - NOTICES + number) for number in range(NOTICES)
    ]
    assert watched.board.flights == {}


def test_limits(watched: Watched) -> None:
    """A host's limit is what it says, else the most that was left; answers without a count change nothing."""
    watched(
        Answered("a.test", "GET", 200, 76, 100), Answered("b.test", "GET", 200, 50), Answered("b.test", "GET", 200, 49)
    )
    watched(Answered("b.test", "GET", 200), Answered("c.test", "GET", 0))

    assert watched.board.limits == {"a.test": Limit(76, 100, 100.0), "b.test": Limit(49, 50, 100.0)}


def test_another_config(watched: Watched) -> None:
    """Tasks of the same name keep how they did; what is about others goes. One that is refused changes no task."""
    watched.run(failed("1"))
    watched.run(failed("2", name="other"), which=1)
    watched(Reloaded(ok=False, problems=(Problem("sync.yaml", 3, "tasks", "is wrong"),)))
    refused = watched.board.refused, [entry.task.name for entry in watched.board.entries]
    new = (task("nightly"), task("third"))
    watched(Reloaded(ok=True, tasks=new))

    assert refused == (("sync.yaml:3: tasks: is wrong",), ["nightly", "other"])
    assert [(entry.task.name, entry.past is not None) for entry in watched.board.entries] == [
        ("nightly", True),
        ("third", False),
    ]
    assert (watched.failing, watched.board.refused) == (["1"], ())
    assert [entry.task.source for entry in watched.board.names("third")] == [Endpoint("a.test")]
