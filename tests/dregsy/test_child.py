import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from dregsy.child import Program
from tests.testbed.processes import ends

PATH = {"PATH": os.environ["PATH"]}


def shell(*lines: str) -> list[str]:
    """Return the command of a shell script."""
    return ["sh", "-c", "\n".join(lines)]


async def said(
    command: Sequence[str], environment: Mapping[str, str] = PATH, seconds: float = 60, **more: Any
) -> tuple[int, str]:
    """Run a program; return its status and all that it printed."""
    output = bytearray()

    def take(chunk: bytes) -> bool:
        output.extend(chunk)
        return True

    status = await Program(command, environment, **more).run(seconds, take)
    return status, output.decode()


def started() -> set[int]:
    """Return the processes that this one has started and not seen the end of."""
    return {one.pid for one in psutil.Process().children(recursive=True)}


async def test_status_and_output_come_back() -> None:
    """Both outputs are read, in their order, and the environment is the one that was given and no other."""
    done = await said(shell("echo one; echo two >&2; echo $SECRET$NAME; exit 3"), {**PATH, "NAME": "three"}, 60)

    assert done == (3, "one\ntwo\nthree\n")


async def test_much_output_comes_whole() -> None:
    """A program may print more than a pipe holds."""
    status, output = await said(shell("head -c 3000000 /dev/zero | tr '\\0' x; echo end"))

    assert (status, len(output), output[-5:]) == (0, 3_000_004, "xend\n")


async def test_the_input_is_read_to_its_end() -> None:
    """A program has what it is given and then nothing more, however much that is; without any it has nothing."""
    assert await said(["wc", "-c"], stdin=b"x" * 200_000) == (0, "200000\n")
    assert await said(["wc", "-c"]) == (0, "0\n")


async def test_complaints_are_left_alone_where_nobody_wants_them() -> None:
    """What goes to standard error is not taken for an answer."""
    assert await said(shell("echo complaint >&2; echo answer"), complains=False) == (0, "answer\n")


async def test_whoever_has_had_enough_ends_it(tmp_path: Path) -> None:
    """A program that talks on is ended with its children as soon as nobody wants more."""
    pid = tmp_path / "pid"
    chunks = []

    def take(chunk: bytes) -> bool:
        chunks.append(chunk)
        return False

    program = Program(shell("sleep 1000 &", f"echo $! > {pid}", "exec yes"), PATH)

    assert await program.run(60, take) == -signal.SIGKILL
    assert set(b"".join(chunks)) == set(b"y\n")
    assert ends(int(pid.read_text()))


async def test_a_child_that_holds_the_output_open_is_ended(tmp_path: Path) -> None:
    """When the program has ended nobody waits for what it started, which ends as well."""
    pid = tmp_path / "pid"
    done = await said(shell("sleep 1000 &", f"echo $! > {pid}", "echo said"))

    assert done == (0, "said\n")
    assert ends(int(pid.read_text()))


async def test_an_endless_talker_is_ended_in_time() -> None:
    """Reading does not keep the time limit from being noticed."""
    with pytest.raises(TimeoutError):
        await said(["yes"], PATH, 0.2)


async def test_a_daemon_that_goes_on_talking_is_not_listened_to(tmp_path: Path) -> None:
    """A process that left the group keeps what it has of the output, but no caller."""
    pid = tmp_path / "pid"
    os.mkfifo(pid)
    async with asyncio.TaskGroup() as group:
        talker = f"setsid sh -c 'echo $$ > {pid}; exec yes' & wait; exit 4"
        running = group.create_task(said(shell(talker)))
        number = int(await asyncio.to_thread(pid.read_text))
        os.kill(number, 9)

    assert running.result()[0] == 4


async def test_open_files_are_handed_on() -> None:
    """A file without a name reaches the program under its number."""
    with os.fdopen(os.memfd_create("text"), "w+") as file:
        file.write("content")
        file.flush()
        done = await said(["cat", f"/dev/fd/{file.fileno()}"], descriptors=[file.fileno()])

    assert done == (0, "content")


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("times", [1, 3])
async def test_one_that_is_cancelled_while_it_starts_ends(steps: int, times: int) -> None:
    """There is no moment at which a cancelled program could get away, however often it is cancelled."""
    before = started()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(said(["sleep", "1000"]))
        for _ in range(steps):
            await asyncio.sleep(0)
        for _ in range(times):
            running.cancel()
            await asyncio.sleep(0)

    assert running.cancelled()
    assert started() - before == set()


@pytest.mark.parametrize("steps", range(6))
async def test_cancelling_on_and_on_does_not_hurry_the_end(steps: int) -> None:
    """Who is told that it is over is told so after the program's end has been seen, and not a moment before."""
    before = started()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(said(["sleep", "1000"]))
        for _ in range(steps):
            await asyncio.sleep(0)
        while not running.done():
            running.cancel()
            await asyncio.sleep(0)
        left = started() - before

    assert running.cancelled()
    assert left == set()


async def test_a_missing_program_is_an_os_error() -> None:
    """The caller knows what to say about it."""
    with pytest.raises(FileNotFoundError):
        await said(["/no/such/program"])
