"""When to send a request again, and how long to wait before (RFC 9110 §10.2.3, Retry-After)."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

PROGRESS = 2**20
"""Bytes that a transfer has to get ahead by, so that the attempt does not count as a failed one."""
RETRYABLE_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits with full jitter: up to ``base`` seconds, then double, never above ``cap``.

    After ``attempts`` attempts the last error stands. A registry that asks for a wait longer than
    ``patience`` seconds is not waited for here.
    """

    attempts: int = 4
    base: float = 0.5
    cap: float = 15.0
    patience: float = 60.0
    random: Callable[[], float] = random.random

    def wait(self, attempt: int, asked: float | None = None) -> float | None:
        """Seconds to wait after the ``attempt``-th attempt (from 1) failed, or None to give up.

        ``asked`` is what the registry said in Retry-After; it is waited for in full.
        """
        if attempt >= self.attempts or (asked is not None and asked > self.patience):
            return None
        jittered: float = self.random() * min(self.cap, self.base * 2 ** (attempt - 1))
        return jittered if asked is None else asked + jittered


class Budget:
    """How often one transfer may break off: an attempt that got ahead by PROGRESS bytes begins the count anew.

    So the length of a transfer does not matter, and one that stands still has an end.
    """

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._attempt = 0

    def wait(self, gained: int, asked: float | None = None) -> float | None:
        """Seconds to wait after an attempt that got ahead by ``gained`` bytes, or None to give up."""
        self._attempt = 1 if gained >= PROGRESS else self._attempt + 1
        return self._backoff.wait(self._attempt, asked)


class Chances:
    """How many requests to one host may be sent again: each takes one chance, each that goes well earns a part of one.

    Passing faults are hardly ever as many; a host that mostly fails is not asked four times as much as one that works.
    """

    MOST = 100.0
    EARNED = 0.2

    def __init__(self) -> None:
        self._left = self.MOST

    def take(self) -> bool:
        """Take a chance, where one is left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def earn(self) -> None:
        """Take note of a request that went well."""
        self._left = min(self.MOST, self._left + self.EARNED)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Read Retry-After, as seconds or as a date, or Docker Hub's X-Retry-After, a Unix time; None without."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    if text:
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - now)
        except (ValueError, OverflowError):
            return None
    stamp = headers.get("X-Retry-After", "").strip()
    if stamp.isascii() and stamp.isdigit() and len(stamp) < 12:
        return max(0.0, float(stamp) - now)
    return None
