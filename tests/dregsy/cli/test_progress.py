import io
from dataclasses import dataclass, replace

from rich.console import Console

from dregsy.cli.progress import ROWS, WINDOW, Progress, Rate
from dregsy.errors import Problem
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
    Event,
    Failure,
    Listening,
    Outcome,
    Reloaded,
    Report,
    Status,
    TaskFinished,
    TaskStarted,
    Warned,
)

TASK = Task("nightly", Once(), Endpoint("a.example"), (Endpoint("b.example"),), ())
ONE, OTHER = Ref("b.example", "app", "1"), Ref("c.example", "app", "1")
COPY = Copy("nightly", Ref("a.example", "app", "1", Digest.of(b"")), (ONE, OTHER), (0, 1))
FAILURE = Failure("unreachable", "no [red]answer[/red]\x1b[2J")


@dataclass
class Clock:
    """Seconds that pass when told to."""

    time: float = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.time


def shown(*events: Event) -> tuple[str, str]:
    """Return what is written above the display, and the display itself, after ``events``."""
    said, drawn = io.StringIO(), io.StringIO()
    progress = Progress(Console(file=said, width=200), Clock())
    for event in events:
        progress(event)
    Console(file=drawn, width=160).print(progress)
    return said.getvalue(), drawn.getvalue()


def outcome(target: Ref | None, status: Status) -> Outcome:
    """Make an outcome of the copy."""
    return Outcome(COPY, target, status, failure=FAILURE if status is Status.FAILED else None)


def test_nothing_runs() -> None:
    """Between tasks there is nothing to see."""
    assert shown()[1].strip() == ""


def test_copies_in_flight() -> None:
    """A copy in flight has a row with its layers and bytes, and the task sums them up."""
    moves = [CopyProgress(COPY, 0, 1_000_000), CopyProgress(COPY, 0, 500_000, blob=Digest.of(b"x"))]

    _, drawn = shown(TaskStarted(TASK), CopyFound(COPY), CopyStarted(COPY), *moves)

    head, row = drawn.splitlines()
    assert head.split("  ") == [
        "nightly", "images 0/2", "0 copied", "0 up to date", "layers 1", "1.5 MB", "1.5 MB/s",
    ]  # fmt: skip
    assert row.split()[:4] == ["a.example/app:1", "->", "2", "targets"]
    assert row.split()[-4:] == ["layers", "1", "1.5", "MB"]


def test_a_relay_that_counts_nothing() -> None:
    """What nobody tells is not shown as nothing: there is a row, but neither layers nor bytes."""
    _, drawn = shown(TaskStarted(TASK), CopyFound(COPY), CopyStarted(COPY), CopyProgress(COPY, bytes_read=5))

    head, row = drawn.splitlines()
    assert head.split("  ") == ["nightly", "images 0/2", "0 copied", "0 up to date"]
    assert row.split()[:4] == ["a.example/app:1", "->", "2", "targets"]
    assert {"layers", "B"}.isdisjoint(row.split())


def test_bar_knows_how_much_is_to_come() -> None:
    """A row shows how much of what is expected has come; what turned out to be there is not expected."""
    moves = [CopyProgress(COPY, bytes_expected=3_000_000), CopyProgress(COPY, bytes_expected=-1_000_000)]

    _, drawn = shown(TaskStarted(TASK), CopyFound(COPY), CopyStarted(COPY), *moves, CopyProgress(COPY, 0, 500_000))

    assert "500 kB/2.0 MB" in drawn


def test_row_goes_with_the_last_target() -> None:
    """The row of a copy stays until its last target is settled."""
    begun = (TaskStarted(TASK), CopyFound(COPY), CopyStarted(COPY), CopyFinished(outcome(ONE, Status.COPIED)))

    half = shown(*begun)[1].splitlines()
    whole = shown(*begun, CopyFinished(outcome(OTHER, Status.COPIED)))[1].splitlines()

    assert ("images 1/2" in half[0], len(half)) == (True, 2)
    assert ("images 2/2" in whole[0], len(whole)) == (True, 1)


def test_images_up_to_date_count() -> None:
    """What needs no copy counts as settled."""
    _, drawn = shown(TaskStarted(TASK), CopyFound(COPY), CopyFinished(outcome(ONE, Status.CURRENT)))

    assert "images 1/2  0 copied  1 up to date" in drawn


