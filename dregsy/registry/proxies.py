"""Which proxy leads to a host: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, with the meaning that Go gives them.

The same variables are read by skopeo and docker: an image must not go another way because of its relay.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from dregsy.errors import UsageError
from dregsy.model.endpoint import Login, Secret

_PORTS = {"http": 80, "https": 443}
_PORT_DIGITS = 5

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's URL without user info, and the login that stood there."""

    url: str
    login: Login | None = None


class _Place(NamedTuple):
    """Where a request goes: the name in lower case, its address if it is one, and the port."""

    name: str
    address: Address | None
    port: int | None


def proxy_for(url_scheme: str, host: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for requests to ``host`` (with or without port) under ``http`` or ``https``, or None.

    This machine itself is never asked for through a proxy. UsageError names the variable whose value
    is no proxy that can be used.
    """
    variable, value = _setting(url_scheme, environ)
    if not value:
        return None
    place = _place(host, _PORTS.get(url_scheme))
    if _is_here(place) or any(_excludes(entry, place) for entry in _value("NO_PROXY", environ)[1].split(",")):
        return None
    return _proxy(variable, value)


def _setting(url_scheme: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return name and value of the variable in charge of a scheme."""
    wanted = f"{url_scheme.upper()}_PROXY"
    if wanted == "HTTP_PROXY" and environ.get("REQUEST_METHOD"):
        # In a CGI program HTTP_PROXY is the header "Proxy" of whoever sent the request.
        environ = {name: value for name, value in environ.items() if name != wanted}
    variable, value = _value(wanted, environ)
    return (variable, value) if value else _value("ALL_PROXY", environ)


def _value(variable: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return a variable in upper or else lower case: its name as set, and its value."""
    for name in (variable, variable.lower()):
        if value := environ.get(name, "").strip():
            return name, value
    return variable, ""


def _place(netloc: str, default_port: int | None) -> _Place:
    """Split a host and its port; ``[::1]:5000``, ``[::1]`` and ``::1`` are all understood."""
    text = netloc.strip().lower()
    if address := _address(text):
        return _Place(text, address, default_port)
    name, _, port = text.rpartition(":")
    if not (name and port.isascii() and port.isdecimal() and len(port) <= _PORT_DIGITS):
        name, port = text, ""
    name = name.removeprefix("[").removesuffix("]")
    return _Place(name, _address(name), int(port) if port else default_port)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_here(place: _Place) -> bool:
    if place.address is not None:
        return place.address.is_loopback
    return place.name == "localhost" or place.name.endswith(".localhost")


def _excludes(entry: str, place: _Place) -> bool:
    """Whether an entry of NO_PROXY covers a place; an entry that means nothing covers nothing."""
    entry = entry.strip().lower()
    if entry == "*":
        return True
    if "/" in entry:
        return place.address is not None and _is_in(place.address, entry)
    name, address, port = _place(entry, None)
    if port not in {None, place.port}:
        return False
    if address is not None:
        return address == place.address
    name = name.removeprefix("*")
    if not name.strip("."):
        return False
    return place.name.endswith(name) if name[0] == "." else f".{place.name}".endswith(f".{name}")


def _is_in(address: Address, network: str) -> bool:
    try:
        return address in ip_network(network, strict=False)
    except ValueError:
        return False


def _proxy(variable: str, value: str) -> Proxy:
    """Read a proxy's URL; without a scheme it is http. The value may hold a password and is never shown."""
    text = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
        user, password = unquote(parts.username or "", errors="strict"), unquote(parts.password or "", errors="strict")
    except ValueError:  # without a cause, which may repeat the value
        raise _unusable(variable, "holds no URL of a proxy") from None
    if parts.scheme.startswith("socks"):
        raise _unusable(variable, "names a SOCKS proxy, which is not supported")
    if parts.scheme not in _PORTS or not host:
        raise _unusable(variable, "holds no http or https URL of a proxy")
    shown = f"[{host}]" if ":" in host else host
    login = Login(user, Secret(password)) if user or password else None
    return Proxy(f"{parts.scheme}://{shown}:{port or _PORTS[parts.scheme]}", login)


def _unusable(variable: str, what: str) -> UsageError:
    return UsageError(f"{variable} {what}", hint="set it to http://HOST:PORT, or list the registry's host in NO_PROXY")
