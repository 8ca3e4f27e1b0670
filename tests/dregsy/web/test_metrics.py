import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase

from dregsy import __version__
from dregsy.model.plan import Task
from dregsy.model.report import (
    Answered,
    CopyFinished,
    CopyFound,
    CopyProgress,
    CopyRetried,
    CopyStarted,
    Failure,
    LoginFetched,
    Outcome,
    Reason,
    Reloaded,
    Report,
    Status,
    TaskFinished,
    TaskStarted,
)
from dregsy.web.metrics import Metrics
from tests.dregsy.web.events import Book, copy, rule, task
from tests.testbed.asking import figures

FAILURE = Failure("not-found", "there is no such image")


def report(task: Task, *outcomes: Outcome, finished: float = 1010.0, interrupted: bool = False) -> TaskFinished:
    """Return the end of a run that began ten seconds ago."""
    return TaskFinished(Report(task, finished - 10, finished, outcomes, interrupted=interrupted, saved=3))


def outcome(status: Status, *, where: str = "sync.yaml:1", reason: Reason | None = None) -> Outcome:
    """Return how an image ended at its first target."""
    one = copy("v1", where=where)
    return Outcome(one, one.targets[0], status, reason=reason, failure=FAILURE if status is Status.FAILED else None)


@pytest.mark.parametrize(
    ("status", "interrupted", "result"),
    [
        (Status.COPIED, False, "succeeded"),
        (Status.FAILED, False, "failed"),
        (Status.FAILED, True, "failed"),
        (Status.CANCELLED, False, "interrupted"),
        (Status.COPIED, True, "interrupted"),
    ],
)
def test_runs_by_result(status: Status, interrupted: bool, result: str) -> None:
    """A run succeeds, fails, or is cut short; all three are there from the start, as zeros."""
    book = Book(one := task())
    before = book.of("task_runs")

    book(TaskStarted(one), report(one, outcome(status), interrupted=interrupted))

    assert before == {
        f'task_runs_total{{result="{end}",task="nightly"}}': 0 for end in ("succeeded", "failed", "interrupted")
    }
    assert book.of("task_runs") == before | {f'task_runs_total{{result="{result}",task="nightly"}}': 1}
    assert book.of("task_last_run_d") == {'task_last_run_duration_seconds{task="nightly"}': 10}
    assert book.of("requests_saved") == {'requests_saved_total{task="nightly"}': 3}


def test_time_since_the_last_success() -> None:
    """It grows while nothing succeeds, a failure does not touch it, and before the first success there is none."""
    book = Book(one := task())
    before = {**book.of("task_since"), **book.of("task_last_success")}
    book(report(one, finished=1010.0))
    book.time = 1100.0
    book(report(one, outcome(Status.FAILED), finished=1090.0))

    assert before == {}
    assert book.of("task_since") == {'task_since_success_seconds{task="nightly"}': 90}
    assert book.of("task_last_success") == {'task_last_success_timestamp_seconds{task="nightly"}': 1010}


@pytest.mark.parametrize(
    ("status", "interrupted", "well"), [(Status.FAILED, False, 0), (Status.COPIED, True, 0), (Status.CURRENT, False, 1)]
)
def test_whether_the_last_run_succeeded(status: Status, interrupted: bool, well: int) -> None:
    """That is told after the first run, of the last one alone, and goes with the task."""
    book = Book(one := task())
    states = [book.of("task_last_run_s")]
    book(report(one, outcome(Status.COPIED if well == 0 else Status.FAILED)))
    book(report(one, outcome(status), interrupted=interrupted))
    states.append(book.of("task_last_run_s"))
    book(Reloaded(ok=True, tasks=(task("other"),)))
    states.append(book.of("task_last_run_s"))

    assert states == [{}, {'task_last_run_succeeded{task="nightly"}': well}, {}]


def test_copies_by_outcome_and_reason() -> None:
    """Why it was copied, or left alone, and of a failure its kind."""
    book = Book(task())
    for one in (
        outcome(Status.COPIED, reason=Reason.MISSING),
        outcome(Status.COPIED, reason=Reason.MISSING),
        outcome(Status.CURRENT, reason=Reason.IMMUTABLE),
        outcome(Status.FAILED, reason=Reason.CHANGED),
        outcome(Status.CANCELLED),
    ):
        book(CopyFinished(one))
    book(CopyRetried(outcome(Status.FAILED)))

    assert book.of("copies_total") == {
        'copies_total{outcome="copied",reason="missing",task="nightly"}': 2,
        'copies_total{outcome="current",reason="immutable",task="nightly"}': 1,
        'copies_total{outcome="failed",reason="not-found",task="nightly"}': 1,
        'copies_total{outcome="cancelled",reason="",task="nightly"}': 1,
    }
    assert book.of("copies_retried") == {'copies_retried_total{task="nightly"}': 1}


