from ipaddress import ip_address

import pytest

from dregsy.model.endpoint import Endpoint
from dregsy.registry.reach import Inside, Reach, Zone, zone

PUBLIC, PRIVATE, HERE, LINK, METADATA = "9.9.9.9", "10.1.2.3", "127.0.0.1", "169.254.9.9", "169.254.169.254"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (PUBLIC, Zone.PUBLIC),
        ("2620:fe::fe", Zone.PUBLIC),
        (PRIVATE, Zone.PRIVATE),
        ("172.31.0.1", Zone.PRIVATE),
        ("192.168.0.1", Zone.PRIVATE),
        ("100.64.0.1", Zone.PRIVATE),
        ("fd12::1", Zone.PRIVATE),
        (HERE, Zone.LOOPBACK),
        ("127.255.0.1", Zone.LOOPBACK),
        ("::1", Zone.LOOPBACK),
        ("::ffff:127.0.0.1", Zone.LOOPBACK),
        ("64:ff9b::7f00:1", Zone.LOOPBACK),
        ("2002:7f00:1::", Zone.LOOPBACK),
        (LINK, Zone.LINK),
        ("fe80::1", Zone.LINK),
        ("fe80::1%eth0", Zone.LINK),
        ("0.0.0.0", Zone.LINK),  # noqa: S104 - nothing listens here
        ("0.1.2.3", Zone.LINK),
        ("::", Zone.LINK),
        ("224.0.0.1", Zone.LINK),
        (METADATA, Zone.METADATA),
        ("::ffff:169.254.169.254", Zone.METADATA),
        ("64:ff9b::a9fe:a9fe", Zone.METADATA),
        ("fd00:ec2::254", Zone.METADATA),
        ("100.100.100.200", Zone.METADATA),
        ("168.63.129.16", Zone.METADATA),
    ],
)
def test_zones(address: str, expected: Zone) -> None:
    """An address within IPv6 that stands for one of IPv4 is where that one is."""
    assert zone(ip_address(address)) is expected


@pytest.mark.parametrize(
    ("registry", "reached"),
    [
        ([PUBLIC], [PUBLIC]),
        ([PRIVATE], [PUBLIC, PRIVATE]),
        ([HERE], [PUBLIC, PRIVATE, HERE]),
        ([LINK], [PUBLIC, LINK]),
        ([PUBLIC, HERE], [PUBLIC]),
        ([METADATA, PRIVATE], [PUBLIC, PRIVATE]),
    ],
)
def test_where_names_may_lead(registry: list[str], reached: list[str]) -> None:
    """Names lead to the web, and to where the registry itself is; with several addresses it is at the most public."""
    reach = Reach(Endpoint("r.example.com:5000"))

    assert reach.sifted("R.example.com", registry) == registry
    every = [PUBLIC, PRIVATE, HERE, LINK, METADATA]
    assert reach.sifted("elsewhere.example.com", every) == reached
    for address in set(every) - set(reached):
        with pytest.raises(Inside):
            reach.sifted("elsewhere.example.com", [address])
        with pytest.raises(Inside):
            reach.check(address)


def test_a_registry_that_was_public_once() -> None:
    """A name that turns to this machine later does not open it for what the registry says."""
    reach = Reach(Endpoint("r.example.com"))
    reach.sifted("r.example.com", [PUBLIC])
    assert reach.sifted("r.example.com", [HERE]) == [HERE]
    with pytest.raises(Inside):
        reach.check(HERE)


def test_private_addresses_that_are_meant() -> None:
    """A public registry whose storage is inside can be allowed that, and no more."""
    reach = Reach(Endpoint(PUBLIC, private=True))
    assert reach.sifted("storage.example.com", [PRIVATE, HERE, METADATA]) == [PRIVATE]
    with pytest.raises(Inside) as caught:
        Reach(Endpoint(PUBLIC)).check(PRIVATE)
    assert "private-addresses" in caught.value.hint


def test_proxies() -> None:
    """A proxy may be anywhere: the user named it."""
    reach = Reach(Endpoint(PUBLIC))
    reach.trust("Proxy.example.com")
    assert reach.sifted("proxy.example.com", [HERE]) == [HERE]


def test_names_without_addresses() -> None:
    """Nothing found is no matter of where it is."""
    assert Reach(Endpoint(PUBLIC)).sifted("a.example.com", []) == []
