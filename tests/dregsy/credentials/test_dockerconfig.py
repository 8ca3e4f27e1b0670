"""Logins from real docker config files."""

import asyncio
import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.errors import CredentialsError
from dregsy.model.endpoint import Login, Secret
from tests.testbed.home import ALICE, HOST, HUB_KEY, NOBODY, Home, coded, entry

KEYS = [
    (HOST, HOST, True),
    (HOST, f"https://{HOST}", True),
    (HOST, f"https://{HOST}/", True),
    (HOST, f"http://{HOST}/v1/", True),
    (HOST, f"https://{HOST}/v2/", True),
    (HOST, f"{HOST}/v1/", True),
    (HOST, HOST.upper(), True),
    (HOST, f"{HOST}:443", False),
    (HOST, f"x{HOST}", False),
    (HOST, "example.com", False),
    (f"{HOST}:5000", f"{HOST}:5000", True),
    (f"{HOST}:5000", f"https://{HOST}:5000/v2/", True),
    (f"{HOST}:5000", HOST, False),
    ("[::1]:5000", "[::1]:5000", True),
    ("docker.io", HUB_KEY, True),
    ("docker.io", "index.docker.io/v1/", True),
    ("docker.io", "docker.io", True),
    ("docker.io", "registry-1.docker.io", True),
    ("index.docker.io", "docker.io", True),
    ("registry-1.docker.io", HUB_KEY, True),
    (HOST, f"{HOST}/team", True),
    (HOST, f"{HOST}/team/", True),
    (HOST, f"{HOST}/team/app", True),
    (HOST, f"{HOST}/team/app/more", False),
    (HOST, f"{HOST}/tea", False),
    (HOST, f"{HOST}/team/ap", False),
    (HOST, f"{HOST}/app", False),
    (HOST, "", False),
]


@pytest.mark.parametrize(("host", "key", "found"), KEYS)
async def test_keys_are_understood_in_every_spelling(home: Home, host: str, key: str, found: bool) -> None:
    """A key names a host, an API URL of it, or a path of whole components below it."""
    home.write({"auths": {key: entry()}})

    assert await home.find(host) == (ALICE if found else NOBODY)


async def test_the_longest_path_wins(home: Home) -> None:
    """Of all keys that cover a repository the most particular one counts, wherever it stands."""
    names = {HOST: "host", f"{HOST}/a": "a", f"{HOST}/a/b": "ab", f"{HOST}/a/bc": "abc"}
    home.write({"auths": {key: entry(name, "x") for key, name in names.items()}})
    found = [(await home.find(HOST, one)).username for one in ("z", "a", "ab", "a/x", "a/b", "a/b/c", "a/bc", "a/bcd")]

    assert found == ["host", "a", "host", "a", "ab", "ab", "abc", "a"]


async def test_an_empty_particular_entry_hides_nothing(home: Home) -> None:
    """An entry without a login, as docker leaves them, gives way to the next."""
    home.write({"auths": {f"{HOST}/team": {}, HOST: entry()}})

    assert await home.find() == ALICE


@pytest.mark.parametrize(
    ("written", "login"),
    [
        ({"username": "alice", "password": "s3cret"}, ALICE),
        ({"auth": coded("alice", "s3cret"), "username": "bob", "password": "old"}, ALICE),
        ({"auth": coded("alice", "s3cret").rstrip("=")}, ALICE),
        ({"auth": coded("alice", "s3cret") + "\n"}, ALICE),
        ({"auth": coded("alice", "s3cret\0\0")}, ALICE),
        ({"auth": coded("u", "a:b:c")}, Login("u", Secret("a:b:c"))),
        ({"auth": coded("ü", 'p%s"w\\ö€ ')}, Login("ü", Secret('p%s"w\\ö€ '))),
        ({"auth": base64.urlsafe_b64encode("ü:??>>".encode()).decode()}, Login("ü", Secret("??>>"))),
        ({"auth": coded("user", "")}, Login("user", Secret(""))),
        ({"auth": coded("user", ""), "identitytoken": "t"}, Login("user", identity_token=Secret("t"))),
        ({"identitytoken": "t"}, Login("", identity_token=Secret("t"))),
        ({"auth": coded("<token>", "t")}, Login(identity_token=Secret("t"))),
        ({"auth": "", "email": "a@example.com"}, NOBODY),
    ],
)
async def test_an_entry_says_who_to_be(home: Home, written: dict[str, str], login: Login) -> None:
    """Passwords arrive exactly as they are; an identity token is told from a password."""
    home.write({"auths": {HOST: written}})

    assert await home.find() == login


