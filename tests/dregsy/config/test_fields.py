"""Single values: what each type takes, exactly as dregsy's YAML library takes it."""

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from dregsy.config import fields
from dregsy.config.source import Items, Scalar, Table
from dregsy.model.endpoint import Anonymous, Given, Login


def plain(text: str) -> Scalar:
    """Make an unquoted scalar."""
    return Scalar.of(text)


def quoted(text: str) -> Scalar:
    """Make a quoted scalar."""
    return Scalar.of(text, plain=False)


def refused(read: Callable[[Any], Any], value: Any) -> str:
    """Return the message with which a value is refused."""
    with pytest.raises(PydanticCustomError) as caught:
        read(value)
    return caught.value.message()


@pytest.mark.parametrize("text", ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"])
def test_true(text: str) -> None:
    """All of YAML 1.1's words for true count, without quotes."""
    assert fields.read_bool(plain(text)) is True
    assert refused(fields.read_bool, quoted(text)) == "needs true or false"


@pytest.mark.parametrize("text", ["n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"])
def test_false(text: str) -> None:
    """All of YAML 1.1's words for false count."""
    assert fields.read_bool(plain(text)) is False


@pytest.mark.parametrize("value", [plain("1"), plain("tRue"), plain(""), Table(1), Items(1), None])
def test_no_bool(value: Any) -> None:
    """Nothing else is a boolean."""
    assert refused(fields.read_bool, value) == "needs true or false"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60", 60),
        ("+60", 60),
        ("-1", -1),
        ("0", 0),
        ("-0", 0),
        ("0x3c", 60),
        ("1_000", 1000),
        ("030", 24),
        ("-030", -24),
        ("0o30", 24),
        ("0b11", 3),
        ("60.9", 60),
        ("-60.9", -60),
        ("1e3", 1000),
        (".5", 0),
        ("08", 8),
        ("00", 0),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_int(text: str, expected: int) -> None:
    """Whole numbers in all of their spellings; fractions are cut off."""
    assert expected == fields.read_int(plain(text))


@pytest.mark.parametrize(
    "value",
    [
        quoted("60"),
        *map(
            plain, ["60s", "", "x", "1:30", "٣", "0x", "1e400", ".inf", "nan", "9223372036854775808", "9" * 5000, "1 "]
        ),
        Table(1),
        None,
    ],
)
def test_no_int(value: Any) -> None:
    """Quoted numbers, units and numbers out of range are refused."""
    assert refused(fields.read_int, value) == "needs a whole number"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (plain("10h"), 36000.0),
        (quoted("1h30m"), 5400.0),
        (plain("1.5h"), 5400.0),
        (plain("-2m"), -120.0),
        (plain("+2s"), 2.0),
        (plain("300ms"), 0.3),
        (plain("5us"), 5e-6),
        (plain("5µs"), 5e-6),
        (plain("5μs"), 5e-6),
        (plain("1m1m"), 120.0),
        (plain(".5s"), 0.5),
        (quoted("0"), 0.0),
        (plain("-1"), -1e-9),
        (plain("60_000_000_000"), 60.0),
        (plain("0"), 0.0),
    ],
)
def test_duration(value: Scalar, expected: float) -> None:
    """Go's durations, and bare numbers as nanoseconds; the result is in seconds."""
    assert expected == pytest.approx(fields.read_duration(value), abs=1e-12)


@pytest.mark.parametrize(
    "value",
    [
        quoted("60"),
        *map(plain, ["", "h", "1d", "1h 30m", "1h-30m", "--1h", ".h", "1H", "9999999h", "1h" * 1000, "1" * 400 + "h"]),
        Items(1),
        None,
    ],
)
def test_no_duration(value: Any) -> None:
    """What Go would not take is refused."""
    assert refused(fields.read_duration, value) == "needs a duration"


def test_text() -> None:
    """Any scalar is a text as it stands, and a null is an empty one."""
    assert [fields.read_text(value) for value in (plain("1.40"), quoted(""), None)] == ["1.40", "", ""]
    assert type(fields.read_text(plain("a"))) is str
    assert refused(fields.read_text, Items(1)) == "needs a single value"
    assert refused(fields.read_text, Table(1)) == "needs a single value"


