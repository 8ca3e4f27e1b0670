"""The proxy variables, case by case."""

from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.errors import UsageError
from dregsy.model.endpoint import Login, Secret
from dregsy.registry.proxies import Proxy, proxy_for

WEB = "http://proxy.test:3128"
OTHER = "http://other.test:8080"

VARIABLES = [
    ({}, "https", None),
    ({"HTTPS_PROXY": WEB}, "https", WEB),
    ({"https_proxy": WEB}, "https", WEB),
    ({"HTTPS_PROXY": WEB, "https_proxy": OTHER}, "https", WEB),
    ({"HTTPS_PROXY": "", "https_proxy": OTHER}, "https", OTHER),
    ({"HTTPS_PROXY": "  "}, "https", None),
    ({"HTTPS_PROXY": WEB}, "http", None),
    ({"HTTP_PROXY": WEB}, "https", None),
    ({"HTTP_PROXY": WEB}, "http", WEB),
    ({"http_proxy": WEB}, "http", WEB),
    ({"ALL_PROXY": WEB}, "http", WEB),
    ({"all_proxy": WEB}, "https", WEB),
    ({"ALL_PROXY": WEB, "HTTPS_PROXY": OTHER}, "https", OTHER),
    ({"ALL_PROXY": WEB, "https_proxy": OTHER}, "https", OTHER),
    ({"HTTP_PROXY": WEB, "REQUEST_METHOD": "GET"}, "http", None),
    ({"http_proxy": WEB, "REQUEST_METHOD": "GET"}, "http", WEB),
    ({"HTTPS_PROXY": WEB, "REQUEST_METHOD": "GET"}, "https", WEB),
    ({"HTTP_PROXY": WEB, "REQUEST_METHOD": "GET", "ALL_PROXY": OTHER}, "http", OTHER),
    ({"HTTPS_PROXY": WEB, "NO_PROXY": "reg.test"}, "https", None),
    ({"HTTPS_PROXY": WEB, "no_proxy": "reg.test"}, "https", None),
    ({"HTTPS_PROXY": WEB, "NO_PROXY": "x.test", "no_proxy": "reg.test"}, "https", WEB),
]


@pytest.mark.parametrize(("environ", "scheme", "expected"), VARIABLES)
def test_which_variable_counts(environ: dict[str, str], scheme: str, expected: str | None) -> None:
    """The scheme's own before ALL_PROXY, upper case before lower; not what a CGI request sets."""
    proxy = proxy_for(scheme, "reg.test", environ)

    assert (proxy.url if proxy else None) == expected


EXCLUDED = [
    ("*", "reg.test", True),
    (" x.test , * ", "reg.test", True),
    ("", "reg.test", False),
    (",,", "reg.test", False),
    ("reg.test", "reg.test", True),
    ("REG.test", "reg.TEST", True),
    ("reg.test", "reg.test:5000", True),
    ("reg.test", "a.b.reg.test", True),
    ("reg.test", "xreg.test", False),
    ("reg.test", "reg.test.evil", False),
    (".reg.test", "a.reg.test", True),
    (".reg.test", "reg.test", False),
    ("*.reg.test", "a.reg.test", True),
    ("*.reg.test", "reg.test", False),
    ("test", "reg.test", True),
    ("x.test,reg.test", "reg.test", True),
    ("x.test, reg.test ", "reg.test", True),
    ("reg.test:5000", "reg.test:5000", True),
    ("reg.test:5000", "a.reg.test:5000", True),
    ("reg.test:5000", "reg.test:5001", False),
    ("reg.test:5000", "reg.test", False),
    ("reg.test:443", "reg.test", True),
    ("reg.test:80", "reg.test", False),
    ("10.0.0.1", "10.0.0.1:5000", True),
    ("10.0.0.1:5000", "10.0.0.1:5000", True),
    ("10.0.0.1:5001", "10.0.0.1:5000", False),
    ("10.0.0.1", "10.0.0.10", False),
    ("0.0.1", "10.0.0.1", True),  # Go, too, takes what is no address for a domain
    ("10.0.0.0/8", "10.1.2.3:5000", True),
    ("10.1.2.3/8", "10.9.9.9", True),
    ("10.0.0.0/8", "11.1.2.3", False),
    ("10.0.0.0/8", "reg.test", False),
    ("10.0.0.0/99", "10.0.0.1", False),
    ("2001:db8::/32", "[2001:db8::1]:5000", True),
    ("2001:db8::1", "[2001:db8::1]", True),
    ("2001:db8:0::1", "[2001:db8::1]", True),
    ("[2001:db8::1]:5000", "[2001:db8::1]:5000", True),
    ("[2001:db8::1]:5001", "[2001:db8::1]:5000", False),
    ("[2001:db8::1]", "[2001:db8::1]:5000", True),
    ("2001:db8::1", "[2001:db8::2]", False),
    ("10.0.0.1", "[::ffff:10.0.0.1]", True),
    ("10.0.0.0/8", "[::ffff:10.0.0.1]", True),
    (".", "reg.test", False),
    ("*.", "reg.test", False),
    (":5000", "reg.test:5000", False),
    ("/", "reg.test", False),
    ("reg.test:" + "9" * 5000, "reg.test:5000", False),
    ("reg.test:x", "reg.test:5000", False),
    ("x.test", "localhost", True),
    ("x.test", "localhost:5000", True),
    ("x.test", "LOCALHOST", True),
    ("x.test", "reg.localhost:5000", True),
    ("x.test", "127.0.0.1:5000", True),
    ("x.test", "127.9.9.9", True),
    ("x.test", "[::1]:5000", True),
    ("x.test", "[::1]", True),
    ("x.test", "notlocalhost", False),
    ("x.test", "localhost.test", False),
]


