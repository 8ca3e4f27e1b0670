"""The composition root: builds what a Plan needs, runs it, and ends it well, whatever ends it.

Nothing below this file knows of signals, the process environment or exit codes.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from dregsy import relay
from dregsy.credentials import Logins
from dregsy.errors import UsageError
from dregsy.executor import LocalExecutor
from dregsy.model import pattern
from dregsy.model.plan import Once, Plan, Task
from dregsy.model.report import Decision, Event, Listener, Outcome, Report, Warned
from dregsy.orchestrator import Orchestrator
from dregsy.registry.listing import Listings
from dregsy.registry.pool import Registries
from dregsy.relay import Relay, Toolbox
from dregsy.resolve import Resolver
from dregsy.scheduler import Clock, WallClock, serve

GRACE = 25.0
"""How long copies in flight may go on after the first signal, in seconds; Kubernetes kills after 30."""
_LAST_CALL = 5.0
"""How long everything may take to clean up after an abort, in seconds, before it is cancelled."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def run(
    plan: Plan,
    *,
    environ: Mapping[str, str],
    only: str = "",
    listeners: Sequence[Listener] = (),
    grace: float = GRACE,
    clock: Clock | None = None,
) -> int:
    """Run the tasks whose names match ``only`` until none is left or a signal comes; return the exit code.

    That is 0 when the last run of each task left nothing undone, else 1. The first SIGTERM or SIGINT
    lets copies in flight finish for up to ``grace`` seconds, a second one cancels them. Raises
    UsageError for a filter that is no expression, and RelayUnavailable.
    """
    emit = _to_all(listeners)
    tasks = selected(plan.tasks, only)
    if not tasks:
        emit(_nothing(plan, only))
        return 0
    reports: tuple[Report, ...] | None = None
    async with (
        _ending(grace, emit) as ending,
        _toolbox(plan, environ, emit) as toolbox,
        relay.load(plan.relay.name)(plan.relay.settings, toolbox) as mover,
    ):
        ending.working = True
        orchestrator = _orchestrator(plan, toolbox, mover, ending)
        reports = await serve(tasks, orchestrator.run, clock=clock or WallClock(), stop=ending.stop)
    return exit_code(tasks, reports)


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
    tasks = selected(plan.tasks, only)
    if not tasks:
        emit(_nothing(plan, only))
    async with _ending(0.0, emit) as ending, _toolbox(plan, environ, emit) as toolbox:
        mover = relay.load(plan.relay.name)(plan.relay.settings, toolbox)
        orchestrator = _orchestrator(plan, toolbox, mover, ending)
        for task in tasks:
            async for item in orchestrator.check(task):
                if isinstance(item, Warned):
                    emit(item)
                else:
                    found(task, item)
    return not ending.stop.is_set()


def _orchestrator(plan: Plan, toolbox: Toolbox, mover: Relay, ending: "_Ending") -> Orchestrator:
    resolver = Resolver(toolbox.registries, Listings(toolbox.registries))
    return Orchestrator(plan, resolver, LocalExecutor(mover), toolbox.emit, ending.stop, ending.abort)


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
    once = [report for report in reports if isinstance(report.task.schedule, Once)]
    all_ran = len(once) == sum(isinstance(task.schedule, Once) for task in tasks)
    return 0 if all_ran and all(report.ok for report in once) and not any(report.failures for report in reports) else 1


class _Ending:
    """What signals set off: stop, then abort, and should that not help, the end of everything."""

    def __init__(self, grace: float, deadline: asyncio.Timeout, emit: Listener) -> None:
        self.stop = asyncio.Event()
        self.abort = asyncio.Event()
        self.working = False
        """Whether there may be copies to wait for."""
        self._grace = grace
        self._deadline = deadline
        self._emit = emit
        self._patience: asyncio.TimerHandle | None = None

    def signalled(self) -> None:
        """Take a signal."""
        if self.stop.is_set() or not self.working:
            self.give_up()
            return
        self.stop.set()
        self._patience = asyncio.get_running_loop().call_later(self._grace, self.give_up)
        remaining = f"copies in flight, if any, have {self._grace:g} s to finish; signal again to cancel them"
        self._emit(Warned("", f"stopping: {remaining}"))

    def give_up(self) -> None:
        """Cancel the copies now, and soon after whatever else takes its time.

        From now on a signal kills: that ends even a relay that does not let itself be cancelled.
        """
        self.close()
        self.stop.set()
        self.abort.set()
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        if self.working:
            self._emit(Warned("", "cancelling what is in flight; signal again to end without cleaning up"))
        wait = _LAST_CALL if self.working else 0.0
        self._deadline.reschedule(asyncio.get_running_loop().time() + wait)

    def close(self) -> None:
        """Forget the grace period."""
        if self._patience is not None:
            self._patience.cancel()


@asynccontextmanager
async def _ending(grace: float, emit: Listener) -> AsyncIterator[_Ending]:
    """Heed signals inside; what they cut short is left without an error."""
    deadline = asyncio.timeout(None)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        async with deadline:
            ending = _Ending(grace, deadline, emit)
            loop = asyncio.get_running_loop()
            try:
                for number in _SIGNALS:
                    loop.add_signal_handler(number, ending.signalled)
                yield ending
            finally:
                ending.close()
                for number, handler in before.items():
                    loop.remove_signal_handler(number)
                    signal.signal(number, handler or signal.SIG_DFL)
    except TimeoutError:
        if not deadline.expired():
            raise


@asynccontextmanager
async def _toolbox(plan: Plan, environ: Mapping[str, str], emit: Listener) -> AsyncIterator[Toolbox]:
    """Build what relays and the orchestrator work with, and take it down again."""
    home = environ.get("HOME")
    logins = Logins(environ, Path(home) if home else Path.home())
    with scratch(plan.state) as folder:
        async with Registries(logins, environ) as registries:
            yield Toolbox(registries, logins, folder, emit, plan.timeout)


@contextmanager
def scratch(state: str | None) -> Iterator[Path]:
    """Give a private folder that is gone afterwards, below ``state`` or else where the system has such.

    Below ``state`` it also removes what processes left there that died. A live one holds a lock on its
    folder, which ends with it however it ends. UsageError when ``state`` cannot be used.
    """
    if state is None:
        with tempfile.TemporaryDirectory(prefix="dregsy-", ignore_cleanup_errors=True) as name:
            yield Path(name)
        return
    try:
        folder, lock = _claim(Path(state))
    except OSError as error:
        raise UsageError(
            f"the state folder {state!r} cannot be used: {error.strerror or error}",
            hint="set 'state' to a folder that dregsy may write to",
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _claim(state: Path) -> tuple[Path, int]:
    """Make a locked scratch folder; nobody else cleans up between its making and its locking."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    guard = _lock(state)
    try:
        for old in state.glob("scratch-*"):
            _remove_if_dead(old)
        folder = Path(tempfile.mkdtemp(prefix="scratch-", dir=state))
        return folder, _lock(folder)
    finally:
        os.close(guard)


def _remove_if_dead(folder: Path) -> None:
    """Remove a scratch folder that nobody holds a lock on."""
    try:
        lock = _lock(folder, fcntl.LOCK_NB)
    except OSError:
        return
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _lock(folder: Path, flags: int = 0) -> int:
    """Lock a folder until the returned file descriptor is closed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _to_all(listeners: Sequence[Listener]) -> Listener:
    """Make one listener of many."""

    def emit(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return emit
