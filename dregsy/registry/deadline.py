"""Lists that come page by page have an end in time as well: each page may be quick, and their number unbounded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dregsy.errors import Unreachable


@asynccontextmanager
async def deadline(seconds: float, what: str) -> AsyncIterator[None]:
    """Enter this to list ``what``; Unreachable, which may be tried again, when that takes longer."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise Unreachable(
            f"{what} could not be listed within {seconds:g} seconds",
            retryable=True,
            hint="check that the registry is well, or raise 'timeout'",
        ) from None
