"""Until when servers asked to be left alone (RFC 9110 §10.2.3, Retry-After), where that is too long to wait for."""

import time
from collections.abc import Callable
from urllib.parse import urlsplit

from dregsy.errors import RegistryError
from dregsy.registry.addresses import origin
from dregsy.registry.answers import is_used_up

LONGEST = 3600.0
"""Seconds after which a server is asked again, whatever it said: it may have erred."""


class Pauses:
    """What the servers said to one client, that is to one login.

    A quota of pulls that is used up is no pause: other requests go on to be answered.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._held: dict[tuple[str, str, int | None], tuple[float, RegistryError]] = {}

    def check(self, url: str) -> None:
        """Raise what the server said, and until when that counts; to be called before each request."""
        server = origin(url)
        until, error = self._held.get(server, (0.0, None))
        if error is None:
            return
        left = until - self._now()
        if left <= 0:
            del self._held[server]
            return
        told = error.afresh()
        end = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() + left))
        told.retell(f"{urlsplit(url).netloc} wants to be left alone until {end}: {error.message}")
        told.retry_after, told.unasked = left, True
        raise told

    def note(self, error: RegistryError, patience: float) -> None:
        """Take note of an error; a pause of up to ``patience`` seconds is for who got it to wait for."""
        asked = error.retry_after
        if asked is not None and asked > patience and error.url and not error.unasked and not is_used_up(error):
            self._held[origin(error.url)] = self._now() + min(asked, LONGEST), error.afresh()
