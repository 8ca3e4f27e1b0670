"""Holds copies back while their source has too few pulls left for the login that is used (``rate-limit``)."""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from dregsy.errors import DregsyError
from dregsy.model.endpoint import Endpoint
from dregsy.model.ref import Ref
from dregsy.model.report import HeldBack
from dregsy.registry.client import Registry
from dregsy.registry.pool import Registries

BEAT = 60.0
"""Seconds after which a wait shows that it lives."""
_LOG = logging.getLogger(__name__)


class Pulls:
    """Lets copies begin one after the other, as long as enough pulls are left for those that have begun.

    A wait is told as HeldBack every ``beat`` seconds. ``ahead`` is how many images are known that may yet want a pull.
    """

    def __init__(self, registries: Registries, beat: float = BEAT) -> None:
        self.ahead = 0
        self._beat = beat
        self._registries = registries
        self._locks: defaultdict[Endpoint, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: Counter[Endpoint] = Counter()
        self._begun: Counter[Endpoint] = Counter()

    @asynccontextmanager
    async def place(
        self, source: Endpoint, image: Ref, stop: asyncio.Event, tell: Callable[[str], None]
    ) -> AsyncIterator[None]:
        """Enter this to copy ``image``; it waits until there are pulls for that, or ``stop`` is set.

        ``tell`` is told once for each such wait how many pulls are left, how many images wait, and until when.
        """
        if not source.rate_limit.least:
            yield
            return
        registry = self._registries.at(source)
        account = registry.endpoint
        self._waiting[account] += 1
        try:
            async with self._locks[account]:
                await self._wait(registry, image, stop, tell)
        finally:
            self._waiting[account] -= 1
        self._begun[account] += 1
        try:
            yield
        finally:
            self._begun[account] -= 1

    async def _wait(self, registry: Registry, image: Ref, stop: asyncio.Event, tell: Callable[[str], None]) -> None:
        account, told = registry.endpoint, False
        limit = account.rate_limit
        while not stop.is_set() and await self._is_low(registry, image):
            text = self._forecast(registry)
            if told:
                _LOG.info("%s", text)
            else:
                tell(text)
            told = True
            await self._sleep(account.host, limit.retry, stop)
        if told and not stop.is_set():
            _LOG.info("%s has %s: copies go on", account.host, registry.allowance or "told nothing of pulls")

    def _forecast(self, registry: Registry) -> str:
        """Say how many pulls are left, how many are wanted, and when there may be more."""
        account, known = registry.endpoint, registry.allowance
        limit, waiting = account.rate_limit, self._waiting[account]
        more = f", and up to {self.ahead} more are to come" if self.ahead else ""
        next_look = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() + limit.retry))
        back = f"; a pull counts for {known.window / 3600:g} h" if known and known.window else ""
        return (
            f"{account.host} has {known}, and {limit.least} are to stay: {waiting} wait for them{more}"
            f"; the next look is at {next_look}, then every {limit.retry:g} s{back}"
        )

    async def _sleep(self, host: str, seconds: float, stop: asyncio.Event) -> None:
        """Wait for ``seconds``, or until ``stop`` is set, with signs of life."""
        loop = asyncio.get_running_loop()
        end, until = loop.time() + seconds, time.time() + seconds
        while (left := end - loop.time()) > 0 and not stop.is_set():
            self._registries.emit(HeldBack(host, until))
            try:
                async with asyncio.timeout(min(left, self._beat)):
                    await stop.wait()
            except TimeoutError:
                continue

    async def _is_low(self, registry: Registry, image: Ref) -> bool:
        """Ask how many pulls are left, by a HEAD, which is none; each copy under way may take one yet."""
        account = registry.endpoint
        try:
            await registry.head_manifest(image.repository, image.reference)
        except DregsyError:
            return False  # the copy will meet the same, and tell
        known = registry.allowance
        return known is not None and known.left - self._begun[account] < account.rate_limit.least
