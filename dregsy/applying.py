"""Does what a plan file says, and nothing else: its copies stand where a run has what it finds.

Before the first one, all are held against the config and the registries; one that is no longer as it was planned
keeps them all from being done.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from dregsy.errors import DregsyError, Outdated
from dregsy.executor import contained, in_time
from dregsy.journal import Journal
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Plan, Rule, Task
from dregsy.model.proposal import Mount, PlannedCopy, PlannedTarget, Proposal
from dregsy.model.ref import Ref
from dregsy.model.report import Decision, Failure, Outcome, Reason, Status, Unlisted
from dregsy.registry.pool import Registries
from dregsy.resolve import Found, Resolver
from dregsy.rivals import Rights, is_contested
from dregsy.survey import each

ANEW = "make a new plan"


@dataclass(frozen=True, slots=True)
class Job:
    """A planned copy, as the config means it: ``copy`` has the digest that its tag had, and not yet a part's.

    ``rivals`` are the tasks to be looked at, in order, to tell whether it has a right to its tags; none as a rule.
    """

    task: Task
    copy: Copy
    planned: PlannedCopy
    rivals: tuple[Task, ...] = ()


def jobs(proposal: Proposal, plan: Plan) -> tuple[Job, ...]:
    """Find for each planned copy the mapping that means it; Outdated where the config has none."""
    found: list[Job] = []
    written: set[Ref] = set()
    for planned_task in proposal.tasks:
        tasks = plan.tasks[planned_task.position : planned_task.position + 1]
        if not tasks or tasks[0].name != planned_task.name:
            raise Outdated(f"the config has no task {planned_task.name!r} in that place", hint=ANEW)
        for planned in planned_task.copies:
            found.append(_job(plan.tasks[: planned_task.position + 1], planned))
            for target in planned.targets:
                if target.ref in written:
                    raise Outdated(f"the plan writes {target.ref} more than once", hint=ANEW)
                written.add(target.ref)
    hosts = {endpoint.ref("x").host for job in found for endpoint in job.task.targets}
    for mount in proposal.mounts:
        if mount.host not in hosts:
            raise Outdated(f"the plan has a blob of {mount.host}, which is no target of it", hint=ANEW)
    return tuple(found)


def _job(tasks: Sequence[Task], planned: PlannedCopy) -> Job:
    """Find the mapping of the last task that means a copy, and what it may have to give way to."""
    task, tag, given = tasks[-1], planned.source.tag, planned.origin if planned.by_digest else None
    kept = ""
    for rule in task.rules:
        if not _is_meant(task, rule, planned):
            continue
        if _is_left_alone(rule, planned):
            kept = f": 'skip-existing' at {rule.where} leaves alone what is there"
        else:
            copy = Copy(
                task=task.name,
                source=planned.source.with_tag(tag, planned.origin),
                targets=tuple(target.ref for target in planned.targets),
                to=tuple(target.to for target in planned.targets),
                platforms=rule.platforms,
                where=rule.where,
                subset=rule.subset,
                by_digest=given is not None,
            )
            return Job(task, copy, planned, tuple(tasks) if is_contested(tasks, rule, copy) else ())
    targets = ", ".join(str(target.ref) for target in planned.targets)
    raise Outdated(f"no mapping of task {task.name!r} means {planned.source} -> {targets}{kept}", hint=ANEW)


def _is_meant(task: Task, rule: Rule, planned: PlannedCopy) -> bool:
    """Whether a mapping takes this image, and gives it these names."""
    source, given = planned.source, planned.origin if planned.by_digest else None
    picks = rule.tags.candidates([source.tag] if source.tag is not None and not planned.by_digest else [])
    if not any((pick.tag, pick.digest) == (source.tag, given) for pick in picks):
        return False
    if source.tag is not None and source.tag in rule.exclude:
        return False
    for name in _names(task, rule, source):
        try:
            tag = None if source.tag is None else rule.names.apply(source.tag)
            if all(_is_target(task, rule.rewrite.apply(name), tag, source, target) for target in planned.targets):
                return True
        except ValueError:
            continue  # the mapping makes no legal name of it
    return False


def _is_left_alone(rule: Rule, planned: PlannedCopy) -> bool:
    """Whether the copy would replace what the mapping says never changes."""
    is_kept = planned.source.tag is not None and planned.source.tag in rule.immutable
    return is_kept and any(target.before is not None for target in planned.targets)


def _names(task: Task, rule: Rule, source: Ref) -> Iterator[str]:
    """The names, as the mapping knows them, by which it may mean the repository of ``source``."""
    prefix = f"{task.source.prefix}/" if task.source.prefix else ""
    inner = source.repository.removeprefix(prefix)
    for name in dict.fromkeys((rule.source.fixed or inner, inner, inner.removeprefix("library/"))):
        with suppress(ValueError):
            if rule.source.matches(name) and task.source.ref(name).name == source.name:
                yield name


def _is_target(task: Task, name: str, tag: str | None, source: Ref, target: PlannedTarget) -> bool:
    if target.to >= len(task.targets):
        return False
    return task.targets[target.to].ref(name).with_tag(tag, None if tag else source.digest) == target.ref


class Applying:
    """Gives copies that were planned where a Resolver would look for some; ``check`` comes first."""

    def __init__(
        self, work: Sequence[Job], mounts: Sequence[Mount], resolver: Resolver, registries: Registries, journal: Journal
    ) -> None:
        self.pulls = resolver.pulls
        self._work = work
        self._mounts = mounts
        self._resolver = resolver
        self._registries = registries
        self._journal = journal
        self._ready: list[tuple[Task, Copy]] = []
        self._before = {target.ref: target.before for job in work for target in job.planned.targets}
        self._endpoints = {one.ref("x").host: one for job in work for one in job.task.targets}
        self.refused: list[tuple[Task, Outcome]] = []

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks that have something to tell: copies, or reasons why nothing may be copied."""
        told = [task for task, _ in self.refused] or [task for task, _ in self._ready]
        return tuple({id(task): task for task in told}.values())

    async def check(self, width: int, seconds: float) -> None:
        """Hold all copies against the registries, ``width`` at a time; afterwards ``refused`` are those that moved.

        One look may take so many ``seconds``.
        """
        contested = max((job.rivals for job in self._work), key=len, default=())
        rights = Rights()
        await rights.look(contested, self._resolver)

        async def look(job: Job) -> Copy | Failure:
            if job.rivals and (refusal := rights.refusal(job.copy)):
                return refusal
            return await contained(in_time(self._checked(job), job.copy.source, seconds), job.copy)

        for job, result in zip(self._work, await each(look, self._work, width), strict=True):
            if isinstance(result, Copy):
                self._ready.append((job.task, result))
            else:
                failed = (Outcome(job.copy, target, Status.FAILED, failure=result) for target in job.copy.targets)
                self.refused += ((job.task, outcome) for outcome in failed)
        if not self.refused:
            await each(self._note, self._mounts, width)

    async def _checked(self, job: Job) -> Copy:
        """Return the copy with what its relay needs to know; Outdated when anything is not as it was planned."""
        source, planned = job.copy.source, job.planned
        registry = self._registries.at(job.task.source)
        named = job.copy.origin if job.copy.by_digest else source.with_tag(source.tag)
        found = await registry.head_manifest(named.repository, named.reference)
        if found is None:
            raise Outdated(f"{named} is gone since the plan was made", hint=ANEW)
        if found.digest != planned.origin:
            text = f"{named} has moved since the plan was made: from {planned.origin} to {found.digest}"
            raise Outdated(text, hint=ANEW)
        meant = (await self._resolver.decide(job.task, job.copy.only([]))).copy
        if meant.source.digest != planned.source.digest:
            text = f"of {named} the plan means {planned.source.digest}, and the config {meant.source.digest}"
            raise Outdated(text, hint=ANEW)
        copy = replace(meant, targets=job.copy.targets, to=job.copy.to)
        for to, target in zip(copy.to, copy.targets, strict=True):
            await self._reason(job.task.targets[to], target, copy.source.digest)
        return copy

    async def _reason(self, endpoint: Endpoint, target: Ref, digest: Digest | None) -> Reason:
        """Tell what is to be done at a target; Outdated where it is neither as it was nor as it is to be."""
        found = await self._registries.at(endpoint).stored_manifest(target.repository, target.reference)
        now, before = found.digest if found else None, self._before[target]
        if now == digest:
            return Reason.CURRENT
        if now == before:
            return Reason.MISSING if now is None else Reason.CHANGED
        became = f"it had {before or 'nothing'}, and has {now or 'nothing'}"
        text = f"somebody else wrote {target} since the plan was made: {became}"
        raise Outdated(text, hint=f"see who writes there, and {ANEW}")

    async def _note(self, mount: Mount) -> None:
        """Tell the relay from where it may mount, if that is still so; it spares bytes, and nothing more."""
        endpoint = self._endpoints[mount.host]
        with suppress(DregsyError):
            if await self._registries.at(endpoint).has_blob(mount.repository, mount.blob):
                self._journal.saw_blob(endpoint.api_host, mount.repository, mount.blob)

    async def copies(self, task: Task) -> AsyncGenerator[Found, None]:
        """Give the planned copies of ``task``, or what keeps them all from being done."""
        for of, outcome in self.refused:
            if of is task:
                yield outcome
        for of, copy in self._ready if not self.refused else ():
            if of is task:
                yield copy

    async def again(self, task: Task, part: Unlisted) -> AsyncGenerator[Found, None]:
        """Give nothing: a plan has no listings that could fail."""
        del task
        for outcome in part.outcomes:
            yield outcome

    async def decide(self, task: Task, copy: Copy) -> Decision:
        """Look once more what a target has, right before it is written."""
        digest = copy.source.digest
        reasons: list[Reason | Failure] = []
        for to, target in zip(copy.to, copy.targets, strict=True):
            endpoint = task.targets[to]
            try:
                reason = await self._reason(endpoint, target, digest)
            except DregsyError as error:
                reasons.append(Failure.of(error))
                continue
            reasons.append(reason)
            if reason is not Reason.CURRENT and self._journal.believes_tags:
                await self._journal.drop_tag(endpoint.api_host, target.repository, target.reference)
        return Decision(copy, tuple(reasons))

    async def finish(self) -> int:
        """End the run of a task; no request was spared."""
        return await self._resolver.finish()
