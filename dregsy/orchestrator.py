"""Runs one task: looks, compares and copies at the same time, within bounds, and reports what came of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from dregsy.errors import DregsyError
from dregsy.executor import Executor
from dregsy.model.plan import Copy, Plan, Task
from dregsy.model.report import (
    CopyFinished,
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
    Warned,
)
from dregsy.resolve import Resolver

_LOOKERS_PER_COPY = 4


class Orchestrator:
    """Runs the tasks of a plan.

    Once ``stop`` is set no new copy begins and what is under way is finished; once ``abort`` is set
    that is cancelled, too. Both show in the Report.
    """

    def __init__(
        self,
        plan: Plan,
        resolver: Resolver,
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
        report = Report(
            task, started, now(), tuple(run.outcomes), tuple(run.warnings), run.interrupted or work.cancelled()
        )
        self._emit(TaskFinished(report))
        return report

    async def check(self, task: Task) -> AsyncIterator[Decision | Outcome | Warned]:
        """Give for every image what a run would do, and why; writes nothing."""
        async for item in self._resolver.copies(task):
            if not isinstance(item, Copy):
                yield item
                continue
            try:
                yield await self._resolver.decide(task, item)
            except DregsyError as error:
                for target in item.targets:
                    yield Outcome(item, target, Status.FAILED, failure=Failure.of(error))


async def _cancel_when(event: asyncio.Event, work: asyncio.Task[None]) -> None:
    await event.wait()
    work.cancel()


class _Run:
    """The state of one run of one task."""

    def __init__(
        self, task: Task, plan: Plan, resolver: Resolver, executor: Executor, emit: Listener, stop: asyncio.Event
    ) -> None:
        self._task = task
        self._plan = plan
        self._resolver = resolver
        self._executor = executor
        self._emit = emit
        self._stop = stop
        self._copying = asyncio.Semaphore(plan.parallel)
        self._round = 0
        self._again: dict[Copy, list[int]] = {}
        self.outcomes: list[Outcome] = []
        self.warnings: list[str] = []
        self.interrupted = False

    async def everything(self) -> None:
        """Work through all images, then again through those that failed but may succeed."""
        await self._through(self._resolver.copies(self._task))
        while self._again and not self._stop.is_set():
            self._round += 1
            again, self._again = self._again, {}
            await self._through(_each([_only(copy, positions) for copy, positions in again.items()]))

    async def _through(self, items: AsyncIterator[Copy | Outcome | Warned]) -> None:
        """Feed a bounded queue while workers take from it, so that copies start while tags are still listed."""
        width = self._plan.parallel * _LOOKERS_PER_COPY
        queue: asyncio.Queue[Copy | None] = asyncio.Queue(width)
        async with asyncio.TaskGroup() as group:
            for _ in range(width):
                group.create_task(self._worker(queue))
            async for item in items:
                if self._stop.is_set():
                    self.interrupted = True
                    break
                await self._take(item, queue)
            for _ in range(width):
                await queue.put(None)

    async def _take(self, item: Copy | Outcome | Warned, queue: "asyncio.Queue[Copy | None]") -> None:
        if isinstance(item, Copy):
            await queue.put(item)
        elif isinstance(item, Outcome):
            self._finish(item)
        else:
            self.warnings.append(item.message)
            self._emit(item)

    async def _worker(self, queue: "asyncio.Queue[Copy | None]") -> None:
        while (copy := await queue.get()) is not None:
            decision = await self._decide(copy)
            if decision is not None:
                stale = self._sort_out(copy, decision)
                if stale.targets:
                    await self._move(copy, stale, decision)

    async def _decide(self, copy: Copy) -> Decision | None:
        if self._stop.is_set():
            self._cancelled(copy)
            return None
        try:
            return await self._resolver.decide(self._task, copy)
        except DregsyError as error:
            for target in copy.targets:
                self._settle(copy, Outcome(copy, target, Status.FAILED, failure=Failure.of(error)))
            return None
        except asyncio.CancelledError:
            self._cancelled(copy)
            raise

    async def _move(self, asked: Copy, stale: Copy, decision: Decision) -> None:
        """Have ``stale`` copied when its turn has come."""
        try:
            async with self._copying:
                if self._stop.is_set():
                    self._cancelled(stale)
                    return
                self._emit(CopyStarted(stale))
                outcomes = await self._executor.run(self._task, stale)
        except asyncio.CancelledError:
            self._cancelled(stale)
            raise
        reasons = dict(zip(decision.copy.targets, decision.reasons, strict=True))
        for outcome in outcomes:
            reason = reasons[outcome.target] if outcome.target else None
            self._settle(asked, replace(outcome, reason=reason if isinstance(reason, Reason) else None))

    def _sort_out(self, copy: Copy, decision: Decision) -> Copy:
        """Settle the targets that need nothing or cannot be asked; return the copy for the others."""
        keep = []
        for position, reason in enumerate(decision.reasons):
            target = decision.copy.targets[position]
            if isinstance(reason, Failure):
                self._settle(copy, Outcome(decision.copy, target, Status.FAILED, failure=reason))
            elif reason is Reason.CURRENT:
                self._settle(copy, Outcome(decision.copy, target, Status.CURRENT, reason=reason))
            else:
                keep.append(position)
        return _only(decision.copy, keep)

    def _settle(self, asked: Copy, outcome: Outcome) -> None:
        """Note how it ended for one target, or put it up for another round."""
        failure = outcome.failure
        if failure is None or not failure.retryable or self._round >= self._plan.retries or self._stop.is_set():
            self._finish(outcome)
            return
        self._emit(CopyRetried(outcome))
        names = [target.name for target in asked.targets]
        self._again.setdefault(asked, []).append(names.index(outcome.target.name) if outcome.target else 0)

    def _finish(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._emit(CopyFinished(outcome))

    def _cancelled(self, copy: Copy) -> None:
        for target in copy.targets:
            self._finish(Outcome(copy, target, Status.CANCELLED))


def _only(copy: Copy, positions: list[int]) -> Copy:
    """The same copy to some of its targets."""
    return replace(
        copy,
        targets=tuple(copy.targets[position] for position in positions),
        to=tuple(copy.to[position] for position in positions),
    )


async def _each(copies: list[Copy]) -> AsyncIterator[Copy]:
    for copy in copies:
        yield copy
