"""A program that a relay runs: what it prints, how it ends, and the end of all that it started.

Its output comes through a pipe of our own: with those of asyncio, a program that has ended would count as
running for as long as a child of it holds one open.
"""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import FileIO

_OUTPUT_LIMIT = 64 * 2**10
_CHUNK = 2**16
_KILL_SECONDS = 1.0


async def run(
    command: Sequence[str], environment: Mapping[str, str], seconds: float, descriptors: Sequence[int] = ()
) -> tuple[int, str]:
    """Return the exit status, and the last 64 KiB of what the program printed to both its outputs.

    ``descriptors`` are open files that it inherits, under their numbers. TimeoutError when it has not ended
    after ``seconds``, OSError when it cannot be started. Whatever happens, also when this is cancelled, no
    process of its group stays behind.
    """
    tail = bytearray()
    loop = asyncio.get_running_loop()
    with _pipe() as (reading, writing):

        def collect() -> bool:
            chunk = reading.read(_CHUNK)
            tail.extend(chunk or b"")
            del tail[:-_OUTPUT_LIMIT]
            return bool(chunk)

        process = await _start(command, environment, writing, descriptors)
        try:
            loop.add_reader(reading, collect)
            async with asyncio.timeout(seconds):
                status = await process.wait()
        finally:
            loop.remove_reader(reading)
            await _end(process)
        # A process that left the group may go on writing: no more is read than what a pipe can hold.
        rest = range(2**20 // _CHUNK)
        all(collect() for _ in rest)
    return status, tail.decode(errors="replace")


@contextmanager
def _pipe() -> Iterator[tuple[FileIO, FileIO]]:
    """Both ends of a pipe, of which the one for reading never waits."""
    reading, writing = os.pipe()
    with FileIO(reading) as output, FileIO(writing, "w") as inlet:
        os.set_blocking(reading, False)
        yield output, inlet


async def _start(
    command: Sequence[str], environment: Mapping[str, str], output: FileIO, descriptors: Sequence[int]
) -> Process:
    """Start a process group; one that is cancelled before it is known here ends with all its members too."""
    starting = asyncio.ensure_future(  # noqa: TID251 - awaited in any case
        asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            env=environment,
            start_new_session=True,
            pass_fds=descriptors,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with suppress(OSError):
            await _end(await starting)
        raise


async def _end(process: Process) -> None:
    """End a program and all of its group; returns when it is gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):  # a process that waits for a dead disk cannot be killed
        async with asyncio.timeout(_KILL_SECONDS):
            await process.wait()
