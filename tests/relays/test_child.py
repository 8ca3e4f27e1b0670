import asyncio
import os
from pathlib import Path

import pytest

from relays import child
from tests.testbed.processes import ends

PATH = {"PATH": os.environ["PATH"]}


def shell(*lines: str) -> list[str]:
    """Return the command of a shell script."""
    return ["sh", "-c", "\n".join(lines)]


async def test_status_and_output_come_back() -> None:
    """Both outputs are read, in their order, and the environment is the one that was given and no other."""
    done = await child.run(shell("echo one; echo two >&2; echo $SECRET$NAME; exit 3"), {**PATH, "NAME": "three"}, 60)

    assert done == (3, "one\ntwo\nthree\n")


async def test_of_much_output_the_end_is_kept() -> None:
    """A program may print more than a pipe holds, and more than is worth keeping."""
    status, output = await child.run(shell("head -c 3000000 /dev/zero | tr '\\0' x; echo end"), PATH, 60)

    assert (status, len(output), output[-5:]) == (0, 64 * 1024, "xend\n")


async def test_a_child_that_holds_the_output_open_is_ended(tmp_path: Path) -> None:
    """When the program has ended nobody waits for what it started, which ends as well."""
    pid = tmp_path / "pid"
    done = await child.run(shell("sleep 1000 &", f"echo $! > {pid}", "echo said"), PATH, 60)

    assert done == (0, "said\n")
    assert ends(int(pid.read_text()))


async def test_an_endless_talker_is_ended_in_time() -> None:
    """Reading does not keep the time limit from being noticed."""
    with pytest.raises(TimeoutError):
        await child.run(["yes"], PATH, 0.2)


async def test_a_daemon_that_goes_on_talking_is_not_listened_to(tmp_path: Path) -> None:
    """A process that left the group keeps what it has of the output, but no caller."""
    pid = tmp_path / "pid"
    os.mkfifo(pid)
    async with asyncio.TaskGroup() as group:
        talker = f"setsid sh -c 'echo $$ > {pid}; exec yes' & wait; exit 4"
        running = group.create_task(child.run(shell(talker), PATH, 60))
        number = int(await asyncio.to_thread(pid.read_text))
        os.kill(number, 9)

    assert running.result()[0] == 4


async def test_open_files_are_handed_on() -> None:
    """A file without a name reaches the program under its number."""
    with os.fdopen(os.memfd_create("text"), "w+") as file:
        file.write("content")
        file.flush()
        done = await child.run(["cat", f"/dev/fd/{file.fileno()}"], PATH, 60, [file.fileno()])

    assert done == (0, "content")


async def test_one_that_is_cancelled_while_it_starts_ends() -> None:
    """There is no moment at which a cancelled program could get away."""
    for _ in range(10):
        async with asyncio.TaskGroup() as group:
            running = group.create_task(child.run(["sleep", "1000"], PATH, 60))
            await asyncio.sleep(0)
            running.cancel()
        assert running.cancelled()


async def test_a_missing_program_is_an_os_error() -> None:
    """The caller knows what to say about it."""
    with pytest.raises(FileNotFoundError):
        await child.run(["/no/such/program"], PATH, 60)
