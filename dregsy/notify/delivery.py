"""One attempt to deliver a message, and the next ones where that may help."""

import asyncio
from collections.abc import Awaitable, Callable

from dregsy.errors import DregsyError
from dregsy.registry.retry import Backoff

TIMEOUT = 10.0
"""The longest that one attempt may take, in seconds."""
BACKOFF = Backoff(attempts=3, base=1.0, cap=5.0, patience=10.0)


class Undelivered(DregsyError):
    """A message did not reach its channel; ``retryable`` where it may the next time, ``after`` so many seconds.

    ``partly`` where some of those it was for have it.
    """

    kind = "notify"
    partly = False

    def __init__(self, message: str, *, hint: str = "", retryable: bool = False, after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable
        self.after = after


async def deliver(send: Callable[[], Awaitable[None]], place: str, backoff: Backoff = BACKOFF) -> None:
    """Try to send, three times where that may help; Undelivered with what was in the way the last time."""
    attempt = 1
    while True:
        try:
            async with asyncio.timeout(TIMEOUT) as limit:
                await send()
        except TimeoutError:
            if not limit.expired():
                raise
            error = Undelivered(f"{place} did not take it within {TIMEOUT:g} seconds", retryable=True)
        except Undelivered as one:
            error = one
        else:
            return
        wait = backoff.wait(attempt, error.after) if error.retryable else None
        if wait is None:
            raise error
        attempt += 1
        await asyncio.sleep(wait)
