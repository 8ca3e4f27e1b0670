"""How far into our networks the answers of a registry may lead: no further than where the registry itself is.

Names are judged by the addresses they resolve to, at the time of connecting. Where a proxy leads to a host, the
proxy resolves its name, and decides.
"""

from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from dregsy.model.endpoint import Endpoint

_METADATA = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # most clouds
            "169.254.170.2",  # AWS, containers
            "169.254.170.23",  # AWS, pods
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
            "168.63.129.16",  # Azure
            "fd00:ec2::254",  # AWS
            "fd00:ec2::23",  # AWS, pods
            "fd20:ce::254",  # Google
        ),
    )
)
"""Where clouds keep their machines' credentials."""
_NAT64 = ip_network("64:ff9b::/96")
_NETWORK = ip_network("0.0.0.0/8")


class Zone(IntEnum):
    """Whom an address can be reached by."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    LINK = 3
    """Neighbours on the same wire, and what is no address of one host."""
    METADATA = 4


class Inside(OSError):
    """All addresses of a host are in a ``zone`` that the registry has no business to send us to."""

    def __init__(self, zone: Zone) -> None:
        super().__init__()
        self.zone = zone

    @property
    def hint(self) -> str:
        """What a user may do about it."""
        if self.zone is Zone.PRIVATE:
            return "if that is as it should be, set 'private-addresses: true' for the registry"
        return "the registry's external address is probably not configured"


class Reach:
    """Where the answers of the registry of ``endpoint`` may lead; learns from its addresses where that is itself."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._own = (urlsplit(f"//{endpoint.api_host}").hostname or "").lower()
        self._ours: set[str] = set()
        self._widest = Zone.PRIVATE if endpoint.private else Zone.PUBLIC
        literal = _literal(self._own)
        self._zone = zone(literal) if literal else None

    def trust(self, host: str) -> None:
        """Take it that ``host`` was named by the user: a proxy."""
        self._ours.add(host.lower())

    def check(self, host: str) -> None:
        """Refuse a host that is written as an address inside; Inside says so."""
        if (address := _literal(host)) and not self._is_open(host, address):
            raise Inside(zone(address))

    def sifted(self, host: str, addresses: list[str]) -> list[str]:
        """Return those of a host's addresses to which a connection may be made; Inside when none is left."""
        found = [address for text in addresses if (address := _literal(text))]
        if host.lower() == self._own and found:
            # What also has public addresses, or had them, is public: its answers may come from there.
            nearest = min(map(zone, found))
            self._zone = nearest if self._zone is None else min(self._zone, nearest)
        left = [text for text in addresses if (address := _literal(text)) and self._is_open(host, address)]
        if addresses and not left:
            raise Inside(max(map(zone, found), default=Zone.LINK))
        return left

    def _is_open(self, host: str, address: IPv4Address | IPv6Address) -> bool:
        if host.lower() == self._own or host.lower() in self._ours:
            return True
        there, here = zone(address), self._zone or Zone.PUBLIC
        return there <= self._widest or there == here or (there is Zone.PRIVATE and here is Zone.LOOPBACK)


def zone(address: IPv4Address | IPv6Address) -> Zone:
    """Tell where an address is; one that stands for another within IPv6 is where that is."""
    address = _meant(address)
    if address in _METADATA:
        return Zone.METADATA
    if address.is_loopback:
        return Zone.LOOPBACK
    if address.is_link_local or address.is_multicast or address.is_unspecified or address in _NETWORK:
        return Zone.LINK
    return Zone.PUBLIC if address.is_global else Zone.PRIVATE


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


@lru_cache(maxsize=256)
def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None