def encoded(text: str | bytes) -> Scalar:
    """Make a scalar of a text's base64."""
    return plain(base64.b64encode(text.encode() if isinstance(text, str) else text).decode())


def login(value: Any) -> tuple[str, str]:
    """Read a login and return its user name and password."""
    auth = fields.read_auth(value)
    assert isinstance(auth, Given)
    assert auth.login.password is not None
    return auth.login.username, auth.login.password.reveal()


@given(st.text(min_size=1), st.text())
def test_any_login_survives(username: str, password: str) -> None:
    """User name and password come out exactly as they went in, whatever characters they have."""
    document = json.dumps({"username": username, "password": password}, ensure_ascii=False)
    assert (username, password) == login(encoded(document))
    assert (username, password) == login(encoded(json.dumps({"UserName": username, "PASSWORD": password}) + "\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user:password", ("user", "password")),
        ("user:pass:word\n", ("user", "pass:word")),
        ("user:\r\n", ("user", "")),
        ('user:{"}', ("user", '{"}')),
    ],
)
def test_plain_login(text: str, expected: tuple[str, str]) -> None:
    """The first colon of a text that is no JSON ends the user's name; the line end of an ``echo`` is none of it."""
    assert expected == login(encoded(text))


def test_base64_in_several_lines() -> None:
    """Base64 may be broken into lines, as tools do."""
    text = base64.encodebytes(json.dumps({"username": "u" * 80, "password": "p"}).encode()).decode()
    assert login(Scalar.of(text, plain=False)) == ("u" * 80, "p")


def test_no_login() -> None:
    """``none`` is nobody; an empty value says nothing."""
    assert Anonymous() == fields.read_auth(plain("none"))
    assert [fields.read_auth(value) for value in (None, quoted(""), quoted(" "))] == [None, None, None]


@pytest.mark.parametrize(
    "value",
    [
        *map(plain, ["!!!", "None", "a", "YQ"]),
        encoded(b"hunter2:\xff"),
        *map(
            encoded,
            [
                "hunter2",
                ":hunter2",
                '{"username": "a", "password": hunter2',
                '{"username": "a", "password": 1}',
                '{"password": "hunter2"}',
                '{"username": "", "password": "hunter2"}',
                '{"username": "a", "password": "\\ud800hunter2"}',
                "{" * 100_000,
                '{"a":' + "[" * 100_000,
            ],
        ),
    ],
)
def test_wrong_login(value: Scalar) -> None:
    """What holds no user name and password is refused, and not quoted."""
    message = refused(fields.read_auth, value)
    assert message.startswith("invalid Auth: ")
    assert "hunter2" not in message


def test_login_is_masked() -> None:
    """A password is not represented."""
    auth = fields.read_auth(encoded("user:hunter2"))
    assert isinstance(auth, Given)
    assert isinstance(auth.login, Login)
    assert "hunter2" not in f"{auth!r} {auth}"


def test_bounds() -> None:
    """Validators for the least number, and for what may not be null, let all else pass."""
    assert fields.at_least(1)(1) == 1
    assert refused(fields.at_least(1), 0) == "needs to be 1 or more"
    assert fields.not_null("is nil")("") == ""
    assert refused(fields.not_null("is nil"), None) == "is nil"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30d", 2592000.0), ("2w", 1209600.0), ("1w1d", 691200.0), ("1d12h", 129600.0), ("90m", 5400.0), ("1.5h", 5400.0)],
)
def test_ages(text: str, seconds: float) -> None:
    """Ages are durations that know days and weeks."""
    assert seconds == fields.read_age(plain(text))


@pytest.mark.parametrize("value", ["30", "", "d", "1d1w", "-1d", "1.5d", "7 d", "9" * 13 + "d", "1d" * 60, "0d", "0s"])
def test_no_ages(value: str) -> None:
    """An age has a unit, and is more than nothing."""
    assert refused(fields.read_age, plain(value)).startswith("needs ")
    assert refused(fields.read_age, Items(1)).startswith("needs ")


@given(st.text("0123456789wdhms.-", max_size=12))
def test_any_age(text: str) -> None:
    """Any text is an age of some length or refused."""
    with suppress(PydanticCustomError):
        assert fields.read_age(plain(text)) > 0