def test_failures_are_written_as_they_come() -> None:
    """A failure is written above the display, at once, and a registry's words are no markup and no command."""
    said, drawn = shown(TaskStarted(TASK), CopyStarted(COPY), CopyFinished(outcome(None, Status.FAILED)))

    assert "failed: a.example/app:1: no [red]answer[/red] [2J" in said
    assert ("1 failed" in drawn, len(drawn.splitlines())) == (True, 1)


def test_retried_image_is_not_settled() -> None:
    """An image to be tried again counts as known, and is settled when it ends; also if its digest was unknown."""
    early = replace(outcome(ONE, Status.FAILED), copy=replace(COPY, source=COPY.source.with_tag("1")))
    found = CopyFound(replace(COPY, targets=(ONE,), to=(0,)))
    begun = (TaskStarted(TASK), found, CopyRetried(early))

    said, waiting = shown(*begun)
    _, again = shown(*begun, CopyStarted(replace(COPY, targets=(ONE,), to=(0,))))
    _, ended = shown(*begun, CopyFinished(outcome(ONE, Status.COPIED)))

    assert "retry: " in said
    assert ["images 0/1" in waiting, "images 0/1" in again, "images 1/1" in ended] == [True] * 3


def test_many_copies_fit_on_the_screen() -> None:
    """More copies than there are rows are counted instead."""
    copies = [replace(COPY, source=Ref("a.example", f"app{number}", "1")) for number in range(ROWS + 3)]

    _, drawn = shown(TaskStarted(TASK), *(CopyStarted(copy) for copy in copies))

    assert len(drawn.splitlines()) == ROWS + 2
    assert "… and 3 more" in drawn


def test_end_of_a_task_and_warnings() -> None:
    """A task's end is a line that stays; warnings, too."""
    said, drawn = shown(
        TaskStarted(TASK),
        Warned("nightly", "odd"),
        Warned("", "stopping"),
        Listening("http://127.0.0.1:8080/"),
        TaskFinished(Report(TASK, 0.0, 1.0, (outcome(ONE, Status.COPIED),))),
        TaskFinished(Report(TASK, 0.0, 1.0, (outcome(ONE, Status.FAILED),))),
    )

    assert said.splitlines() == [
        "warning: task 'nightly': odd",
        "warning: stopping",
        "listening: status page, metrics and health are at http://127.0.0.1:8080/",
        "done: task 'nightly': 1 copied, 0 up to date; 0 B in 1.0 s",
        "failed: task 'nightly': 0 copied, 0 up to date, 1 failed; 0 B in 1.0 s",
    ]
    assert drawn.strip() == ""


def test_stray_events_are_ignored() -> None:
    """Bytes of a copy that is no longer known, or of no task at all, break nothing."""
    assert shown(CopyProgress(COPY, 1, 1), CopyStarted(COPY))[1].strip() == ""
    assert "1 B" in shown(TaskStarted(TASK), CopyProgress(COPY, 1, 1))[1]


def test_display_lasts_as_long_as_its_with() -> None:
    """On a terminal the display is taken away at the end, and what was said stays."""
    stream = io.StringIO()

    with Progress(Console(file=stream, force_terminal=True, width=100)) as progress:
        progress(TaskStarted(TASK))
        progress(Warned("", "hello"))

    assert "hello" in stream.getvalue()
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 1


def test_rate_is_that_of_the_last_seconds() -> None:
    """The rate is taken over the last seconds only, and is that of what moved in them."""
    clock = Clock()
    rate = Rate(clock)
    assert float(rate) == 0.0

    for _ in range(4):
        rate.add(200)
        rate.add(50)
        clock.time += 0.25
    assert float(rate) == 1000.0

    clock.time += WINDOW
    assert float(rate) == 0.0
    rate.add(10)
    assert float(rate) == 10.0


def test_config_that_was_read_again() -> None:
    """A wrong config is told of with each problem, also while no task runs."""
    said, _ = shown(Reloaded(ok=False, problems=(Problem("f.yaml", 2, "b", "wrong"),)))

    assert "NOT used" in said.splitlines()[0]
    assert said.splitlines()[1:] == ["config: f.yaml:2: b: wrong"]
