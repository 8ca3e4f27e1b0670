"""Finds out what a run would do now, and what that would take: the tasks of a plan, looked at and not run."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from dregsy.executor import contained, in_time
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Plan, Task
from dregsy.model.proposal import PlannedCopy, PlannedTask, Proposal, Traffic, Wanted, forecast
from dregsy.model.ref import Ref
from dregsy.model.report import Failure, Outcome, Reason, Status, Unlisted, Warned
from dregsy.registry.contents import no_image
from dregsy.registry.pool import Registries
from dregsy.resolve import Resolver
from dregsy.survey import Surveyor

_LOOKERS_PER_COPY = 4


@dataclass(slots=True)
class _Findings:
    """What was found of a task."""

    wanted: list[Wanted] = field(default_factory=list)
    failures: list[Outcome] = field(default_factory=list)
    current: int = 0

    def take(self, one: Outcome | Wanted) -> None:
        if isinstance(one, Wanted):
            self.wanted.append(one)
        elif one.status is Status.CURRENT:
            self.current += 1
        else:
            self.failures.append(one)


class Planning:
    """Looks at the tasks of a plan, one after the other, and then proposes what is to be done."""

    def __init__(self, plan: Plan, resolver: Resolver, registries: Registries, surveyor: Surveyor) -> None:
        self._plan = plan
        self._resolver = resolver
        self._registries = registries
        self._surveyor = surveyor
        self._found: list[tuple[Task, _Findings]] = []

    async def look(self, task: Task, warn: Callable[[Warned], None]) -> None:
        """See what a run of ``task`` would copy; what cannot be found out is a part of the proposal."""
        findings = _Findings()
        window: deque[asyncio.Task[list[Outcome | Wanted]]] = deque()
        async with aclosing(self._resolver.copies(task)) as items, asyncio.TaskGroup() as group:
            async for item in items:
                if isinstance(item, Warned):
                    warn(item)
                    continue
                window.append(group.create_task(self._looked_at(task, item)))
                if len(window) > self._plan.parallel * _LOOKERS_PER_COPY:
                    for one in await window.popleft():
                        findings.take(one)
            for looking in window:
                for one in await looking:
                    findings.take(one)
        await self._resolver.finish()
        findings.wanted.sort(key=_order)
        self._found.append((task, findings))

    def proposal(self) -> Proposal:
        """Return what is to be done for all tasks that were looked at; the same findings always give the same."""
        written: set[Ref] = set()
        wanted = [(task, [*_once(findings.wanted, written)]) for task, findings in self._found]
        total = forecast([(task, one) for task, some in wanted for one in some])
        copies = iter(total.copies)
        tasks = [self._planned(task, tuple(next(copies) for _ in some)) for task, some in wanted]
        return Proposal(
            self._plan.relay.name,
            tuple(task for task in tasks if task.copies),
            tuple(map(self._counted, total.traffic)),
            total.mounts,
            sum(findings.current for _, findings in self._found),
            tuple(failure for _, findings in self._found for failure in findings.failures),
        )

    def _planned(self, task: Task, copies: tuple[PlannedCopy, ...]) -> PlannedTask:
        position = next(position for position, one in enumerate(self._plan.tasks) if one is task)
        return PlannedTask(task.name, position, copies)

    def _counted(self, traffic: Traffic) -> Traffic:
        """Add how many pulls a source last said that it allows: the least, where several logins read from it."""
        sources = (task.source for task, _ in self._found if task.source.ref("x").host == traffic.host)
        allowances = (self._registries.at(source).allowance for source in sources)
        return replace(traffic, left=min((known.left for known in allowances if known is not None), default=None))

    async def _looked_at(self, task: Task, item: Copy | Outcome | Unlisted) -> list[Outcome | Wanted]:
        match item:
            case Outcome():
                return [item]
            case Unlisted(outcomes):
                return list(outcomes)
        looking = in_time(self._copy(task, item), item.source, self._plan.timeout)
        found = await contained(looking, item)
        return _failed(item, found) if isinstance(found, Failure) else found

    async def _copy(self, task: Task, copy: Copy) -> list[Outcome | Wanted]:
        """Compare an image with its targets, and see what those need that lack it."""
        pinned = await self._pinned(task, copy)
        decision = await self._resolver.decide(task, pinned)
        found: list[Outcome | Wanted] = []
        stale: dict[int, Reason] = {}
        for position, reason in enumerate(decision.reasons):
            if isinstance(reason, Failure):
                found += _failed(decision.copy.only([position]), reason)
            elif reason is Reason.CURRENT:
                found.append(Outcome(decision.copy, decision.copy.targets[position], Status.CURRENT, reason=reason))
            else:
                stale[position] = reason
        if stale:
            lacking = decision.copy.only(list(stale))
            wanted = await contained(self._wanted(task, lacking, pinned.source.digest, tuple(stale.values())), copy)
            found += _failed(lacking, wanted) if isinstance(wanted, Failure) else [wanted]
        return found

    async def _pinned(self, task: Task, copy: Copy) -> Copy:
        """Say which image a tag stands for, where only a part of it is taken: that digest tells later if it moved."""
        if copy.source.digest is not None or not (copy.platforms or copy.subset):
            return copy
        found = await self._registries.at(task.source).head_manifest(copy.source.repository, copy.source.reference)
        if found is None:
            raise no_image(copy.source)
        return replace(copy, source=copy.source.with_tag(copy.source.tag, found.digest))

    async def _wanted(self, task: Task, copy: Copy, origin: Digest | None, reasons: tuple[Reason, ...]) -> Wanted:
        """Find out what the targets of ``copy``, which all lack it, have and need."""
        digest = copy.source.digest
        assert digest is not None
        endpoints = [task.targets[to] for to in copy.to]
        before = [
            await self._before(endpoint, target) if reason is Reason.CHANGED else None
            for endpoint, target, reason in zip(endpoints, copy.targets, reasons, strict=True)
        ]
        needs = await self._surveyor.needs(copy, task.source, endpoints)
        fetched = frozenset[Digest]().union(*(need.manifests for need in needs))
        if copy.index is not None:  # from which the one to be copied is made
            fetched = fetched - {digest} | {copy.index}
        return Wanted(copy, origin or digest, reasons, tuple(before), needs, fetched)

    async def _before(self, endpoint: Endpoint, target: Ref) -> Digest | None:
        found = await self._registries.at(endpoint).stored_manifest(target.repository, target.reference)
        return found.digest if found else None


def _once(wanted: Iterable[Wanted], written: set[Ref]) -> Iterator[Wanted]:
    """Leave out what other copies have ``written`` already, as where two mappings mean one image; note the others."""
    for one in wanted:
        positions = []
        for position, target in enumerate(one.copy.targets):
            if target not in written:
                written.add(target)
                positions.append(position)
        if positions:
            yield replace(
                one,
                copy=one.copy.only(positions),
                reasons=tuple(one.reasons[position] for position in positions),
                before=tuple(one.before[position] for position in positions),
                needs=tuple(one.needs[position] for position in positions),
            )


def _failed(copy: Copy, failure: Failure) -> list[Outcome | Wanted]:
    return [Outcome(copy, target, Status.FAILED, failure=failure) for target in copy.targets]


def _order(wanted: Wanted) -> tuple[str, ...]:
    return str(wanted.copy.source), *map(str, wanted.copy.targets)
