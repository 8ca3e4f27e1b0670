import asyncio
import subprocess
import sys
import threading

import pytest

from dregsy.cloud.threads import on_thread


async def test_results_and_errors() -> None:
    """What the work returns or raises comes back."""

    def fail() -> None:
        raise ValueError("it")

    assert await on_thread(lambda: threading.current_thread() is threading.main_thread(), 10) is False
    with pytest.raises(ValueError, match="it"):
        await on_thread(fail, 10)


async def test_no_end() -> None:
    """Work that has no end is given up, and others are not held up by any amount of it."""
    end = threading.Event()
    waiting = [on_thread(end.wait, 0.01) for _ in range(50)]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in results] == [TimeoutError] * 50
    assert await on_thread(lambda: 1, 10) == 1
    end.set()


async def test_cancelled() -> None:
    """Who is cancelled does not wait for the work."""
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        end.wait()

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(on_thread(work, 60))
        while not begun.is_set():
            await asyncio.sleep(0.005)
        waiting.cancel()
    end.set()
    assert waiting.cancelled()


def test_the_end_of_the_process() -> None:
    """The process ends while work still waits."""
    code = (
        "import asyncio, threading\n"
        "from dregsy.cloud.threads import on_thread\n"
        "try: asyncio.run(on_thread(threading.Event().wait, 0.01))\n"
        "except TimeoutError: print('given up')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "given up\n", "")
