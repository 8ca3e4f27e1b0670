"""The key ``listen`` as an address, or as an address with a token."""

from io import StringIO

import pytest

from dregsy.config.load import load
from dregsy.errors import ConfigError
from dregsy.model.endpoint import Secret
from dregsy.model.listen import Listen

TOKEN = "0123456789abcdef"


def read(listen: str, **environ: str) -> Listen | None:
    """Return what a value of the key means."""
    return load("-", environ=environ, strict=True, stdin=StringIO(f"listen: {listen}\ntasks: []\n")).plan.listen


def problems(listen: str) -> list[str]:
    """Return what is said about a value of the key."""
    with pytest.raises(ConfigError) as caught:
        read(listen)
    return [str(one) for one in caught.value.problems]


def test_an_address_alone() -> None:
    """It has no token, written either way."""
    assert read("':8080'") == read("{address: ':8080'}") == Listen("127.0.0.1", 8080)


def test_a_token() -> None:
    """It may come from the environment; an empty one is none."""
    assert read(f"{{address: ':1', token: {TOKEN}}}") == Listen("127.0.0.1", 1, Secret(TOKEN))
    assert read("{address: ':1', token: '${WORD}'}", WORD=TOKEN) == Listen("127.0.0.1", 1, Secret(TOKEN))
    assert read("{address: ':1', token: '${WORD:-}'}") == Listen("127.0.0.1", 1)


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("short-and-sweet", "needs 16 to 256 characters"),
        ("'with blanks in it all over'", "has blanks, or signs other than ASCII's"),
        ("ümläute-sind-keine-hilfe", "has blanks, or signs other than ASCII's"),
        ("[0123456789abcdef]", "needs a single value"),
    ],
)
def test_no_tokens(token: str, why: str) -> None:
    """What can be guessed or not be sent is refused, with the line, and without saying what it was."""
    (said,) = problems(f"{{address: ':1', token: {token}}}")

    assert said.startswith(f"stdin:1: listen.token: {why}")
    assert token.strip("'[]") not in said


@pytest.mark.parametrize(
    ("listen", "start"),
    [
        ("8080", "stdin:1: listen: has no port"),
        ("[':8080']", "stdin:1: listen: needs a single value"),
        (f"{{token: {TOKEN}}}", "stdin:1: listen.address: has no port"),
        ("{address: ':8080', tokn: x}", "stdin:1: listen: unknown key 'tokn'"),
    ],
)
def test_no_addresses(listen: str, start: str) -> None:
    """A token needs an address, and misspelt keys are told."""
    (said,) = problems(listen)

    assert said.startswith(start)
    assert TOKEN not in said
