import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from dregsy.errors import DregsyError
from dregsy.model.endpoint import Secret
from dregsy.model.notify import Email, Occasion, Security, Slack, Subscription, Webhook
from dregsy.model.plan import Task
from dregsy.model.report import Event, Outcome, Reloaded, TaskFinished, TaskStarted, Warned
from dregsy.notify.memory import Memory
from dregsy.notify.notifier import QUEUE, Notifier, Ways, notifying
from dregsy.registry.retry import Backoff
from tests.dregsy.reports.runs import copied, current, failed, report, task
from tests.testbed.inbox import Hooks, MailServer

AT_ONCE = Backoff(attempts=3, patience=10.0, random=lambda: 0.0)
WAYS = Ways({}, backoff=AT_ONCE, flush=60.0)


def ended(*outcomes: Outcome, name: str = "nightly") -> TaskFinished:
    """A run of a task ended."""
    return TaskFinished(report(*outcomes, of=task(name)))


def occasions(hooks: Hooks) -> list[tuple[str, str]]:
    """Return what a webhook was told: the occasion and the task."""
    return [(data["occasion"], data["task"]) for data in (json.loads(one.body) for one in hooks.received)]


def webhook(hooks: Hooks, *on: Occasion) -> Subscription:
    """Subscribe a webhook to some occasions, or to the usual ones."""
    channel = Webhook(Secret(f"{hooks.url}/s3cret-token"), Secret("shared"))
    return Subscription(channel, frozenset(on)) if on else Subscription(channel)


async def tell(
    subscriptions: list[Subscription], *events: Event, memory: Memory | None = None, tasks: Sequence[Task] = ()
) -> list[str]:
    """Have events told, and return the warnings."""
    said: list[Event] = []
    async with notifying(subscriptions, memory or Memory(), WAYS, said.append, tasks) as notifier:
        for event in events:
            notifier(event)
    return [one.message for one in said if isinstance(one, Warned)]


async def test_each_task_for_itself() -> None:
    """What is told of one task does not keep anything back of another; other events are not worth a word."""
    with Hooks() as hooks:
        events: list[Event] = [
            *(TaskStarted(task()), ended(failed("1")), ended(failed("1"), name="other"), ended(failed("1"))),
            *(ended(current("1"), name="other"), ended(copied("1"))),
        ]
        assert await tell([webhook(hooks)], *events) == []

    assert occasions(hooks) == [
        *(("failure", "nightly"), ("failure", "other")),
        *(("recovery", "other"), ("recovery", "nightly")),
    ]


async def test_all_channels() -> None:
    """Each channel gets its form of the message; one that does not answer keeps no other waiting."""
    with Hooks() as hooks, Hooks() as slack, MailServer() as mails, Hooks(500, 500, 500) as broken:
        channels = [
            Subscription(Slack(Secret(f"{broken.url}/s3cret-token"))),
            webhook(hooks),
            Subscription(Slack(Secret(f"{slack.url}/x"))),
            Subscription(Email("127.0.0.1", mails.port, Security.NONE, "a@b.test", ("c@d.test",))),
        ]
        warnings = await tell(channels, ended(failed("1")))

    assert (len(hooks.received), len(slack.received), len(mails.mails), len(broken.received)) == (1, 1, 1, 3)
    assert warnings == [f"notify, slack {broken.host}: {broken.host} answered 500"]


async def test_what_was_not_delivered_is_told_the_next_time() -> None:
    """A failure that nobody heard of is told again by the next run that has it; a recovery from it is not."""
    memory = Memory()
    with Hooks(404, 200, 404) as hooks:
        assert len(await tell([webhook(hooks)], ended(failed("1")), memory=memory)) == 1
        assert await tell([webhook(hooks)], ended(failed("1")), ended(failed("1")), memory=memory) == []
        assert len(await tell([webhook(hooks)], ended(), memory=memory)) == 1
        assert await tell([webhook(hooks)], ended(), memory=memory) == []

    assert [one[0] for one in occasions(hooks)] == ["failure", "failure", "recovery", "recovery"]


async def test_copies_that_were_not_delivered_are_told_the_next_time() -> None:
    """Copies that nobody heard of are told after the next run, whatever that copied, and then no more."""
    with Hooks(404, 404, 200) as hooks:
        runs = [ended(copied("1")), ended(copied("2")), ended(current("1")), ended(current("1"))]
        assert len(await tell([webhook(hooks, Occasion.CHANGE)], *runs)) == 2

    told = [json.loads(one.body) for one in hooks.received]
    assert [(one["copied"], len(one["copies"])) for one in told] == [(1, 1), (2, 2), (2, 2)]


