"""Which addresses a registry may send us to: the web only, never plain http by surprise, never link-local ones."""

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(netloc: str) -> bool:
    """Whether a host (with or without port) is this machine, by its name or address alone."""
    try:
        host = urlsplit(f"//{netloc}").hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False  # a name such as x.localhost, too: not every resolver keeps it at home


@lru_cache(maxsize=256)  # one request asks some five times
def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL (RFC 6454)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def is_safe(url: str, *, verify: bool) -> bool:
    """Whether to go where a registry sends its clients: redirects, uploads, token servers.

    Plain http is for this machine, and for endpoints that need no verification. Link-local addresses
    are where clouds keep their machines' credentials.
    """
    scheme, host, _ = origin(url)
    if not host or _is_link_local(host):
        return False
    return scheme == "https" or (scheme == "http" and (not verify or is_loopback(urlsplit(url).netloc)))


def _is_link_local(host: str) -> bool:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_link_local or address.is_unspecified or (mapped is not None and mapped.is_link_local)
