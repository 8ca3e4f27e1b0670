import pytest

from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Once, Task
from dregsy.model.report import (
    Answered,
    CopyProgress,
    Event,
    HeldBack,
    Reloaded,
    Report,
    RequestRetried,
    TaskFinished,
    TaskStarted,
    Waiting,
    Warned,
)
from dregsy.scheduler import RECHECK
from dregsy.web.health import PATIENCE, Health
from tests.dregsy.web.events import copy

TASK = Task("nightly", Once(), Endpoint("a.test"), (Endpoint("b.test"),), ())
TIMEOUT = 3600.0


class Watch:
    """A health whose clock is set by hand."""

    def __init__(self) -> None:
        self.time = 0.0
        self.health = Health(TIMEOUT, now=lambda: self.time)

    def __call__(self, *events: Event) -> None:
        """Something happens."""
        for event in events:
            self.health(event)


@pytest.fixture
def watch() -> Watch:
    """Return a health at the beginning of time."""
    return Watch()


def test_ready_once_the_relay_is_up(watch: Watch) -> None:
    """It is ready when the first task runs or is waited for, and not while the relay is tried; it stays so."""
    before = watch.health.lack
    watch(Waiting(60.0))
    waiting = watch.health.lack
    watch(TaskStarted(TASK), TaskFinished(Report(TASK, 0.0, 1.0, ())))

    assert before.startswith("not ready: ")
    assert (waiting, watch.health.lack, watch.health.trouble) == ("", "", "")


def test_a_run_in_which_nothing_happens(watch: Watch) -> None:
    """Longer than a copy may take, and then some: the run is stuck; anything that happens in it proves otherwise."""
    watch(TaskStarted(TASK))
    watch.time = TIMEOUT + PATIENCE
    good = watch.health.trouble
    watch.time += 1.0
    stuck, lack = watch.health.trouble, watch.health.lack
    watch(CopyProgress(copy("v1"), bytes_read=1))

    assert (good, stuck) == ("", "the task 'nightly' is stuck: nothing has happened in it for 3901 s")
    assert (lack, watch.health.trouble) == (stuck, "")


def test_a_run_that_is_held_back(watch: Watch) -> None:
    """Copies that wait for pulls for hours are no run that is stuck, as long as they say so."""
    watch(TaskStarted(TASK))
    for _ in range(100):
        watch.time += 60.0
        watch(HeldBack("hub.test", 9e9))

    assert watch.time > TIMEOUT + PATIENCE
    assert watch.health.trouble == ""


def test_a_scheduler_that_looks_no_more(watch: Watch) -> None:
    """While no task runs, the scheduler has to say every minute that it waits."""
    watch(TaskStarted(TASK), TaskFinished(Report(TASK, 0.0, 1.0, ())), Waiting(9e9))
    watch.time = RECHECK + PATIENCE
    watch(Waiting(9e9))
    watch.time *= 2
    good = watch.health.trouble
    watch.time += 1.0

    assert (good, watch.health.trouble) == ("", "the scheduler is stuck: it has not looked at its tasks for 361 s")


@pytest.mark.parametrize("event", [Waiting(9e9), Answered("a.test", "GET", 200), RequestRetried("a.test")])
def test_who_waits_in_a_run_is_not_stuck(watch: Watch, event: Event) -> None:
    """A run may wait for longer than a copy may take, for a registry's quota, say, as long as it is heard of."""
    watch(TaskStarted(TASK))
    for _ in range(3):
        watch.time += TIMEOUT + PATIENCE
        watch(event)
    good = watch.health.trouble
    watch.time += TIMEOUT + PATIENCE + 1.0

    assert (good, "the task 'nightly' is stuck" in watch.health.trouble) == ("", True)


@pytest.mark.parametrize("event", [Warned("", "nothing"), Reloaded(ok=False)])
def test_what_is_no_sign_of_life(watch: Watch, event: Event) -> None:
    """What is said by others than scheduler and runs does not hide that these are stuck."""
    watch(TaskStarted(TASK))
    watch.time = TIMEOUT + PATIENCE + 1.0
    watch(event)

    assert "stuck" in watch.health.trouble


def test_another_config_has_other_limits(watch: Watch) -> None:
    """After the config was read again its own time limit counts."""
    watch(Reloaded(ok=True, timeout=2 * TIMEOUT), TaskStarted(TASK))
    watch.time = 2 * TIMEOUT + PATIENCE

    assert watch.health.trouble == ""