async def test_tasks_that_share_a_name() -> None:
    """What became of one says nothing of the other; that is so with another config, too."""
    for reload in (False, True):
        good, bad = task("same"), task("same")
        events: list[Event] = [Reloaded(ok=True, tasks=(good, bad))] if reload else []
        for _ in range(3):
            events += [TaskFinished(report(current("1"), of=good)), TaskFinished(report(failed("1"), of=bad))]
        with Hooks() as hooks:
            assert await tell([webhook(hooks)], *events, tasks=() if reload else (good, bad)) == []

        assert occasions(hooks) == [("failure", "same")]


async def test_a_time_that_has_no_date() -> None:
    """What no message can be made of is a warning, and the others are told."""
    said: list[Event] = []
    times = iter([1e18, 5.0])
    with Hooks() as hooks:
        ways = Ways({}, now=lambda: next(times, 5.0), backoff=AT_ONCE)
        async with notifying([webhook(hooks)], Memory(), ways, said.append) as notifier:
            notifier(ended(failed("1")))
            notifier(ended(failed("1")))

    (warning,) = said
    assert isinstance(warning, Warned)
    assert "no message could be made of task 'nightly'" in warning.message
    assert occasions(hooks) == [("failure", "nightly")]


async def test_one_channel_on_several_occasions() -> None:
    """Two items with one address do not take each other's messages away."""
    with Hooks() as hooks:
        two = [webhook(hooks, Occasion.FAILURE), webhook(hooks, Occasion.RECOVERY)]
        assert await tell(two, ended(failed("1")), ended(current("1"))) == []

    assert sorted(one[0] for one in occasions(hooks)) == ["failure", "recovery"]


async def test_one_id_for_all_attempts() -> None:
    """A receiver that got a message twice can tell."""
    with Hooks(503) as hooks:
        assert await tell([webhook(hooks)], ended(failed("1"))) == []

    assert len(hooks.received) == 2
    assert len({json.loads(one.body)["id"] for one in hooks.received}) == 1


async def test_partly_delivered() -> None:
    """A mail that some recipients have is not sent to them again with every run."""
    memory = Memory()
    with MailServer(refused=("no@d.test",)) as mails:
        channel = Email("127.0.0.1", mails.port, Security.NONE, "a@b.test", ("no@d.test", "c@d.test"))
        first = await tell([Subscription(channel)], ended(failed("1")), memory=memory)
        second = await tell([Subscription(channel)], ended(failed("1")), memory=memory)

    assert (len(first), second, len(mails.mails)) == (1, [], 1)


async def test_a_memory_that_cannot_be_written(tmp_path: Path) -> None:
    """It is a warning, and the message is sent."""
    (tmp_path / "state").write_text("a file")
    with Hooks() as hooks:
        warnings = await tell([webhook(hooks)], ended(failed("1")), memory=Memory(tmp_path / "state" / "told"))

    assert len(hooks.received) == 1
    assert "cannot be made" in warnings[0]


async def test_the_end_waits_no_longer_than_it_may() -> None:
    """What cannot be told in time is a warning, and the end comes."""
    said: list[Event] = []
    with Hooks() as hooks:
        async with notifying([webhook(hooks)], Memory(), Ways({}, flush=0.0), said.append) as notifier:
            notifier(ended(failed("1")))

    (warning,) = said
    assert isinstance(warning, Warned)
    assert warning.message == f"notify, webhook {hooks.host}: there was no time left to tell of the last runs: 1"


async def test_a_queue_has_an_end() -> None:
    """Where nothing is taken, what comes on top of a hundred runs is dropped, with a warning each."""
    said: list[Event] = []
    notifier = Notifier([Subscription(Slack(Secret("http://hooks.test/x")))], Memory(), WAYS, said.append)

    for _ in range(QUEUE + 2):
        notifier(ended(failed("1")))

    assert len(said) == 2


async def test_errors_of_the_run_are_not_wrapped() -> None:
    """An error that ends the run comes out as it is, after what is to be told was told."""

    async def run() -> None:
        async with notifying([webhook(hooks)], Memory(), WAYS, lambda _: None) as notifier:
            notifier(ended(failed("1")))
            raise DregsyError("broken")

    with Hooks() as hooks, pytest.raises(DregsyError, match=r"^broken$"):
        await run()
    assert len(hooks.received) == 1


async def test_cancellation() -> None:
    """Who cancels the run does not wait for messages."""

    async def run() -> None:
        async with notifying([webhook(hooks)], Memory(), WAYS, lambda _: None):
            started.set()
            await asyncio.Event().wait()

    started = asyncio.Event()
    with Hooks() as hooks:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(run())
            await started.wait()
            running.cancel()

    assert running.cancelled()
