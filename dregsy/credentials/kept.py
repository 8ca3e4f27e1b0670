"""Logins that cost something to get: one asks, all who wait share the answer, and a good one is kept for a while."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

from dregsy.errors import CredentialsError
from dregsy.model.endpoint import Login

Fetch = Callable[[], Awaitable[tuple[Login | None, float]]]
"""Gets a login, None when there is none, and says for how many seconds that holds; may raise CredentialsError."""


class Kept:
    """The answers that hold just now, by whatever they are an answer to. An error is told to those who waited, only."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers: dict[Hashable, _Answer] = {}

    async def get(self, key: Hashable, fetch: Fetch) -> Login | None:
        """Return the answer for ``key``; ``fetch`` is called when there is none that holds, by one at a time."""
        answer = self._answers.setdefault(key, _Answer())
        runs = answer.runs
        async with answer.lock:
            came_meanwhile = answer.runs != runs
            if not came_meanwhile and self._clock() >= answer.good_until:
                try:
                    answer.login, seconds = await fetch()
                    answer.error, answer.good_until = None, self._clock() + seconds
                except CredentialsError as error:
                    answer.login, answer.error = None, error
                answer.runs += 1
            if answer.error:
                raise answer.error
            return answer.login

    def drop(self, login: Login) -> None:
        """Take it that ``login`` holds no longer, because a registry refused it."""
        for answer in self._answers.values():
            if answer.login == login:
                answer.good_until = float("-inf")


@dataclass(slots=True)
class _Answer:
    """What was last answered, and who is asking just now."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    runs: int = 0
    good_until: float = float("-inf")
    login: Login | None = None
    error: CredentialsError | None = None
