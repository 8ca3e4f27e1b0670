"""Who is to be told is told, one channel beside the other, and never in the way of the copying."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from dregsy.errors import DregsyError
from dregsy.model.notify import Channel, Email, Occasion, Subscription, Webhook
from dregsy.model.plan import Task
from dregsy.model.report import Event, Listener, Reloaded, TaskFinished, Warned
from dregsy.notify.delivery import BACKOFF, Undelivered, deliver
from dregsy.notify.memory import Memory
from dregsy.notify.news import Message, News, weighed
from dregsy.registry.retry import Backoff

FLUSH = 8.0
"""How long, in seconds, the end of dregsy waits for messages on their way."""
QUEUE = 100
"""How many runs may wait to be told to a channel; those that come on top are not told."""
_MISTAKES = (ArithmeticError, LookupError, OSError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Ways:
    """What messages need to get out: the environment's proxies, certs.d folders, time, patience."""

    environ: Mapping[str, str]
    certs: tuple[Path, ...] = ()
    now: Callable[[], float] = time.time
    backoff: Backoff = field(default=BACKOFF)
    flush: float = FLUSH


@dataclass(slots=True)
class _Outlet:
    """A channel's subscription, the runs that wait to be told, and how many of them there are, with that in work."""

    subscription: Subscription
    queue: asyncio.Queue[News] = field(default_factory=lambda: asyncio.Queue(QUEUE))
    waiting: int = 0


class Notifier:
    """A listener that has the ends of runs told to the channels of ``subscriptions``.

    What a channel does not take is a warning, and told again when the task has run the next time. ``tasks`` are those
    of the config, which may share names.
    """

    def __init__(
        self,
        subscriptions: Sequence[Subscription],
        memory: Memory,
        ways: Ways,
        emit: Listener,
        tasks: Sequence[Task] = (),
    ) -> None:
        self._outlets = [_Outlet(one) for one in subscriptions]
        self._memory = memory
        self._ways = ways
        self._emit = emit
        self._tasks = tasks
        self._flushed = False

    def __call__(self, event: Event) -> None:
        """Take note of a task that ended."""
        if isinstance(event, Reloaded) and event.ok:
            self._tasks = event.tasks
        if not isinstance(event, TaskFinished):
            return
        of = event.report.task
        same = [task for task in self._tasks if task.name == of.name]
        news = News.of(event.report, next((number for number, task in enumerate(same) if task is of), 0))
        for outlet in self._outlets:
            try:
                outlet.queue.put_nowait(news)
                outlet.waiting += 1
            except asyncio.QueueFull:
                self._warn(outlet, f"{QUEUE} runs wait to be told, this one of task {news.task!r} is not")

    async def work(self) -> None:
        """Tell what comes in, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for outlet in self._outlets:
                group.create_task(self._work(outlet))

    async def flush(self) -> None:
        """Wait once until all is told, but not for ever; whoever ends that hears what is not."""
        if self._flushed:
            return
        self._flushed = True
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._ways.flush):
                    for outlet in self._outlets:
                        await outlet.queue.join()
        finally:
            for outlet in self._outlets:
                if outlet.waiting:
                    self._warn(outlet, f"there was no time left to tell of the last runs: {outlet.waiting}")

    async def _work(self, outlet: _Outlet) -> None:
        while True:
            news = await outlet.queue.get()
            try:
                await self._tell(outlet, news)
            except DregsyError as error:
                self._warn(outlet, str(error))
            except _MISTAKES as error:  # one message is no reason to end the copying
                self._warn(outlet, f"no message could be made of task {news.task!r}: {error!r}")
            outlet.waiting -= 1
            outlet.queue.task_done()

    async def _tell(self, outlet: _Outlet, news: News) -> None:
        subscription, channel = outlet.subscription, outlet.subscription.channel
        if (owed := self._memory.owed(subscription, news.key)) is not None:
            news = news.and_copies(owed)
        told = self._memory.told(subscription, news.key)
        message, after = weighed(news, told, subscription, self._ways.now())
        if message is not None:
            is_owed = bool(news.copying) and Occasion.CHANGE in subscription.on
            self._memory.owe(subscription, news.key, news if is_owed else None)
            try:
                await self._send(channel, message)
            except Undelivered as error:
                if not error.partly:
                    raise
                self._warn(outlet, str(error))
            self._memory.owe(subscription, news.key, None)
        if after != told:
            self._memory.keep(subscription, news.key, after)

    async def _send(self, channel: Channel, message: Message) -> None:
        from dregsy.notify import texts

        if isinstance(channel, Email):
            from dregsy.notify import email

            mail = texts.mail(message, channel)
            await deliver(lambda: email.send(channel, mail), channel.place, self._ways.backoff)
            return
        from dregsy.notify import webhook

        body = texts.payload(message) if isinstance(channel, Webhook) else texts.slack(message)
        ways = self._ways
        await deliver(
            lambda: webhook.post(channel, body, environ=ways.environ, certs=ways.certs, now=ways.now),
            channel.name,
            ways.backoff,
        )

    def _warn(self, outlet: _Outlet, text: str) -> None:
        self._emit(Warned("", f"notify, {outlet.subscription.channel.name}: {text}"))


@asynccontextmanager
async def notifying(
    subscriptions: Sequence[Subscription], memory: Memory, ways: Ways, emit: Listener, tasks: Sequence[Task] = ()
) -> AsyncIterator[Notifier]:
    """Have a Notifier at work inside; the end waits for what is on its way, and ``emit`` hears what got lost."""
    notifier = Notifier(subscriptions, memory, ways, emit, tasks)
    trouble: DregsyError | None = None
    async with asyncio.TaskGroup() as group:
        working = group.create_task(notifier.work())
        try:
            yield notifier
        except DregsyError as error:
            trouble = error  # a TaskGroup would wrap it
        await notifier.flush()
        working.cancel()
    if trouble is not None:
        raise trouble
