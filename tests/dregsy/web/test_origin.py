import pytest

from dregsy.web.origin import hostname, is_foreign, is_meant


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "127.0.0.1:8080"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://d.example", "Host": "127.0.0.1:8080"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost:8080", "Host": "localhost:8080"},
        {"Origin": "https://D.example", "Host": "d.example:443"},
        {"Origin": "https://d.example", "Host": "127.0.0.1", "X-Forwarded-Host": "d.example"},
        {"Origin": "http://[::1]:8080", "Host": "[::1]:8080"},
    ],
)
def test_what_our_pages_and_programs_send(headers: dict[str, str]) -> None:
    """Programs say nothing of it; browsers say that it is from here, behind proxies, too."""
    assert is_foreign(headers) is False


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8080", "Host": "127.0.0.1:8080"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000", "Host": "localhost:8080"},
        {"Origin": "https://evil.example", "Host": "127.0.0.1:8080"},
        {"Origin": "null", "Host": "127.0.0.1:8080"},
        {"Origin": "null"},
        {"Origin": "http://[", "Host": "["},
    ],
)
def test_what_other_sites_send(headers: dict[str, str]) -> None:
    """Whatever a browser does for another site, or for one that it does not name, is foreign."""
    assert is_foreign(headers) is True


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8080", "d.localhost:1", "localhost.", "127.0.0.1:8080", "[::1]", "10.1.2.3", "me:1", ""],
)
def test_names_that_lead_nowhere_else(host: str) -> None:
    """Names of this machine, addresses of all kinds, such as a pod's, and the name of the config."""
    assert is_meant(host, "Me") is True


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8080", "localhost.evil.example", "[", ":8080"]
)
def test_names_that_anybody_can_have(host: str) -> None:
    """Also such that look like ours, and what is no name."""
    assert is_meant(host, "127.0.0.1") is False


def test_hostnames() -> None:
    """They are compared without ports, brackets, case and the dot at the end."""
    assert [hostname(place) for place in ("A.test.:80", "[::1]:80", "a@b.test", "")] == ["a.test", "::1", "b.test", ""]