@pytest.mark.parametrize(("no_proxy", "host", "expected"), EXCLUDED)
def test_what_goes_without_proxy(no_proxy: str, host: str, expected: bool) -> None:
    """NO_PROXY has names with their subdomains, ports, addresses and networks; this machine is always excluded."""
    proxy = proxy_for("https", host, {"HTTPS_PROXY": WEB, "NO_PROXY": no_proxy})

    assert (proxy is None) == expected


URLS = [
    ("http://p.test:3128", Proxy("http://p.test:3128")),
    ("http://p.test:3128/", Proxy("http://p.test:3128")),
    ("https://p.test", Proxy("https://p.test:443")),
    ("http://p.test", Proxy("http://p.test:80")),
    ("p.test:3128", Proxy("http://p.test:3128")),
    ("p.test", Proxy("http://p.test:80")),
    ("[2001:db8::1]:3128", Proxy("http://[2001:db8::1]:3128")),
    ("HTTP://p.test:3128", Proxy("http://p.test:3128")),
    ("http://u:s3cret@p.test:3128", Proxy("http://p.test:3128", Login("u", Secret("s3cret")))),
    ("u:s3cret@p.test:3128", Proxy("http://p.test:3128", Login("u", Secret("s3cret")))),
    ("http://u@p.test:3128", Proxy("http://p.test:3128", Login("u", Secret("")))),
    ("http://do%5Cm:p%40s%3A%C3%BC@p.test", Proxy("http://p.test:80", Login("do\\m", Secret("p@s:ü")))),
]


@pytest.mark.parametrize(("value", "expected"), URLS)
def test_a_proxys_url_and_login(value: str, expected: Proxy) -> None:
    """The URL is complete and without user info; the login is decoded and masked."""
    proxy = proxy_for("https", "reg.test", {"HTTPS_PROXY": value})

    assert proxy == expected
    assert "s3cret" not in repr(proxy)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("socks5://u:s3cret@p.test:1080", "SOCKS proxy"),
        ("socks5h://p.test:1080", "SOCKS proxy"),
        ("SOCKS4://p.test", "SOCKS proxy"),
        ("ftp://u:s3cret@p.test", "no http or https URL"),
        ("http://", "no http or https URL"),
        ("http://u:s3cret@", "no http or https URL"),
        ("http://u:s3cret@[p.test", "no URL"),
        ("http://p.test:s3cret", "no URL"),
        ("http://p.test:99999", "no URL"),
        ("http://u:%ff@p.test", "no URL"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_that_cannot_be_used_is_named(variable: str, value: str, reason: str) -> None:
    """The error names the variable as it is set and never its value, not even as its cause."""
    with pytest.raises(UsageError) as caught:
        proxy_for("https", "reg.test", {variable: value})

    assert caught.value.message.startswith(f"{variable} ")
    assert reason in caught.value.message
    assert "s3cret" not in f"{caught.value}{caught.value.__cause__}"


def test_a_proxy_that_is_not_needed_does_no_harm() -> None:
    """A proxy that cannot be used stops only requests that would go through it."""
    environ = {"HTTPS_PROXY": "socks5://p.test", "NO_PROXY": "reg.test"}

    assert [proxy_for("https", host, environ) for host in ("reg.test", "localhost")] == [None, None]


@given(st.text(), st.text(), st.text())
def test_nothing_else_is_raised(host: str, value: str, no_proxy: str) -> None:
    """Whatever the environment holds, the outcome is a proxy with a full URL, none, or a UsageError."""
    with suppress(UsageError):
        proxy = proxy_for("https", host, {"HTTPS_PROXY": value, "NO_PROXY": no_proxy})

        assert proxy is None or urlsplit(proxy.url).port is not None
