"""A report counts what happened, and is only good when everything is where it should be."""

from dataclasses import replace

import pytest

from dregsy.errors import CredentialsError, RegistryError
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Once, Task
from dregsy.model.ref import Ref
from dregsy.model.report import (
    Failure,
    LastReports,
    Moved,
    Outcome,
    Reloaded,
    Report,
    Status,
    TaskFinished,
)

TASK = Task("t", Once(), Endpoint("a.io"), (Endpoint("b.io"),), ())
COPY = Copy("t", Ref.parse("a.io/x:1"), (Ref.parse("b.io/x:1"),), (0,))


def report(*statuses: Status, interrupted: bool = False) -> Report:
    """A report of outcomes of these statuses."""
    outcomes = tuple(Outcome(COPY, COPY.targets[0], status) for status in statuses)
    return Report(TASK, 0.0, 1.0, outcomes, interrupted=interrupted)


@pytest.mark.parametrize(
    ("statuses", "ok"),
    [
        ((), True),
        ((Status.COPIED, Status.CURRENT), True),
        ((Status.COPIED, Status.FAILED), False),
        ((Status.CURRENT, Status.CANCELLED), False),
    ],
)
def test_a_run_is_good_when_nothing_is_missing(statuses: tuple[Status, ...], ok: bool) -> None:
    """A failed or cancelled copy spoils it, and so does having been interrupted."""
    assert ok is report(*statuses).ok
    assert not report(*statuses, interrupted=True).ok


def test_outcomes_are_counted_and_failures_found() -> None:
    """Each status is counted, and the failures are there to be listed."""
    run = report(Status.COPIED, Status.FAILED, Status.COPIED)

    assert run.counts == {Status.COPIED: 2, Status.FAILED: 1}
    assert (run.outcomes[1],) == run.failures


def test_a_failure_tells_what_its_error_told() -> None:
    """Kind, message, hint and whether to try again survive; the error itself is let go."""
    error = RegistryError("busy", status=503, retryable=True, hint="wait")

    assert Failure("registry", "busy", "wait", retryable=True) == Failure.of(error)
    assert str(Failure.of(error)) == str(error) == "busy — wait"
    assert not Failure.of(CredentialsError("no", host="a.io")).retryable


def test_what_moved_is_unknown_by_default() -> None:
    """What a relay does not know it need not tell; that is not the same as nothing."""
    assert Moved(Digest.of(b""), None, None, None, None, None) == Moved(Digest.of(b""))
    assert Moved(Digest.of(b""), 0, 0) != Moved(Digest.of(b""))


def test_the_last_report_of_each_task_is_kept() -> None:
    """A task that runs again has its new report only; tasks of the same name are two tasks."""
    last, twin = LastReports(), replace(TASK)
    first, second, other = report(Status.FAILED), report(Status.COPIED), replace(report(), task=twin)

    for one in (first, other, second):
        last(TaskFinished(one))

    assert last.reports == (second, other)


def test_reports_outlive_a_new_config() -> None:
    """How a task ended stays known while it exists and has not run again."""
    last, new = LastReports(), replace(TASK)
    gone = replace(report(Status.FAILED), task=replace(TASK, name="gone"))
    good = replace(report(Status.COPIED), task=replace(TASK, name="good"))
    failed, again = report(Status.FAILED), replace(report(Status.COPIED), task=new)
    for one in (gone, good, failed):
        last(TaskFinished(one))

    last(Reloaded(ok=False))
    before = last.reports
    last(Reloaded(ok=True, tasks=(new, good.task)))
    after = last.reports
    last(TaskFinished(again))

    assert (before, after, last.reports) == ((gone, good, failed), (good, failed), (good, again))


def test_failures_of_a_name_that_several_have() -> None:
    """After a new config the run of one of them does not excuse the other, whose failure may be meant."""
    last, twins = LastReports(), (replace(TASK), replace(TASK))
    failed, again = report(Status.FAILED), [replace(report(Status.COPIED), task=twin) for twin in twins]
    last(TaskFinished(failed))
    last(Reloaded(ok=True, tasks=twins))

    last(TaskFinished(again[1]))
    one = last.reports
    last(TaskFinished(again[0]))

    assert (one, last.reports) == ((failed, again[1]), (again[1], again[0]))
