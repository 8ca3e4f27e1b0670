"""Holds copies back while their source has too few pulls left for the login that is used (``rate-limit``)."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from dregsy.errors import DregsyError
from dregsy.model.endpoint import Endpoint
from dregsy.model.ref import Ref
from dregsy.registry.client import Registry
from dregsy.registry.pool import Registries


class Pulls:
    """Lets copies begin one after the other, as long as enough pulls are left for those that have begun."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries
        self._locks: defaultdict[Endpoint, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: Counter[Endpoint] = Counter()
        self._begun: Counter[Endpoint] = Counter()

    @asynccontextmanager
    async def place(
        self, source: Endpoint, image: Ref, stop: asyncio.Event, tell: Callable[[str], None]
    ) -> AsyncIterator[None]:
        """Enter this to copy ``image``; it waits until there are pulls for that, or ``stop`` is set.

        ``tell`` is told once for each such wait how many pulls are left, how many images wait, and for how long.
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
            if not told:
                told = True
                tell(
                    f"{account.host} has {registry.allowance}, and {limit.least} are to stay: {self._waiting[account]}"
                    f" images wait or are about to, with a look every {limit.retry:g} s"
                )
            try:
                async with asyncio.timeout(limit.retry):
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
