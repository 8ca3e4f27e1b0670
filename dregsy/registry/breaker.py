"""Knows which servers are down, so that all that want something of one fail at once, and lets one ask now and then.

Registries, token servers and storage have each their own breaker: what is up is not touched by what is down.
"""

import math
import time
from collections.abc import Callable

from dregsy.errors import Unreachable
from dregsy.registry.addresses import origin
from dregsy.registry.retry import Chances

_MOST = 1000
"""So many servers are remembered; a registry may send its clients to ever new ones."""


class Breaker:
    """Open from when a request gave up that server until it answers again.

    While open, one request in ``pause`` seconds is let through, to find out. A request gives a server up when all
    its attempts failed without any answer to it, and nobody else got an answer meanwhile: a connection that breaks, or
    many at once, is not yet a server that is down.
    """

    def __init__(self, pause: float, now: Callable[[], float] = time.monotonic) -> None:
        self.chances = Chances()
        self._pause = pause
        self._now = now
        self._answered_at = -math.inf
        self._error: Unreachable | None = None
        self._probe_at = 0.0

    def check(self) -> None:
        """Raise why the server was given up, where it is down; to be called before each request."""
        if self._error is None:
            return
        if self._now() < self._probe_at:
            raise self._error.afresh()
        self._probe_at = self._now() + self._pause

    def answered(self) -> None:
        """Take note of an answer, whatever it says."""
        self._answered_at = self._now()
        self._error = None

    def gave_up(self, error: Unreachable, since: float) -> None:
        """Take note that a request failed for good, which was first sent at ``since``, by the breaker's clock."""
        if self._answered_at < since:
            self._error = error.afresh()
            self._error.unasked = True
            self._probe_at = self._now() + self._pause


class Breakers:
    """The breakers of all servers, which all clients share."""

    def __init__(self, pause: float, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._pause = pause
        self._known: dict[tuple[str, str, int | None], Breaker] = {}

    def at(self, url: str) -> Breaker:
        """Return the breaker of the server that ``url`` leads to."""
        server = origin(url)
        found = self._known.get(server)
        if found is None:
            if len(self._known) >= _MOST:
                del self._known[next(iter(self._known))]
            found = self._known[server] = Breaker(self._pause, self.now)
        return found
