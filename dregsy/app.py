"""The composition root: builds what a Plan needs, runs it, and ends it well, whatever ends it.

Nothing below this file knows of signals, the process environment or exit codes.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dregsy import relay
from dregsy.config.load import Loaded
from dregsy.credentials import Logins
from dregsy.ending import Ending, until_signalled
from dregsy.errors import RelayUnsupported, UsageError
from dregsy.executor import Executor, LocalExecutor, VerifyingExecutor
from dregsy.inspection import Flaw, Inspector
from dregsy.journal import NAME, Journal
from dregsy.model import pattern
from dregsy.model.plan import Once, Plan, RelayChoice, State, Task
from dregsy.model.report import (
    Decision,
    Event,
    LastReports,
    Listener,
    Outcome,
    Reloaded,
    Report,
    Warned,
)
from dregsy.orchestrator import Finder, Orchestrator
from dregsy.orders import Orders
from dregsy.registry.listing import Listings
from dregsy.registry.pool import Registries
from dregsy.registry.repositories import Repositories
from dregsy.relay import Relay, Repacking, Toolbox
from dregsy.reload import ConfigFile, Reloads, reloading
from dregsy.resolve import Resolver
from dregsy.scheduler import Clock, WallClock, serve
from dregsy.scratch import scratch
from dregsy.verify import Finding, Verification

if TYPE_CHECKING:
    from dregsy.model.proposal import Proposal

GRACE = 25.0
"""How long copies in flight may go on after the first signal, in seconds; Kubernetes kills after 30."""
_LOOKERS_PER_COPY = 4
Item = TypeVar("Item")


async def run(  # noqa: PLR0913 - one for each option of the command
    origin: Plan | ConfigFile,
    *,
    environ: Mapping[str, str],
    only: str = "",
    listeners: Sequence[Listener] = (),
    grace: float = GRACE,
    verified: bool = False,
    clock: Clock | None = None,
    orders: Orders | None = None,
) -> int:
    """Run the tasks whose names match ``only`` until none is left or a signal comes; return the exit code.

    That is 0 when the last run of each task left nothing undone, else 1. The first SIGTERM or SIGINT
    lets copies in flight finish for up to ``grace`` seconds, a second one cancels them. A ConfigFile is
    read again on SIGHUP, and when its plan says ``watch`` and it changes: between two tasks the new plan
    takes the old one's place. ``verified`` looks at each image where it was written. ``orders`` may come meanwhile.
    Raises UsageError for a filter that is no expression, and RelayUnavailable.
    """
    last = LastReports()
    emit = _to_all([last, *listeners])
    clock = clock or WallClock()
    plan = origin if isinstance(origin, Plan) else origin.loaded.plan
    tasks = _picked(plan, only, emit)
    if not tasks:
        return 0
    reports: tuple[Report, ...] | None = None
    async with until_signalled(grace, emit) as ending:
        reloads = Reloads(emit, ending)
        emit = _to_all([reloads, last, *listeners])
        async with reloading(origin, reloads, _Trial(environ, only), emit, clock):
            while True:
                reports = None
                async with _working(plan, environ, emit) as (toolbox, mover):
                    ending.working = True
                    orchestrator = _orchestrator(plan, toolbox, mover, ending, verified=verified)
                    await serve(tasks, orchestrator.run, clock=clock, stop=ending.turn, emit=emit, orders=orders)
                    reports = last.reports
                if (loaded := reloads.take()) is None:
                    break
                if isinstance(origin, ConfigFile):
                    _tell_what_waits(origin.loaded, loaded, emit)
                    origin.loaded = loaded
                plan, tasks = loaded.plan, selected(loaded.plan.tasks, only)
                emit(Reloaded(ok=True, problems=loaded.warnings, tasks=tasks, timeout=plan.timeout))
    return exit_code(tasks, reports)


def _tell_what_waits(before: Loaded, after: Loaded, emit: Listener) -> None:
    """Say of what a new config has changed that it counts only for the next process."""
    changed = {"listen": before.plan.listen != after.plan.listen, "notify": before.notify != after.notify}
    for key in (key for key, is_another in changed.items() if is_another):
        emit(Warned("", f"{key!r} is another one now: that counts when dregsy is started anew"))


async def check(
    plan: Plan,
    *,
    environ: Mapping[str, str],
    found: Callable[[Task, Decision | Outcome], None],
    only: str = "",
    listeners: Sequence[Listener] = (),
) -> bool:
    """Tell ``found`` what the tasks would copy, or why that cannot be said; write nothing.

    Returns whether it came to its end; a signal ends it early. Raises as ``run`` does.
    """
    emit = _to_all(listeners)
    tasks = _picked(plan, only, emit)
    async with until_signalled(0.0, emit) as ending, _toolbox(plan, environ, emit) as toolbox:
        mover = relay.load(plan.relay.name)(plan.relay.settings, toolbox)
        orchestrator = _orchestrator(plan, toolbox, mover, ending)
        for task in tasks:
            await orchestrator.check(task, partial(_told, task, found, emit))
    return not ending.stop.is_set()


async def verify(  # noqa: PLR0913 - one for each option of the command
    plan: Plan,
    *,
    environ: Mapping[str, str],
    found: Callable[[Task, Finding], None],
    only: str = "",
    deep: bool = False,
    repair: bool = False,
    listeners: Sequence[Listener] = (),
) -> bool:
    """Tell ``found`` whether what the tasks select is whole at the targets; with ``repair``, mend what is not.

    ``deep`` reads every byte. Returns whether it came to its end. Raises as ``run`` does.
    """
    emit = _to_all(listeners)
    tasks = _picked(plan, only, emit)
    async with until_signalled(0.0, emit) as ending, _toolbox(plan, environ, emit) as toolbox:
        mover = relay.load(plan.relay.name)(plan.relay.settings, toolbox)
        async with mover if repair else nullcontext():  # to look, no tool is needed
            inspector = Inspector(toolbox.registries, deep=deep, hidden=Flaw.MISSING)
            executor = VerifyingExecutor(_executor(toolbox, mover), inspector, toolbox.journal, timeout=plan.timeout)
            verification = Verification(plan, _resolver(toolbox, mover), inspector, executor if repair else None)
            for task in tasks:
                await verification.run(task, partial(_told, task, found, emit))
    return not ending.stop.is_set()


async def propose(
    plan: Plan, *, environ: Mapping[str, str], only: str = "", listeners: Sequence[Listener] = ()
) -> "Proposal | None":
    """Return what a run of the tasks would copy now, and what that takes; write nothing.

    None when a signal came before all was looked at. Raises as ``run`` does, and RelayUnsupported.
    """
    from dregsy.planning import Planning
    from dregsy.survey import Surveyor

    emit = _to_all(listeners)
    tasks = _picked(plan, only, emit)
    proposal: Proposal | None = None
    async with until_signalled(0.0, emit) as ending, _toolbox(plan, environ, emit) as toolbox:
        mover = _plannable(relay.load(plan.relay.name)(plan.relay.settings, toolbox), plan)
        surveyor = Surveyor(toolbox.registries, toolbox.journal)
        planning = Planning(plan, _resolver(toolbox, mover), toolbox.registries, surveyor)
        for task in tasks:
            await planning.look(task, emit)
        proposal = planning.proposal()
    return None if ending.stop.is_set() else proposal


async def apply(
    plan: Plan,
    proposal: "Proposal",
    *,
    environ: Mapping[str, str],
    listeners: Sequence[Listener] = (),
    grace: float = GRACE,
    verified: bool = False,
) -> int:
    """Copy what was proposed, and nothing else; return the exit code, as ``run`` does, and 1 for what was not planned.

    Nothing is copied when any image or target is not as it was; each is then a failure in the reports. Raises Outdated
    for what ``plan`` does not mean, and what ``run`` raises.
    """
    from dregsy.applying import Applying, jobs

    emit, reports = _to_all(listeners), list[Report]()
    work = jobs(proposal, plan)
    if proposal.unplanned:
        emit(Warned("", f"images that could not be planned: {proposal.unplanned}; make a new plan to have them copied"))
    async with until_signalled(grace, emit) as ending, _working(plan, environ, emit) as (toolbox, mover):
        resolver = _resolver(toolbox, _plannable(mover, plan))
        finder = Applying(work, proposal.mounts, resolver, toolbox.registries, toolbox.journal)
        await finder.check(plan.parallel * _LOOKERS_PER_COPY, plan.timeout)
        if finder.refused:
            emit(Warned("", f"nothing is copied: of {len(work)} images, not all are as they were planned"))
        ending.working = True
        orchestrator = _orchestrator(plan, toolbox, mover, ending, verified=verified, finder=finder)
        for task in finder.tasks:
            reports += [await orchestrator.run(task)] if not ending.stop.is_set() else []
    if not ending.working:
        emit(Warned("", "cut short: nothing is copied"))
    all_ran = len(reports) == len({id(job.task) for job in work})
    return 0 if all_ran and not proposal.unplanned and all(report.ok for report in reports) else 1


def _plannable(mover: Relay, plan: Plan) -> Relay:
    if isinstance(mover, Repacking):
        name = plan.relay.name
        text = f"relay {name!r} packs images anew: what it will write, and how much, cannot be planned"
        raise RelayUnsupported(text, relay=name, hint="use relay native or skopeo, or 'check --diff' and a run")
    return mover


async def prove(choice: RelayChoice, *, environ: Mapping[str, str], state: State | None = None) -> None:
    """Start and end a relay with all that it needs; raises what stands in its way, mostly RelayUnavailable."""
    async with _working(Plan((), choice, state=state), environ, _to_all(())):
        pass


def _told(task: Task, found: Callable[[Task, Item], None], emit: Listener, item: Item | Warned) -> None:
    if isinstance(item, Warned):
        emit(item)
    else:
        found(task, item)


def _orchestrator(
    plan: Plan,
    toolbox: Toolbox,
    mover: Relay,
    ending: Ending,
    *,
    verified: bool = False,
    finder: Finder | None = None,
) -> Orchestrator:
    executor = _executor(toolbox, mover)
    if verified:
        executor = VerifyingExecutor(executor, Inspector(toolbox.registries), toolbox.journal, timeout=plan.timeout)
    finder = finder or _resolver(toolbox, mover)
    return Orchestrator(plan, finder, executor, toolbox.emit, ending.stop, ending.abort)


def _resolver(toolbox: Toolbox, mover: Relay) -> Resolver:
    repacked = mover.platform if isinstance(mover, Repacking) else None
    return Resolver(toolbox.registries, Listings(toolbox.registries), journal=toolbox.journal, repacked=repacked)


def _executor(toolbox: Toolbox, mover: Relay) -> Executor:
    return LocalExecutor(mover, repositories=Repositories(toolbox.registries))


def _picked(plan: Plan, only: str, emit: Listener) -> Sequence[Task]:
    """The tasks that are meant; that there is none is told."""
    tasks = selected(plan.tasks, only)
    if not tasks:
        emit(_nothing(plan, only))
    return tasks


def _nothing(plan: Plan, only: str) -> Warned:
    return Warned("", f"no task's name matches the filter {only!r}" if plan.tasks else "there are no tasks")


def selected(tasks: Sequence[Task], only: str) -> tuple[Task, ...]:
    """Return the tasks whose whole name matches the expression ``only``, or with a leading ``!`` does not.

    Blanks around it do not count, and nothing means all. UsageError when it is no expression.
    """
    expression = only.strip()
    if not expression:
        return tuple(tasks)
    try:
        matches = pattern.compile_whole(expression.removeprefix("!"))
    except ValueError as error:
        raise UsageError(
            f"invalid task filter {only!r}: {error}",
            hint="give a task's name, or a regular expression in RE2 syntax such as 'nightly-.*'",
        ) from None
    return tuple(task for task in tasks if matches(task.name) != expression.startswith("!"))


def exit_code(tasks: Sequence[Task], reports: Sequence[Report] | None) -> int:
    """Say how the program ends: 0 when the last run of each task left nothing undone, else 1.

    The interrupted run of a task that runs again and again counts by its failures only. ``reports``
    is None where not even that is known.
    """
    if reports is None:
        return 1
    mine = {id(task) for task in tasks}  # others ran before the config was read again
    once = [report for report in reports if id(report.task) in mine and isinstance(report.task.schedule, Once)]
    all_ran = len(once) == sum(isinstance(task.schedule, Once) for task in tasks)
    return 0 if all_ran and all(report.ok for report in once) and not any(report.failures for report in reports) else 1


class _Trial:
    """Whether a new plan can be run here, found out while the old one still counts."""

    def __init__(self, environ: Mapping[str, str], only: str) -> None:
        self._environ = environ
        self._only = only

    async def __call__(self, plan: Plan) -> None:
        """Start and end all that the plan needs; raises a DregsyError when that fails, or there is nothing to run."""
        if not selected(plan.tasks, self._only):
            raise UsageError(_nothing(plan, self._only).message, hint="to end dregsy, stop it")
        await prove(plan.relay, environ=self._environ, state=plan.state)


@asynccontextmanager
async def _working(plan: Plan, environ: Mapping[str, str], emit: Listener) -> AsyncIterator[tuple[Toolbox, Relay]]:
    """Give what runs a plan."""
    async with (
        _toolbox(plan, environ, emit) as toolbox,
        relay.load(plan.relay.name)(plan.relay.settings, toolbox) as mover,
    ):
        yield toolbox, mover


@asynccontextmanager
async def _toolbox(plan: Plan, environ: Mapping[str, str], emit: Listener) -> AsyncIterator[Toolbox]:
    """Build what relays and the orchestrator work with, and take it down again."""
    home = environ.get("HOME")
    logins = Logins(environ, Path(home) if home else Path.home(), emit=emit)
    with scratch(plan.state.path if plan.state else None) as folder:
        journal = Journal(Path(plan.state.path) / NAME, plan.state.ttl, emit) if plan.state else Journal()
        timeouts = replace(plan.timeouts, listing=plan.timeout)
        async with journal, Registries(logins, environ, timeouts=timeouts, emit=emit) as registries:
            yield Toolbox(registries, logins, folder, emit, plan.timeout, journal)


def _to_all(listeners: Sequence[Listener]) -> Listener:
    """Make one listener of many."""

    def emit(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return emit
