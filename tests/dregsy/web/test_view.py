from dregsy.model.plan import Cron, Every, Once
from dregsy.model.report import Answered, CopyProgress, CopyStarted, Scheduled, TaskStarted, Warned
from dregsy.web.view import when
from tests.dregsy.web.stage import NOW, Stage, copied, copy, failed, task


async def test_states() -> None:
    """What a task does now, or what it waits for."""
    tasks = (task("a"), task("b", Cron("0 4 * * *")), task("c", Once()), task("d"), task("e", Once()))
    async with Stage(*tasks) as stage:
        stage(Scheduled(((tasks[0], NOW + 60), (tasks[1], NOW - 1), (tasks[3], NOW + 60))))
        stage.ran(which=4)
        stage.time = NOW
        stage(TaskStarted(tasks[0]))
        stage.orders.pause("b")
        stage.orders.run_now("e")
        first = [one["state"] for one in stage.view.tasks()["tasks"]]
        stage.orders.take()
        stage.orders.resume("b")
        second = [one["state"] for one in stage.view.tasks()["tasks"]]

    assert first == ["running", "paused", "due", "waiting", "due"]
    assert second == ["running", "due", "due", "waiting", "done"]


async def test_a_task() -> None:
    """Its schedule, its registries, when it runs next, and how it did."""
    tasks = (task("nightly", Every(3600), "b.test", "c.test"), task("once", Once()))
    async with Stage(*tasks) as stage:
        stage.ran(copied("1"), failed("2"))
        stage(Scheduled(((tasks[0], NOW + 3600),)))
        one, once = stage.view.tasks()["tasks"]

    assert once["schedule"] == {"kind": "once", "seconds": None, "cron": None}
    assert one == {
        "name": "nightly",
        "schedule": {"kind": "interval", "seconds": 3600, "cron": None},
        "source": "a.test",
        "targets": ["b.test", "c.test"],
        "state": "waiting",
        "paused": False,
        "next_run": "2023-11-14T23:13:20Z",
        "run": None,
        "last_run": {
            "started": "2023-11-14T22:13:20Z",
            "finished": "2023-11-14T22:13:30Z",
            "seconds": 10.0,
            "ok": False,
            "interrupted": False,
            "copied": 1,
            "current": 0,
            "failed": 1,
            "cancelled": 0,
        },
    }


async def test_copies() -> None:
    """What moved, of how much as far as that is known, and for how long."""
    async with Stage() as stage:
        one, other = copy("1", "c.test", "b.test"), copy("2")
        stage(TaskStarted(stage.tasks[0]), CopyStarted(one), CopyStarted(other), CopyProgress(one, 50, 40, 100))
        stage.time += 2.04
        first, second = stage.view.copies()["copies"]

    assert (first["source"], first["targets"]) == ("a.test/app:1", ["b.test/app:1", "c.test/app:1"])
    assert (first["bytes_read"], first["bytes_written"], first["bytes_expected"], first["seconds"]) == (
        50,
        40,
        100,
        2.0,
    )
    assert (second["bytes_written"], second["bytes_expected"]) == (0, None)


async def test_failures_limits_notices_and_the_past() -> None:
    """Failures with their reasons, hosts with their limits, warnings and history: the newest at the front."""
    async with Stage() as stage:
        stage.ran(copied("1"), failed("2", "no\x1b route"))
        stage(Answered("a.test", "GET", 200, 7, 100), Warned("", "first"), Warned("nightly", "second"))
        status, past = stage.view.status(), await stage.view.past()
        story = await stage.view.past("b.test/app:1")

    (failure,) = status["failures"]
    assert (failure["source"], failure["target"], failure["kind"]) == ("a.test/app:2", "b.test/app:2", "unreachable")
    assert (failure["message"], failure["hint"], failure["where"]) == ("no  route", "start it", "sync.yaml:7")
    assert status["limits"] == [{"host": "a.test", "remaining": 7, "most": 100, "at": when(NOW + 10)}]
    assert [(one["task"], one["message"]) for one in status["notices"]] == [("nightly", "second"), (None, "first")]
    assert [one["status"] for one in past["history"]] == ["failed", "copied"]
    assert [one["reason"] for one in story["history"]] == ["missing"]


async def test_trouble() -> None:
    """A scheduler that is stuck is told as /healthz tells it."""
    async with Stage() as stage:
        stage.time += 1000
        found = stage.view.summary()

    assert (found["ok"], found["ready"]) == (False, False)
    assert found["trouble"] == "the scheduler is stuck: it has not looked at its tasks for 1000 s"


def test_times() -> None:
    """One beyond all calendars is the last that there is."""
    assert [when(NOW), when(1e15)] == ["2023-11-14T22:13:20Z", "9999-12-31T23:59:59Z"]
