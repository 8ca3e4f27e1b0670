"""Runs of tasks, as reports and messages tell of them."""

from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Once, Schedule, Task
from dregsy.model.ref import Ref
from dregsy.model.report import Failure, Moved, Outcome, Reason, Report, Status

DIGEST = Digest.of(b"image")
NASTY = "a|b\n<img src=x> ![x](http://evil.test/) `id` *x* <!channel> & \x1b[31m\x00"


def task(name: str = "nightly", schedule: Schedule | None = None) -> Task:
    """Return a task between two registries."""
    return Task(name, schedule or Once(), Endpoint("a.test"), (Endpoint("b.test"),), ())


def copy(tag: str, name: str = "nightly") -> Copy:
    """Return a copy of a tag, whose digest is known."""
    return Copy(name, Ref("a.test", "app", tag, DIGEST), (Ref("b.test", "app", tag),), (0,), where="sync.yaml:8")


def copied(tag: str) -> Outcome:
    """An image that was copied."""
    one = copy(tag)
    return Outcome(one, one.targets[0], Status.COPIED, 1.5, Moved(DIGEST, 10, 2000, 1, 0, 0), Reason.MISSING)


def current(tag: str) -> Outcome:
    """An image that was there."""
    one = copy(tag)
    return Outcome(one, one.targets[0], Status.CURRENT, reason=Reason.CURRENT)


def cancelled(tag: str) -> Outcome:
    """An image for which there was no time."""
    one = copy(tag)
    return Outcome(one, one.targets[0], Status.CANCELLED)


def failed(tag: str, message: str = "it broke", kind: str = "unreachable") -> Outcome:
    """An image that failed."""
    one = copy(tag)
    return Outcome(one, one.targets[0], Status.FAILED, 0.25, failure=Failure(kind, message, "mend it"))


def report(
    *outcomes: Outcome, of: Task | None = None, interrupted: bool = False, warnings: tuple[str, ...] = ()
) -> Report:
    """A run that took ten seconds, in 1970."""
    return Report(of or task(), 1000.0, 1010.0, outcomes, warnings, interrupted)
