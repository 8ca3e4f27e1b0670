"""Work that blocks, for a bounded time: the tools of clouds wait for servers that may never answer."""

import asyncio
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


async def on_thread(work: Callable[[], Result], seconds: float) -> Result:
    """Do ``work`` on a thread of its own; TimeoutError when it takes longer than ``seconds``.

    Nobody waits for a thread that was given up, not even the end of the process. What it brings is lost.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    results: list[Result] = []
    errors: list[BaseException | None] = []

    def tell() -> None:
        if not done.done():
            done.set_result(None)

    def run() -> None:
        with suppress(Exception):  # it goes on to whoever waits
            try:
                results.append(work())
            finally:
                errors.append(sys.exception())
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(tell)

    threading.Thread(target=run, name="cloud", daemon=True).start()
    async with asyncio.timeout(seconds):
        await done
    if errors[0] is not None:
        raise errors[0]
    return results[0]
