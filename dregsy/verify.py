"""Walks what a task selects at its targets, says what is not whole there, and mends it if asked to.

Which images there are is told by the source's tags. Other tags of the targets are left alone.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar
from weakref import WeakValueDictionary

from dregsy.executor import VerifyingExecutor, contained, in_time
from dregsy.inspection import Faults, Flaw, Inspector
from dregsy.model.plan import Copy, Plan, Task
from dregsy.model.ref import Ref
from dregsy.model.report import Failure, Outcome, Reason, Status, Unlisted, Warned
from dregsy.resolve import Found, Resolver

_LOOKERS_PER_COPY = 4
_T = TypeVar("_T")


class State(StrEnum):
    """What an image was found to be at a target."""

    WHOLE = "whole"
    MENDED = "mended"
    """It was missing or broken, was written again, and is whole now."""
    MISSING = "missing"
    """The target has no such tag."""
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """It could not be looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One image at one target; ``failure`` tells why it could not be looked at, or not be mended."""

    copy: Copy
    target: Ref | None
    state: State
    faults: Faults = ()
    failure: Failure | None = None


class Verification:
    """Verifies the tasks of a plan; with a ``mender`` what is missing or broken is written again."""

    def __init__(
        self, plan: Plan, resolver: Resolver, inspector: Inspector, mender: VerifyingExecutor | None = None
    ) -> None:
        self._plan = plan
        self._resolver = resolver
        self._inspector = inspector
        self._mender = mender
        self._mending = asyncio.Semaphore(plan.parallel)
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def run(self, task: Task, found: Callable[[Finding | Warned], None]) -> None:
        """Tell ``found`` of each image and target, in the order of the rules."""
        window: deque[asyncio.Task[list[Finding | Warned]]] = deque()
        async with aclosing(self._resolver.copies(task)) as items, asyncio.TaskGroup() as group:
            async for item in items:
                window.append(group.create_task(self._findings(task, item)))
                if len(window) > self._plan.parallel * _LOOKERS_PER_COPY:
                    _tell(await window.popleft(), found)
            for looking in window:
                _tell(await looking, found)
        await self._resolver.finish()
        self._inspector.finish()

    async def _findings(self, task: Task, item: Found) -> list[Finding | Warned]:
        match item:
            case Warned():
                return [item]
            case Unlisted(outcomes):
                return [_unknown(one) for one in outcomes]
            case Outcome(status=Status.CURRENT, target=Ref() as target):
                return [await self._finding(task, item.copy.only([item.copy.targets.index(target)]), keep=True)]
            case Outcome():
                return [_unknown(item)]
            case Copy():
                return [await self._finding(task, item.only([position])) for position in range(len(item.targets))]

    async def _finding(self, task: Task, copy: Copy, *, keep: bool = False) -> Finding:
        """Look at the one target of ``copy``; with ``keep`` it is not to get another image than it has."""
        named = await self._named(task, copy)
        if isinstance(named, Failure):
            return Finding(copy, copy.targets[0], State.UNKNOWN, failure=named)
        (to,), (target,) = named.to, named.targets
        faults = await contained(self._in_time(self._inspector.faults(task.targets[to], target), copy), copy)
        if isinstance(faults, Failure):
            return Finding(named, target, State.UNKNOWN, failure=faults)
        finding = Finding(named, target, _state(faults), faults)
        if self._mender is None or finding.state in {State.WHOLE, State.UNKNOWN}:
            return finding
        return await self._mended(task, finding, self._mender, keep=keep)

    async def _named(self, task: Task, copy: Copy) -> Copy | Failure:
        """Return a copy that says what it is called at its target: without a tag, only a comparison tells."""
        if copy.targets[0].tag is not None:
            return copy
        decision = await contained(self._in_time(self._resolver.decide(task, copy), copy), copy)
        return decision if isinstance(decision, Failure) else decision.copy

    async def _mended(self, task: Task, finding: Finding, mender: VerifyingExecutor, *, keep: bool) -> Finding:
        """Write an image again. In a repository one after the other: they share what is broken, and so the mending."""
        endpoint, target = task.targets[finding.copy.to[0]], finding.copy.targets[0]
        key = (endpoint.api_host, target.repository if finding.state is State.BROKEN else str(target))
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock, self._mending:
            if finding.state is State.BROKEN:
                self._inspector.forget(endpoint, target.repository, finding.faults)
            faults = await contained(
                self._in_time(self._inspector.faults(endpoint, target), finding.copy), finding.copy
            )
            if not faults:
                return replace(finding, state=State.MENDED)
            if isinstance(faults, Failure):
                return replace(finding, failure=faults)
            copy = await self._wanted(task, replace(finding, faults=faults), keep=keep)
            if isinstance(copy, Failure):
                return replace(finding, failure=copy)
            outcome = await mender.mended(task, copy, faults)
        if outcome.status is Status.COPIED:
            return replace(finding, state=State.MENDED)
        return replace(finding, failure=outcome.failure)

    async def _wanted(self, task: Task, finding: Finding, *, keep: bool) -> Copy | Failure:
        """Return the copy of what the source has now, or why there is none to be made."""
        copy = finding.copy
        decision = await contained(self._in_time(self._resolver.decide(task, copy), copy), copy)
        if isinstance(decision, Failure):
            return decision
        (reason,) = decision.reasons
        if keep and reason not in {Reason.CURRENT, Reason.MISSING}:
            hint = "delete the tag at the target if it may have the new one"
            return Failure(
                "image", f"{copy.source} may be another image by now, and 'skip-existing' keeps the old", hint
            )
        if isinstance(reason, Failure) and (finding.faults[0].part or finding.faults[0].flaw is not Flaw.UNREADABLE):
            return reason
        return decision.copy

    async def _in_time(self, looking: Awaitable[_T], copy: Copy) -> _T:
        return await in_time(looking, copy.targets[0], self._plan.timeout)


def _state(faults: Faults) -> State:
    if not faults:
        return State.WHOLE
    if all(fault.flaw is Flaw.UNKNOWN for fault in faults):
        return State.UNKNOWN
    return State.MISSING if faults[0].part is None and faults[0].flaw is Flaw.MISSING else State.BROKEN


def _unknown(outcome: Outcome) -> Finding:
    """What could not be found out at the source can't be looked at."""
    return Finding(outcome.copy, outcome.target, State.UNKNOWN, failure=outcome.failure)


def _tell(findings: Sequence[Finding | Warned], found: Callable[[Finding | Warned], None]) -> None:
    for finding in findings:
        found(finding)
