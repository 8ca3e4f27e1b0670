"""Knows when a host is down, so that all that want something of it fail at once, and lets one ask now and then.

Each host has its own: what is up is not touched by what is down.
"""

import time
from collections.abc import Callable

from dregsy.errors import Unreachable
from dregsy.registry.retry import Chances


class Breaker:
    """Open from when a request gave up that host until it answers again.

    While open, one request in ``pause`` seconds is let through, to find out. A request gives a host up when all
    its attempts failed without any answer to it, and nobody else got an answer meanwhile: a connection that breaks, or
    many at once, is not yet a host that is down.
    """

    def __init__(self, pause: float, now: Callable[[], float] = time.monotonic) -> None:
        self.chances = Chances()
        self._pause = pause
        self._now = now
        self._answers = 0
        self._error: Unreachable | None = None
        self._probe_at = 0.0

    @property
    def answers(self) -> int:
        """How many answers there were; note it before the first attempt."""
        return self._answers

    def check(self) -> None:
        """Raise why the host was given up, where it is down; to be called before each attempt."""
        if self._error is None:
            return
        if self._now() < self._probe_at:
            raise self._error
        self._probe_at = self._now() + self._pause

    def answered(self) -> None:
        """Take note of an answer, whatever it says."""
        self._answers += 1
        self._error = None

    def gave_up(self, error: Unreachable, answers: int) -> None:
        """Take note that a request failed for good, before which there were so many ``answers``."""
        if answers == self._answers:
            self._error = error
            self._probe_at = self._now() + self._pause