def test_bytes() -> None:
    """Read and written while they move; saved is what a target turned out to have."""
    book = Book(task())
    one = copy("v1")
    book(CopyProgress(one, bytes_expected=70), CopyProgress(one, bytes_expected=30), CopyProgress(one, bytes_read=70))
    book(CopyProgress(one, bytes_written=70), CopyProgress(one, bytes_expected=-30))

    found = {**book.of("read_bytes"), **book.of("written_bytes"), **book.of("saved_bytes")}

    assert list(found.values()) == [70, 70, 30]


def test_queue() -> None:
    """What is found waits, then it runs, then it is neither; with the run all of that ends."""
    book = Book(one := task())
    image = copy("v1")
    states: list[Sequence[float]] = []
    for event in (
        TaskStarted(one),
        CopyFound(image),
        CopyStarted(image.only([0])),
        CopyRetried(outcome(Status.FAILED)),
        CopyFinished(outcome(Status.COPIED)),
        report(one),
    ):
        book(event)
        states.append([*book.of("copies_queued").values(), *book.of("copies_running").values()])

    assert states == [[0, 0], [2, 0], [1, 1], [2, 0], [1, 0], [0, 0]]


def test_reloads() -> None:
    """A config that was refused shows at once, and until one is accepted."""
    book = Book(task())
    states: list[Sequence[float]] = [list(book.of("config").values())]
    for ok in (False, True):
        book.time += 1.0
        book(Reloaded(ok=ok, tasks=(task(),)))
        states.append(list(book.of("config").values()))

    assert list(book.of("config")) == [
        'config_reloads_total{result="accepted"}',
        'config_reloads_total{result="refused"}',
        "config_last_reload_successful",
        "config_last_reload_success_timestamp_seconds",
    ]
    assert states == [[0, 0, 1, 1000], [0, 1, 0, 1000], [1, 1, 1, 1002]]


def test_what_is_gone_from_the_config_is_gone() -> None:
    """Tasks, mappings and registries that the new config has no more are told no more; the others go on."""
    old = task("old", rule("app", 1), source="old.test")
    kept = task("kept", rule("app", 2), rule("lib", 3))
    book = Book(old, kept)
    book(CopyFinished(Outcome(copy("v1", task="old"), None, Status.COPIED)), report(old), report(kept))
    book(Answered("old.test", "GET", 200), LoginFetched("old.test", 5.0), Answered("a.test", "GET", 200))

    book(Reloaded(ok=True, tasks=(task("kept", rule("app", 7)),)))

    found = book.of("")
    assert [name for name in found if "old" in name or "lib" in name] == []
    assert found['task_runs_total{result="succeeded",task="kept"}'] == 1
    assert found['mapping_last_success_timestamp_seconds{mapping="app",task="kept"}'] == 1010
    assert found['requests_total{host="a.test",method="GET",status="200"}'] == 1


def test_what_runs() -> None:
    """The version, and what the kernel tells of the process."""
    book = Book()
    found = figures(generate_latest(book.metrics.registry).decode())

    assert book.of("build") == {f'build_info{{version="{__version__}"}}': 1}
    assert found["process_resident_memory_bytes"] > 0


def test_every_metric_is_documented() -> None:
    """The table in docs/metrics.md names each metric that there is, with its labels, and no other."""
    text = (Path(__file__).parents[3] / "docs/metrics.md").read_text()
    rows = re.findall(r"^\| `(dregsy_\w+)` \| ([^|]*)\|", text, re.MULTILINE)
    told = {name: tuple(re.findall(r"`(\w+)`", labels)) for name, labels in rows}

    metrics = Book().metrics
    assert told == dict(instruments(metrics))
    assert {family.name.split("_")[0] for family in metrics.registry.collect()} == {"dregsy", "process", "python"}


def instruments(metrics: Metrics) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name all metrics of our own and their labels, as Prometheus sees them."""
    for collector in metrics.registry._collector_to_names:
        if isinstance(collector, MetricWrapperBase):
            suffix = {"counter": "_total", "info": "_info"}.get(str(collector._type), "")
            labels = ("version",) if suffix == "_info" else tuple(collector._labelnames)
            yield f"{collector._name}{suffix}", labels
