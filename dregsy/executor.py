"""Carries out copies; the seam behind which they may one day run on other machines."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from dregsy.errors import DregsyError, RelayUnsupported, Unreachable
from dregsy.inspection import Faults, Flaw, Inspector, anew
from dregsy.journal import Journal
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Task
from dregsy.model.ref import Ref
from dregsy.model.report import Failure, Moved, Outcome, Status
from dregsy.registry.repositories import Repositories
from dregsy.relay import Relay, needs

_log = logging.getLogger(__name__)

_UNVERIFIED = "leave out --verify if the login may write only"

_CROSSED = "what answers may be something in front of the registry, or somebody else writes that tag"
_KEEPS = "the registry keeps what it has though it was sent anew: have it deleted from its storage, then verify again"

Result = TypeVar("Result")


class Executor(Protocol):
    """Turns a Copy into Outcomes."""

    async def run(self, task: Task, copy: Copy) -> tuple[Outcome, ...]:
        """Return one Outcome for each of ``copy.targets``, in order; never raises for a failed copy."""

    def finish(self) -> None:
        """Hear that the run of a task is over: what was found out for it is old."""


class LocalExecutor:
    """Carries out copies in this process, by one relay; ``repositories`` are made where they need to be."""

    def __init__(
        self, relay: Relay, now: Callable[[], float] = time.monotonic, *, repositories: Repositories | None = None
    ) -> None:
        self._relay = relay
        self._now = now
        self._repositories = repositories

    async def run(self, task: Task, copy: Copy) -> tuple[Outcome, ...]:
        """Let the relay copy, and describe how it went for each target."""
        started = self._now()
        async with asyncio.TaskGroup() as group:  # a task of its own: what a relay does to it stays there
            work = group.create_task(self._results(task, copy))
        results = [_bug(copy, asyncio.CancelledError())] * len(copy.targets) if work.cancelled() else work.result()
        seconds = self._now() - started
        return tuple(
            Outcome(copy, target, Status.COPIED, seconds, moved=result)
            if isinstance(result, Moved)
            else Outcome(copy, target, Status.FAILED, seconds, failure=result)
            for target, result in zip(copy.targets, results, strict=True)
        )

    def finish(self) -> None:
        """Forget what is known of repositories."""
        if self._repositories:
            self._repositories.finish()

    async def _results(self, task: Task, copy: Copy) -> Sequence[Moved | Failure]:
        endpoints = [task.targets[to] for to in copy.to]
        results = await contained(self._delivered(copy, task.source, endpoints), copy)
        return [results] * len(copy.targets) if isinstance(results, Failure) else results

    async def _delivered(self, copy: Copy, source: Endpoint, targets: Sequence[Endpoint]) -> Sequence[Moved | Failure]:
        if lacking := needs(copy) - self._relay.features:
            name = type(self._relay).__name__
            text = f"{copy.source}: {name} lacks the feature {', '.join(lacking)}"
            raise RelayUnsupported(text, relay=name, hint="use the native relay, which has all")
        results = await (
            self._prepared(copy, source, targets, self._repositories)
            if self._repositories
            else self._counted(copy, source, targets)
        )
        return [one if isinstance(one, Moved) else Failure.of(one) for one in results]

    async def _prepared(
        self, copy: Copy, source: Endpoint, endpoints: Sequence[Endpoint], repositories: Repositories
    ) -> Sequence[Moved | DregsyError]:
        """Copy to targets that were readied, once again to those that could be made ready only then."""
        for endpoint, target in zip(endpoints, copy.targets, strict=True):
            await repositories.ready(endpoint, target)
        results = list(await self._counted(copy, source, endpoints))
        again: list[int] = []
        for position, result in enumerate(results):
            if isinstance(result, DregsyError):
                target = copy.targets[position]
                settled = await repositories.settled(endpoints[position], target, copy.source.digest, result)
                results[position] = settled or result
                again += [] if settled else [position]
        if again:
            redone = await self._counted(copy.only(again), source, [endpoints[position] for position in again])
            for position, result in zip(again, redone, strict=True):
                results[position] = result
        return results

    async def _counted(
        self, copy: Copy, source: Endpoint, targets: Sequence[Endpoint]
    ) -> Sequence[Moved | DregsyError]:
        results = await self._relay.copy(copy, source, targets)
        if len(results) != len(copy.targets):
            raise AssertionError(f"{len(results)} results for {len(copy.targets)} targets")
        return results


class VerifyingExecutor:
    """Looks at each image where another executor wrote it; one that is not whole is written once more.

    A look ends after ``timeout`` seconds.
    """

    def __init__(self, inner: Executor, inspector: Inspector, journal: Journal, *, timeout: float) -> None:
        self._inner = inner
        self._inspector = inspector
        self._journal = journal
        self._timeout = timeout

    async def run(self, task: Task, copy: Copy) -> tuple[Outcome, ...]:
        """Return how it ended: an image that is not whole at a target failed there."""
        outcomes = await self._inner.run(task, copy)
        async with asyncio.TaskGroup() as group:
            looks = [
                group.create_task(self._verified(task, copy.only([position]), outcome))
                for position, outcome in enumerate(outcomes)
            ]
        return tuple(look.result() for look in looks)

    def finish(self) -> None:
        """Forget what was found."""
        self._inspector.finish()
        self._inner.finish()

    async def _verified(self, task: Task, copy: Copy, outcome: Outcome) -> Outcome:
        if outcome.status is not Status.COPIED:
            return outcome
        faults = await self._faults(task, copy, outcome)
        if isinstance(faults, Failure):
            return replace(outcome, status=Status.FAILED, failure=faults)
        if faults and all(fault.flaw is Flaw.UNKNOWN for fault in faults):
            text = f"{copy.targets[0]} was written, but could not be looked at: {faults[0]}"
            return replace(outcome, status=Status.FAILED, failure=Failure("unverified", text, _UNVERIFIED))
        return await self.mended(task, copy, faults) if faults else outcome

    async def mended(self, task: Task, copy: Copy, faults: Faults) -> Outcome:
        """Write an image to its one target again, where ``faults`` were found, and look again."""
        endpoint, target = task.targets[copy.to[0]], copy.targets[0]
        await self._doubt(endpoint, target, faults)
        (outcome,) = await self._inner.run(task, replace(copy, anew=anew(faults)))
        if outcome.status is not Status.COPIED:
            return outcome
        self._inspector.forget(endpoint, target.repository, faults)
        left = await self._faults(task, copy, outcome)
        if not left:
            return outcome
        if not isinstance(left, Failure):
            await self._doubt(endpoint, target, left)
            left = _still(target, left)
        return replace(outcome, status=Status.FAILED, failure=left)

    async def _faults(self, task: Task, copy: Copy, outcome: Outcome) -> Faults | Failure:
        """Look whether what was written to the one target is there, whole; the tag of another image is at fault."""
        written = outcome.moved.digest if outcome.moved else None
        look = self._inspector.faults(task.targets[copy.to[0]], copy.targets[0], written)
        return await contained(in_time(look, copy.targets[0], self._timeout), copy)

    async def _doubt(self, endpoint: Endpoint, target: Ref, faults: Faults) -> None:
        """Believe no more that what is at fault is there."""
        host = endpoint.api_host
        self._journal.drop_blobs(host, [fault.part for fault in faults if fault.part is not None])
        await self._journal.drop_tag(host, target.repository, target.reference)


def _still(target: Ref, faults: Faults) -> Failure:
    """Say that writing did not help."""
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    hint = ""
    if faults[0].part is None:
        hint = _CROSSED
    elif any(fault.flaw in {Flaw.WRONG, Flaw.UNREADABLE} for fault in faults):
        hint = _KEEPS
    return Failure("broken", f"{target} is not whole after it was written: {faults[0]}{more}", hint)


async def in_time(look: Awaitable[Result], image: Ref, seconds: float) -> Result:
    """Wait for a look at ``image``, but not for ever: Unreachable after so many seconds."""
    try:
        async with asyncio.timeout(seconds) as limit:
            return await look
    except TimeoutError:
        if not limit.expired():
            raise
        raise Unreachable(
            f"{image} could not be looked at within {seconds:g} seconds",
            retryable=True,
            hint="check that the registries answer, or raise 'timeout'",
        ) from None


async def contained(work: Awaitable[Result], copy: Copy) -> Result | Failure:
    """Wait for ``work`` on an image; what goes wrong with it, a bug included, is described and not raised."""
    try:
        return await work
    except Exception as error:
        cause = _cause(error)
        return Failure.of(cause) if isinstance(cause, DregsyError) else _bug(copy, cause)


def _cause(error: Exception) -> Exception:
    """What a group of errors comes down to: a bug if there is one in it, since that must not be hidden."""
    if not isinstance(error, ExceptionGroup):
        return error
    causes = [_cause(one) for one in error.exceptions]
    return next((one for one in causes if not isinstance(one, DregsyError)), causes[0])


def _bug(copy: Copy, error: BaseException) -> Failure:
    _log.error("copying %s ran into a bug", copy.source, exc_info=error)
    text = f"a bug came up: {type(error).__name__}"
    return Failure("bug", text, "please report it with the traceback in the log")
