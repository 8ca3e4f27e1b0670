"""A config file that is read again while its tasks run: when asked for, and when it was changed.

It is looked at every second rather than watched through the kernel, which does not see what other
machines do on network shares (docs/decisions/0005).
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from dregsy.config.files import Files
from dregsy.config.load import Loaded, load
from dregsy.ending import Ending
from dregsy.errors import ConfigError, DregsyError, Problem
from dregsy.model.plan import Plan
from dregsy.model.report import Event, Listener, Reloaded, TaskFinished, TaskStarted, Warned
from dregsy.model.shard import Shard
from dregsy.scheduler import Clock

POLL = 1.0
"""How often watched files are looked at, in seconds."""
SETTLE = 5.0
"""How long they must not have changed any more before they are read, in seconds: a change may take several writes."""


class ConfigFile:
    """A config file and what it last said, for one ``shard`` of the work; reading it raises ConfigError."""

    def __init__(
        self,
        name: str,
        *,
        environ: Mapping[str, str],
        strict: bool = False,
        stdin: TextIO | None = None,
        shard: Shard | None = None,
    ) -> None:
        self.name = name
        self._shard = shard or Shard()
        self.files = Files()
        self._environ = environ
        self._strict = strict
        self.is_lasting = Path(name).is_file()
        """Whether it can be read again, unlike the standard input and other pipes."""
        self.loaded = self._shared(load(name, environ=environ, strict=strict, stdin=stdin, files=self.files))
        """What it said when it was read to be run."""

    @property
    def identity(self) -> str:
        """What tells it apart from other files."""
        return str(Path(self.name).resolve()) if self.is_lasting else self.name

    async def read_again(self) -> Loaded:
        """Return what the file says now."""
        return await asyncio.to_thread(self._load)  # noqa: TID251 - a share that hangs must not hold up copies

    def _load(self) -> Loaded:
        self.files = Files()
        return self._shared(load(self.name, environ=self._environ, strict=self._strict, files=self.files))

    def _shared(self, loaded: Loaded) -> Loaded:
        return replace(loaded, plan=loaded.plan.sharded(self._shard))

    async def hold_now(self) -> Mapping[str, bytes]:
        """Return a digest of each of its files as they are now."""
        return await asyncio.to_thread(self.files.hold_now)  # noqa: TID251 - as above


class Reloader:
    """Reads a config file again, and says what is wrong with it when it cannot take the place of the last one.

    ``prove`` raises a DregsyError for a plan that is right in itself but could not be run.
    """

    def __init__(
        self, file: ConfigFile, prove: Callable[[Plan], Awaitable[None]], emit: Listener, clock: Clock
    ) -> None:
        self._file = file
        self._prove = prove
        self._emit = emit
        self._clock = clock
        self._asked = asyncio.Event()
        self._watch = file.loaded.plan.watch and file.is_lasting
        if file.loaded.plan.watch and not file.is_lasting:
            self._emit(Warned("", "'watch' has no effect: the config does not come from a file"))

    def ask(self) -> None:
        """Have the file read at once."""
        self._asked.set()

    async def next(self) -> Loaded:
        """Wait until the file has been read again, by request or after a change, and can be run."""
        while True:
            await self._until_wanted()
            try:
                loaded = await self._read()
            except ConfigError as error:
                self._emit(Reloaded(ok=False, problems=error.problems))
            except DregsyError as error:
                problem = Problem(self._file.name, 0, "", error.message, error.hint)
                self._emit(Reloaded(ok=False, problems=(problem,)))
            else:
                self._watch = loaded.plan.watch
                return loaded

    async def _read(self) -> Loaded:
        if not self._file.is_lasting:
            message = "the config does not come from a file and cannot be read again"
            raise DregsyError(message, hint="start dregsy with -config FILE, or start it anew")
        loaded = await self._file.read_again()
        await self._prove(loaded.plan)
        return loaded

    async def _until_wanted(self) -> None:
        """Wait for a request, or for other content that has been the same for a while."""
        before = self._file.files.held
        quiet = 0.0
        while not self._asked.is_set():
            if not self._watch:
                await self._asked.wait()
                break
            await self._clock.sleep_until(self._clock.now() + POLL, self._asked)
            now = await self._file.hold_now()
            quiet = quiet + POLL if now == before else 0.0
            before = now
            if quiet >= SETTLE and now != self._file.files.held:
                break
        self._asked.clear()


class Reloads:
    """Holds the config that is to count next, until the task in progress has ended."""

    def __init__(self, emit: Listener, ending: Ending) -> None:
        self._emit = emit
        self._ending = ending
        self._next: Loaded | None = None
        self._busy = False

    def __call__(self, event: Event) -> None:
        """Hear whether a task is in progress."""
        if isinstance(event, TaskStarted | TaskFinished):
            self._busy = isinstance(event, TaskStarted)

    async def follow(self, reloader: Reloader) -> None:
        """Have every new config that can be run take its turn; ends when cancelled."""
        while True:
            self._next = await reloader.next()
            if self._busy:
                self._emit(Warned("", "the config was read again, and counts once the task in progress has ended"))
            self._ending.turn.set()

    def take(self) -> Loaded | None:
        """Return the config that is to count from now on; None when nothing more is to be run."""
        loaded, self._next = self._next, None
        if self._ending.stop.is_set():
            return None
        self._ending.turn.clear()
        return loaded


@asynccontextmanager
async def reloading(
    origin: Plan | ConfigFile, reloads: Reloads, prove: Callable[[Plan], Awaitable[None]], emit: Listener, clock: Clock
) -> AsyncIterator[None]:
    """Heed SIGHUP and changes of the file inside. A SIGHUP that is ignored, as by nohup, stays so."""
    before = signal.getsignal(signal.SIGHUP)
    if isinstance(origin, Plan):
        yield
        return
    reloader = Reloader(origin, prove, emit, clock)
    trouble: DregsyError | None = None
    async with asyncio.TaskGroup() as group:
        following = group.create_task(reloads.follow(reloader))
        if before is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.ask)
        try:
            yield
        except DregsyError as error:
            trouble = error  # a TaskGroup would wrap it
        finally:
            following.cancel()
            asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
            signal.signal(signal.SIGHUP, before or signal.SIG_DFL)
    if trouble is not None:
        raise trouble
