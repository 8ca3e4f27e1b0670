"""Logins that cost something to get: one asks, all who wait share the answer, and a good one is kept for a while."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

from dregsy.errors import DregsyError
from dregsy.model.endpoint import Login

_LOG = logging.getLogger(__name__)
_AGAIN = 60.0
"""After so many seconds a login is sought anew where the last attempt failed, and the old login serves on."""

Fetch = Callable[[], Awaitable[tuple[Login | None, float] | tuple[Login | None, float, float]]]
"""Gets a login, None when there is none, and says for how many seconds that holds; may raise a DregsyError.

What may come third is for how many seconds the login serves where no new one can be had.
"""


class Kept:
    """The answers that hold just now, by whatever they are an answer to. An error is told to those who waited."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers: dict[Hashable, _Answer] = {}

    async def get(
        self, key: Hashable, fetch: Fetch, *, oldest: float = float("inf"), pause: float = 0.0
    ) -> Login | None:
        """Return the answer for ``key``; ``fetch`` is called when there is none that holds, by one at a time.

        One that is more than ``oldest`` seconds old holds no longer, whatever was said when it came. An error
        is the answer for ``pause`` seconds.
        """
        answer = self._answers.setdefault(key, _Answer())
        runs = answer.runs
        async with answer.lock:
            came_meanwhile = answer.runs != runs
            if not came_meanwhile and not answer.holds(self._clock(), oldest):
                await self._renew(answer, fetch, pause)
                answer.runs += 1
            if answer.error:
                raise answer.error.afresh()
            return answer.login

    async def _renew(self, answer: "_Answer", fetch: Fetch, pause: float) -> None:
        try:
            found = await fetch()
        except DregsyError as error:
            now = self._clock()
            if now >= answer.ends:
                answer.login, answer.error = None, error
                answer.since, answer.good_until = now, now + pause
                return
            if not answer.is_late:
                left = answer.ends - now
                _LOG.warning("a login could not be renewed, the old one serves %.0f s more: %s", left, error)
            answer.is_late, answer.good_until = True, min(now + _AGAIN, answer.ends)
        else:
            now = self._clock()
            answer.login, answer.error, answer.is_late = found[0], None, False
            answer.since, answer.good_until, answer.ends = now, now + found[1], now + found[-1]

    def drop(self, login: Login) -> bool:
        """Take it that ``login`` holds no longer, because a registry refused it; tell whether it was kept here."""
        refused = [answer for answer in self._answers.values() if answer.login == login]
        for answer in refused:
            answer.good_until = answer.ends = float("-inf")
        return bool(refused)


@dataclass(slots=True)
class _Answer:
    """What was last answered, and who is asking just now."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    runs: int = 0
    since: float = float("-inf")
    good_until: float = float("-inf")
    ends: float = float("-inf")
    """When the login cannot be used any more, in spite of there being no new one."""
    is_late: bool = False
    """Whether a new login was sought in vain."""
    login: Login | None = None
    error: DregsyError | None = None

    def holds(self, now: float, oldest: float) -> bool:
        """Tell whether no other answer is needed; one that serves on because there is none may be of any age."""
        return now < self.good_until and (self.is_late or now < self.since + oldest)
