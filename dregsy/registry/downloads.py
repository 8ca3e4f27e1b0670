"""One blob on its way from a registry, over as many connections as it takes.

What broke off goes on by Range (RFC 9110 §14) behind the last byte that arrived, and the hash with it: each byte
comes about once, and the whole is checked as if it had come in one piece.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from dregsy.errors import Unreachable
from dregsy.model.digest import Verifier
from dregsy.model.manifest import UNKNOWN_SIZE, Descriptor
from dregsy.registry.retry import Budget
from dregsy.registry.transport import Request, Transport
from dregsy.registry.wire import Response, show

_MARK_EVERY = 4 * 2**20
"""Bytes between two states of the hash that are kept."""
_MARKS = 16
"""How many of those: going back further begins at the first byte."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BlobStream:
    """A blob on its way: its size in bytes and its bytes, which are checked as they pass.

    ``again`` gives the bytes from an offset on, once ``chunks`` was closed before its end: for who lost some that it
    had taken. No offset is beyond what was taken.
    """

    size: int
    chunks: AsyncGenerator[bytes, None]
    again: Callable[[int], AsyncGenerator[bytes, None]]


class Download:
    """Reads what ``request`` asks for, while its ``async with`` lasts; the caller holds a place for it.

    Its last bytes are given only after digest and size of the whole were found right; before that,
    DigestMismatch ends the stream.
    """

    def __init__(self, transport: Transport, request: Request, blob: Descriptor) -> None:
        self._transport = transport
        self._request = request
        self._blob = blob
        self._verifier = Verifier(blob.digest, blob.size)
        self._marks: deque[Verifier] = deque(maxlen=_MARKS)
        self._budget = Budget(transport.backoff)
        self._connection = AsyncExitStack()
        self._answer: Response | None = None
        self._skip = 0

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.aclose()

    def stream(self) -> BlobStream:
        """Return the blob; its size is negative where neither its descriptor nor the registry tells."""
        assert self._answer is not None
        if self._blob.size == UNKNOWN_SIZE:
            self._verifier = Verifier(self._blob.digest, length(self._answer))
        return BlobStream(self._verifier.size, self._verified(), self._again)

    async def _again(self, offset: int) -> AsyncGenerator[bytes, None]:
        """Go back to ``offset``: read on from the last mark before it, whose hash is known."""
        while self._marks and self._marks[-1].seen > offset:
            self._marks.pop()
        size = self._verifier.size
        self._verifier = self._marks[-1].copy() if self._marks else Verifier(self._blob.digest, size)
        drop = offset - self._verifier.seen
        await self._open()
        async with aclosing(_without(self._verified(), drop)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _verified(self) -> AsyncGenerator[bytes, None]:
        """Pass chunks on, each only when the next has come, and the last only when the whole is right."""
        held = b""
        async with aclosing(self._unbroken()) as chunks:
            async for chunk in chunks:
                self._verifier.update(chunk)
                if self._verifier.seen >= (self._marks[-1].seen if self._marks else 0) + _MARK_EVERY:
                    self._marks.append(self._verifier.copy())
                if held:
                    yield held
                held = chunk
        self._verifier.finish()
        if held:
            yield held

    async def _unbroken(self) -> AsyncGenerator[bytes, None]:
        """Give the bytes of one connection after the other, until one of them comes to its end."""
        while True:
            start = self._verifier.seen
            try:
                async with aclosing(self._rest()) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except Unreachable as error:
                wait = self._budget.wait(self._verifier.seen - start) if error.retryable else None
                if wait is None:
                    raise
                if self._verifier.seen == self._verifier.size:
                    return  # all that was missing was the end of the answer
                _LOG.info("%s; going on at byte %d in %.1f s", error.message, self._verifier.seen, wait)
            else:
                return
            await asyncio.sleep(wait)
            await self._open()

    async def _rest(self) -> AsyncGenerator[bytes, None]:
        assert self._answer is not None
        async with aclosing(_without(self._paced(self._answer), self._skip)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _paced(self, answer: Response) -> AsyncGenerator[bytes, None]:
        """Give the body of an answer; Unreachable when it comes in so slowly that it holds a place for nothing.

        Only the time counts that is spent waiting for the source: a slow target is another matter.
        """
        limits, waited, came = self._transport.timeouts, 0.0, 0
        async with aclosing(answer.chunks()) as chunks:
            asked = time.monotonic()
            async for chunk in chunks:
                waited, came = waited + time.monotonic() - asked, came + len(chunk)
                if came >= limits.trickle:
                    waited, came = 0.0, 0
                elif waited > limits.read:
                    place = f"{urlsplit(answer.url).netloc} sends no more than {came} bytes in {limits.read:g} seconds"
                    raise Unreachable(place, method=answer.method, url=show(answer.url), retryable=True)
                yield chunk
                asked = time.monotonic()

    async def _open(self) -> None:
        """Ask for what is missing; for all of it, and skip what is known, where the registry gives no ranges."""
        await self._connection.aclose()
        offset = self._skip = self._verifier.seen
        if offset:
            accept = frozenset({200, 206, 416})
            answer = await self._ask(replace(self._request, headers={"Range": f"bytes={offset}-"}, accept=accept))
            if answer.status == 206 and _begin(answer) == offset:
                self._skip = 0
            elif answer.status != 200:
                await self._connection.aclose()
                await self._ask(self._request)
        else:
            await self._ask(self._request)

    async def _ask(self, request: Request) -> Response:
        self._answer = await self._connection.enter_async_context(self._transport.send(request))
        return self._answer


def number(text: str) -> int | None:
    """The number that stands in a header; None where there is something else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def length(response: Response) -> int:
    """The bytes that an answer says it has; negative when it does not."""
    said = number(response.headers.get("Content-Length", ""))
    return UNKNOWN_SIZE if said is None else said


def _begin(response: Response) -> int | None:
    """Where the range begins that an answer gives; None where it does not say so."""
    unit, _, span = response.headers.get("Content-Range", "").strip().partition(" ")
    return number(span.partition("-")[0]) if unit.lower() == "bytes" else None


async def _without(chunks: AsyncGenerator[bytes, None], drop: int) -> AsyncGenerator[bytes, None]:
    """Leave out the first ``drop`` bytes."""
    async with aclosing(chunks):
        async for chunk in chunks:
            if drop < len(chunk):
                yield chunk[drop:] if drop else chunk
            drop = max(0, drop - len(chunk))
