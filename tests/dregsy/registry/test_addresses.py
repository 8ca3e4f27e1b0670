import pytest

from dregsy.registry.addresses import is_loopback, is_safe, origin


@pytest.mark.parametrize(
    ("netloc", "expected"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1", True),
        ("127.9.9.9:80", True),
        ("[::1]:5000", True),
        ("x.localhost", False),
        ("0.0.0.0:5000", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_loopback(netloc: str, expected: bool) -> None:
    """Only names and addresses that can mean nothing but this machine count."""
    assert is_loopback(netloc) is expected


@pytest.mark.parametrize(
    ("url", "verified", "unverified"),
    [
        ("https://r.example.com/x", True, True),
        ("http://r.example.com/x", False, True),
        ("http://127.0.0.1:5000/x", True, True),
        ("http://0.0.0.0:5000/x", False, False),
        ("http://169.254.169.254/latest/meta-data", False, False),
        ("https://169.254.169.254/latest/meta-data", False, False),
        ("https://[fe80::1]/x", False, False),
        ("https://[::ffff:169.254.169.254]/x", False, False),
        ("ftp://r.example.com/x", False, False),
        ("file:///etc/passwd", False, False),
        ("https:///x", False, False),
    ],
)
def test_where_a_registry_may_send_us(url: str, verified: bool, unverified: bool) -> None:
    """Https anywhere but to link-local addresses; http to this machine, or where nothing is verified anyway."""
    assert (is_safe(url, verify=True), is_safe(url, verify=False)) == (verified, unverified)


def test_origin() -> None:
    """A scheme's own port is the same as none."""
    assert origin("https://a:443/x") == origin("https://A/y")
    assert origin("http://a/") != origin("https://a/")
