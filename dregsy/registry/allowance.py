"""How many pulls an account has left at a registry that counts them, as its answers tell.

Docker Hub does, with ``RateLimit-Limit: 100;w=21600`` and ``RateLimit-Remaining: 76;w=21600`` in answers about
manifests; the window is in seconds. HEAD costs nothing. Where there is no limit there are no headers.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allowance:
    """``left`` pulls of ``limit`` in ``window`` seconds, which roll; None where the registry did not say.

    ``counted`` is by what it counts: the address that it sees, or an account.
    """

    left: int
    limit: int | None = None
    window: int | None = None
    counted: str = ""

    def __str__(self) -> str:
        text = f"{self.left} of {self.limit} pulls left" if self.limit is not None else f"{self.left} pulls left"
        text += f" in {self.window / 3600:g} h" if self.window else ""
        return text + (f", counted for {self.counted}" if self.counted else "")


def allowance(headers: Mapping[str, str]) -> Allowance | None:
    """Read the headers of an answer; None without any that make sense."""
    text = headers.get("RateLimit-Remaining")
    left, window = _counted(text) if text else (None, None)
    if left is None:
        return None
    limit, other = _counted(headers.get("RateLimit-Limit", ""))
    counted = headers.get("Docker-RateLimit-Source", "")
    return Allowance(left, limit, window or other, counted if counted.isprintable() else "")


def _counted(text: str) -> tuple[int | None, int | None]:
    """A number, and the seconds for which it counts (draft-ietf-httpapi-ratelimit-headers-00, §3)."""
    first, _, rest = text.partition(";")
    parameters = dict(part.strip().partition("=")[::2] for part in rest.split(";"))
    return _number(first.strip()), _number(parameters.get("w", ""))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