@given(username=st.text(st.characters(codec="utf-8", exclude_characters=":"), min_size=1), password=st.text())
def test_every_password_survives(username: str, password: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever user name and password docker can write come out as they went in."""
    home = Home(tmp_path_factory.mktemp("home"))
    home.write({"auths": {HOST: entry(username, password)}})
    login = asyncio.run(home.find())

    secret = login.identity_token if username == "<token>" else login.password
    assert secret == Secret(password.strip("\0"))


BROKEN = [
    ("{\n\n  oops s3cret\n}", "config.json:3:", "is not JSON"),
    ('"s3cret"', "config.json:1:", "is not a JSON object"),
    ("", "config.json:1:", "is not JSON"),
    ("[" * 100_000, "config.json", "is not JSON"),
    ('{"n": ' + "9" * 5000 + "}", "config.json", "is not JSON"),
    ('{\n"auths": ["s3cret"]}', "config.json:2:", "auths is not an object"),
    ('{\n\n"credHelpers": "s3cret"}', "config.json:3:", "credHelpers is not an object"),
    ('{"credsStore": ["s3cret"]}', "config.json:1:", "credsStore is not a text"),
    (f'{{"credHelpers":\n{{"{HOST}": ["s3cret"]}}}}', "config.json:2:", "the helper's name is not a text"),
    (f'{{"auths": {{\n\n"{HOST}": "s3cret"}}}}', "config.json:3:", "is not an object"),
    (f'{{"auths": {{"{HOST}": {{"auth": ["s3cret"]}}}}}}', "config.json:1:", "'auth' is not a text"),
    (f'{{"auths": {{"{HOST}": {{"auth": "!s3cret!"}}}}}}', "config.json:1:", "is not base64"),
    (f'{{"auths": {{"{HOST}": {{"auth": "A"}}}}}}', "config.json:1:", "is not base64"),
    (f'{{"auths": {{"{HOST}": {{"auth": "/////w=="}}}}}}', "config.json:1:", "is not base64 of UTF-8"),
    (f'{{"auths": {{"{HOST}": {{"auth": "czNjcmV0"}}}}}}', "config.json:1:", "is not base64 of user:password"),
    (f'{{"auths": {{"{HOST}": {{"password": "s3cret\\ud800"}}}}}}', "config.json:1:", "'password' is not Unicode"),
]


@pytest.mark.parametrize(("text", "place", "reason"), BROKEN)
async def test_a_broken_config_is_named_with_its_line(home: Home, text: str, place: str, reason: str) -> None:
    """The error names the file, the line and the fault, and repeats nothing that stands there."""
    home.write(text)
    message = await home.refuse()

    assert f"{home.config.parent}/{place}" in message
    assert reason in message


async def test_a_broken_entry_is_no_concern_of_other_hosts(home: Home) -> None:
    """Only the entry that is used has to be right."""
    home.write({"auths": {"other.example.com": {"auth": 7}, HOST: entry()}})

    assert await home.find() == ALICE


async def test_a_byte_order_mark_is_no_obstacle(home: Home) -> None:
    """Editors that write one do not break the config."""
    home.write("\ufeff" + json.dumps({"auths": {HOST: entry()}}))

    assert await home.find() == ALICE


@pytest.mark.parametrize(
    "document",
    [
        {"Auths": {HOST: entry()}},
        {"AUTHS": {HOST: {"Auth": coded("alice", "s3cret")}}},
        {"auths": {HOST: {"UserName": "alice", "PASSWORD": "s3cret"}}},
        {"Auths": {}, "auths": {HOST: entry()}, "AUTHS": {}},
    ],
)
async def test_large_and_small_letters(home: Home, document: dict[str, object]) -> None:
    """Docker does not look at the case of its config's keys; the usual spelling comes first."""
    home.write(document)
    assert await home.find(HOST) == ALICE


async def test_a_file_without_end(home: Home) -> None:
    """A file that is far larger than any config is not read to its end."""
    home.write({})
    with home.config.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(CredentialsError, match="File too large"):
        await home.find(HOST)
