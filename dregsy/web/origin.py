"""Where a browser's request comes from, and under which name it asks: other sites are told nothing, and give no orders.

A browser does what any site says. It tells of whom it obeys, though, and that is all that can be gone by.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

_OURS = ("same-origin", "none")
"""What browsers say of what our own pages send, and of what somebody typed in."""


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Whether another site has a browser send this (Fetch Metadata; before browsers had that: ``Origin``).

    A proxy may leave ``Host`` out where it says ``X-Forwarded-Host``, which no site's form can.
    """
    if site := headers.get("Sec-Fetch-Site", ""):
        return site not in _OURS
    if not (origin := headers.get("Origin", "")):
        return False
    ours = {hostname(headers.get(name, "")) for name in ("Host", "X-Forwarded-Host")} - {""}
    return hostname(origin.partition("://")[2]) not in ours


def is_meant(host: str, listening: str) -> bool:
    """Whether a ``Host`` means a server of this machine alone that listens on ``listening``.

    Any site may have its own name lead to 127.0.0.1, and have browsers ask that. None can do so with ``localhost`` or
    an address; and no browser leaves the name out.
    """
    name = hostname(host)
    return not host or name in {"localhost", listening.lower()} or name.endswith(".localhost") or is_address(name)


def is_address(name: str) -> bool:
    """Whether it is an address, and no name that leads to one."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def hostname(place: str) -> str:
    """Return the name in ``name:port``, or an address without its brackets; empty when there is none."""
    try:
        return (urlsplit(f"//{place}").hostname or "").removesuffix(".")
    except ValueError:
        return ""
