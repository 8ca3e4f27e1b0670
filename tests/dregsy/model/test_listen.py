import pytest

from dregsy.model.listen import Listen


@pytest.mark.parametrize(
    ("text", "host", "port", "written"),
    [
        (":8080", "127.0.0.1", 8080, "127.0.0.1:8080"),
        ("0.0.0.0:80", "0.0.0.0", 80, "0.0.0.0:80"),  # noqa: S104 - what a user may ask for
        (" localhost:0 ", "localhost", 0, "localhost:0"),
        ("[::]:9090", "::", 9090, "[::]:9090"),
        ("[0:0::1]:65535", "::1", 65535, "[::1]:65535"),
    ],
)
def test_addresses(text: str, host: str, port: int, written: str) -> None:
    """A port alone is for this machine; whatever else there is has to be named."""
    address = Listen.parse(text)

    assert (address.host, address.port, str(address)) == (host, port, written)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "8080",
        "localhost",
        "::1:80",
        "::",
        "[::1]",
        "[no]:80",
        "[::1:80",
        ":65536",
        ":-1",
        ":8o",
        ":٣",
        "a/b:80",
        "http://localhost:80",
        "user@host:80",
        "a b:80",
        ":99999999999999999999",
    ],
)
def test_no_addresses(text: str) -> None:
    """What is no address is refused, and not guessed at."""
    with pytest.raises(ValueError, match=r"(?i)port|host|address|octet|colon|permitted|expected|at least"):
        Listen.parse(text)
