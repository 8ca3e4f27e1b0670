"""A program that is run: what it is given and what it prints, how it ends, and the end of all that it started.

Its output comes through a pipe of our own: with those of asyncio, a program that has ended would count as
running for as long as a child of it holds one open.
"""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from typing import TypeVar

_CHUNK = 2**16
_PIPE_LIMIT = 2**20
_KILL_SECONDS = 4.0
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Program:
    """A command, its whole environment, and its input.

    ``descriptors`` are open files that it inherits, under their numbers. Of what it prints to standard error
    nothing is read where ``complains`` is off.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    stdin: bytes = b""
    descriptors: Sequence[int] = ()
    complains: bool = True

    async def run(self, seconds: float, take: Callable[[bytes], bool]) -> int:
        """Return the exit status; ``take`` gets what it prints as it comes, and ends it by returning False.

        TimeoutError when it has not ended after ``seconds``, OSError when it cannot be started. Whatever
        happens, also when this is cancelled, no process of its group stays behind.
        """
        loop = asyncio.get_running_loop()
        with _pipe() as (reading, writing):
            process = await self._start(writing)

            def collect() -> bool:
                chunk = reading.read(_CHUNK)
                if chunk and not take(chunk):
                    loop.remove_reader(reading)
                    _kill(process)
                    return False
                return bool(chunk)

            try:
                loop.add_reader(reading, collect)
                async with asyncio.timeout(seconds):
                    status = await process.wait()
            finally:
                loop.remove_reader(reading)
                await _end(process)
            # A process that left the group may go on writing: no more is read than what a pipe can hold.
            all(collect() for _ in range(_PIPE_LIMIT // _CHUNK))
        return status

    async def _start(self, output: FileIO) -> Process:
        """Start a process group; one that is cancelled before it is known here ends with all its members too."""
        with _file(self.stdin) as stdin:
            starting = asyncio.ensure_future(  # noqa: TID251 - outlasted in any case
                asyncio.create_subprocess_exec(
                    *self.command,
                    stdin=stdin,
                    stdout=output,
                    stderr=STDOUT if self.complains else DEVNULL,
                    env=dict(self.environment),
                    start_new_session=True,
                    pass_fds=self.descriptors,
                )
            )
            try:
                return await _outlast(starting)
            except asyncio.CancelledError:
                with suppress(OSError):
                    await _end(starting.result())
                raise


@contextmanager
def _pipe() -> Iterator[tuple[FileIO, FileIO]]:
    """Both ends of a pipe, of which the one for reading never waits."""
    reading, writing = os.pipe()
    with FileIO(reading) as output, FileIO(writing, "w") as inlet:
        os.set_blocking(reading, False)
        yield output, inlet


@contextmanager
def _file(content: bytes) -> Iterator[FileIO]:
    """A file in memory, open at its beginning."""
    with FileIO(os.memfd_create("stdin"), "r+") as file:
        file.write(content)
        file.seek(0)
        yield file


async def _end(process: Process) -> None:
    """End a program and all of its group; returns when it is gone, also when this is cancelled meanwhile."""
    _kill(process)
    await _outlast(asyncio.ensure_future(_gone(process)))  # noqa: TID251 - outlasted in any case


async def _gone(process: Process) -> None:
    with suppress(TimeoutError):  # a process that waits for a dead disk cannot be killed
        async with asyncio.timeout(_KILL_SECONDS):
            await process.wait()


async def _outlast(task: asyncio.Future[_Result]) -> _Result:
    """Wait until a task is done however often this is cancelled, and be cancelled only then.

    A cancellation that went through would leave a process that nobody waits for.
    """
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return task.result()


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
