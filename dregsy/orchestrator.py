"""Runs one task: looks, compares and copies at the same time, within bounds, and reports what came of it."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from dregsy.executor import Executor, contained, in_time
from dregsy.model.plan import Copy, Plan, Task
from dregsy.model.report import (
    CopyFinished,
    CopyFound,
    CopyRetried,
    CopyStarted,
    Decision,
    Failure,
    Listener,
    Outcome,
    Reason,
    Report,
    Status,
    TaskFinished,
    TaskStarted,
    Unlisted,
    Warned,
)
from dregsy.registry.pulls import Pulls
from dregsy.resolve import Found

_LOOKERS_PER_COPY = 4


class Finder(Protocol):
    """Where a run has its copies from: a Resolver, which looks for them, or what was planned before."""

    pulls: Pulls

    def copies(self, task: Task) -> AsyncGenerator[Found, None]:
        """Give every image that is to be copied for ``task``, or why one cannot be; see Resolver."""

    def again(self, task: Task, part: Unlisted) -> AsyncGenerator[Found, None]:
        """Give what ``copies`` could not list."""

    async def decide(self, task: Task, copy: Copy) -> Decision:
        """Tell for each target whether it needs the image; the copy in the answer has the digest to be copied."""

    async def finish(self) -> int:
        """End the run of a task; return how many requests were spared."""


class Orchestrator:
    """Runs the tasks of a plan.

    Once ``stop`` is set no new copy begins and what is under way is finished; once ``abort`` is set
    that is cancelled, too. Both show in the Report.
    """

    def __init__(
        self,
        plan: Plan,
        resolver: Finder,
        executor: Executor,
        emit: Listener,
        stop: asyncio.Event,
        abort: asyncio.Event,
    ) -> None:
        self._plan = plan
        self._resolver = resolver
        self._executor = executor
        self._emit = emit
        self._stop = stop
        self._abort = abort

    async def run(self, task: Task, now: Callable[[], float] = time.time) -> Report:
        """Bring every image of ``task`` to its targets; failures are in the Report, never raised."""
        started = now()
        self._emit(TaskStarted(task))
        run = _Run(task, self._plan, self._resolver, self._executor, self._emit, self._stop)
        async with asyncio.TaskGroup() as group:
            work = group.create_task(run.everything())
            abort = group.create_task(_cancel_when(self._abort, work))
            await asyncio.wait([work])
            abort.cancel()
        interrupted = run.interrupted or work.cancelled()
        saved = await self._resolver.finish()
        self._executor.finish()
        report = Report(task, started, now(), tuple(run.outcomes), tuple(run.warnings), interrupted, saved)
        self._emit(TaskFinished(report))
        return report

    async def check(self, task: Task, found: Callable[[Decision | Outcome | Warned], None]) -> None:
        """Tell ``found``, in the order of the rules, what a run would do with every image, and why; writes nothing."""
        window: deque[asyncio.Task[list[Decision | Outcome | Warned]]] = deque()
        async with aclosing(self._resolver.copies(task)) as items, asyncio.TaskGroup() as group:
            async for item in items:
                window.append(group.create_task(self._checked(task, item)))
                if len(window) > self._plan.parallel * _LOOKERS_PER_COPY:
                    for one in await window.popleft():
                        found(one)
            for looking in window:
                for one in await looking:
                    found(one)
        await self._resolver.finish()

    async def _checked(self, task: Task, item: Found) -> list[Decision | Outcome | Warned]:
        if isinstance(item, Unlisted):
            return list(item.outcomes)
        if not isinstance(item, Copy):
            return [item]
        decision = await contained(in_time(self._resolver.decide(task, item), item.source, self._plan.timeout), item)
        if isinstance(decision, Failure):
            return [Outcome(item, target, Status.FAILED, failure=decision) for target in item.targets]
        return [decision]


async def _cancel_when(event: asyncio.Event, work: asyncio.Task[None]) -> None:
    await event.wait()
    work.cancel()


@dataclass(frozen=True, slots=True)
class _Item:
    """An image on its way; ``before`` says how it ended in the round before, for each target."""

    copy: Copy
    before: tuple[Outcome, ...] = ()

    def given_up(self) -> tuple[Outcome, ...]:
        """How it ends when there is no time left for it."""
        return self.before or tuple(Outcome(self.copy, target, Status.CANCELLED) for target in self.copy.targets)


_Items = AsyncGenerator[_Item, None]


class _Run:
    """The state of one run of one task.

    Workers take one image after the other from a common source, which looks no further than they ask.
    """

    def __init__(
        self, task: Task, plan: Plan, resolver: Finder, executor: Executor, emit: Listener, stop: asyncio.Event
    ) -> None:
        self._task = task
        self._workers = plan.parallel * _LOOKERS_PER_COPY
        self._rounds_left = plan.retries
        self._timeout = plan.timeout
        self._resolver = resolver
        self._executor = executor
        self._emit = emit
        self._stop = stop
        self._copying = asyncio.Semaphore(plan.parallel)
        self._turn = asyncio.Lock()
        self._is_through = False
        self._again: deque[_Item] = deque()
        self._unlisted: deque[Unlisted] = deque()
        self.outcomes: list[Outcome] = []
        self.warnings: list[str] = []
        self.interrupted = False

    async def everything(self) -> None:
        """Work through all images, then again through those that failed but may succeed."""
        again: deque[_Item] = deque()
        unlisted: deque[Unlisted] = deque()
        try:
            await self._through(self._look(self._resolver.copies(self._task)))
            while (self._again or self._unlisted) and not self._stop.is_set():
                self._rounds_left -= 1
                again, self._again = self._again, deque()
                unlisted, self._unlisted = self._unlisted, deque()
                await self._through(self._look_again(again, unlisted))
        finally:
            for item in (*again, *self._again):
                self._finish(item.given_up())
            self._settle(outcome for part in (*unlisted, *self._unlisted) for outcome in part.outcomes)

    async def _look_again(self, items: deque[_Item], unlisted: deque[Unlisted]) -> _Items:
        """Give what is left over from the round before, and take it away; first what was found then."""
        while items:
            yield items.popleft()
        while unlisted:
            async with aclosing(self._look(self._resolver.again(self._task, unlisted[0]))) as found:
                async for item in found:
                    yield item
            unlisted.popleft()

    async def _look(self, items: AsyncGenerator[Found, None]) -> _Items:
        """Give all images among ``items``; note what could not be found out."""
        async with aclosing(items) as found:
            async for one in found:
                if isinstance(one, Copy):
                    self._emit(CopyFound(one))
                    yield _Item(one)
                elif isinstance(one, Unlisted) and self._rounds_left:
                    self._unlisted.append(one)
                    for outcome in one.outcomes:
                        self._emit(CopyRetried(outcome))
                elif isinstance(one, Unlisted):
                    self._settle(one.outcomes)
                elif isinstance(one, Outcome):
                    self._settle([one])
                else:
                    self._warn(one.message)

    async def _through(self, items: _Items) -> None:
        self._is_through = False
        async with aclosing(items), asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work(items))

    async def _work(self, items: _Items) -> None:
        while (item := await self._next(items)) is not None:
            await self._handle(item)

    async def _next(self, items: _Items) -> _Item | None:
        """Return the next image; None when there is none, or no more is wanted."""
        async with self._turn:
            if self._stop.is_set():
                self.interrupted = self.interrupted or not self._is_through
                return None
            item = await anext(items, None)
            self._is_through = item is None
            return item

    async def _handle(self, item: _Item) -> None:
        """See an image through: each target gets one outcome, or is put up for another round."""
        left = dict(enumerate(item.given_up()))
        again: dict[int, Outcome] = {}
        try:
            async with aclosing(self._outcomes(item.copy)) as outcomes:
                async for position, outcome in outcomes:
                    del left[position]
                    if self._rounds_left and outcome.failure is not None and outcome.failure.retryable:
                        again[position] = outcome
                        self._emit(CopyRetried(outcome))
                    else:
                        self._finish([outcome])
        finally:
            self.interrupted = self.interrupted or bool(left)
            self._finish(left.values())
            if again:
                self._again.append(_Item(item.copy.only(list(again)), tuple(again.values())))

    async def _outcomes(self, copy: Copy) -> AsyncGenerator[tuple[int, Outcome], None]:
        """Give for each target its position and how it ended; nothing where there was no time for it."""
        if self._stop.is_set():
            return
        decision = await contained(in_time(self._resolver.decide(self._task, copy), copy.source, self._timeout), copy)
        if isinstance(decision, Failure):
            for position, target in enumerate(copy.targets):
                yield position, Outcome(copy, target, Status.FAILED, failure=decision)
            return
        stale: dict[int, Reason] = {}
        for position, reason in enumerate(decision.reasons):
            target = decision.copy.targets[position]
            if isinstance(reason, Failure):
                yield position, Outcome(decision.copy, target, Status.FAILED, failure=reason)
            elif reason is Reason.CURRENT:
                yield position, Outcome(decision.copy, target, Status.CURRENT, reason=reason)
            else:
                stale[position] = reason
        if stale:
            for position, outcome in await self._copied(decision.copy, stale):
                yield position, outcome

    async def _copied(self, copy: Copy, stale: dict[int, Reason]) -> Iterable[tuple[int, Outcome]]:
        """Have an image copied, when its turn has come, to those of its targets that lack it."""
        pull = self._resolver.pulls.place(self._task.source, copy.source, self._stop, self._warn)
        async with self._copying, pull:
            if self._stop.is_set():
                return ()
            wanted = copy.only(list(stale))
            self._emit(CopyStarted(wanted, tuple(stale.values())))
            outcomes = await self._executor.run(self._task, wanted)
        return [
            (position, replace(outcome, reason=reason))
            for (position, reason), outcome in zip(stale.items(), outcomes, strict=True)
        ]

    def _warn(self, message: str) -> None:
        self.warnings.append(message)
        self._emit(Warned(self._task.name, message))

    def _settle(self, outcomes: Iterable[Outcome]) -> None:
        """Finish what is never to be copied: found it was all the same, where it is known what it would be called."""
        for outcome in outcomes:
            if outcome.target is not None:
                self._emit(CopyFound(outcome.copy.only([outcome.copy.targets.index(outcome.target)])))
            self._finish([outcome])

    def _finish(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self.outcomes.append(outcome)
            self._emit(CopyFinished(outcome))
