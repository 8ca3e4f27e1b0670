"""Sections, and the types of single values, read as dregsy's YAML library reads them, not as pydantic would.

Numbers and booleans count only without quotes, texts are taken as they stand, durations are Go's.
"""

import base64
import json
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from dregsy.config.source import Scalar
from dregsy.model import pattern
from dregsy.model.endpoint import Anonymous, Given, Login, Secret

_TRUE = {"y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"}
_FALSE = {"n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"}
_INTEGER = pattern.compile_whole(r"[-+]?(?:0x[0-9a-fA-F]+|0o?[0-7]+|0b[01]+|[1-9][0-9]*|0)")
_FLOAT = pattern.compile_whole(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MOST = 2**63 - 1
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"((?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(ns|us|µs|μs|ms|s|m|h)"
_LONGEST = 100
_AGE = pattern.compile_search(r"(?:([0-9]+)w)?(?:([0-9]+)d)?(.*)")
_DAY = 86400.0
_MOST_DIGITS = 12
_DURATION = pattern.compile_whole(rf"[-+]?(?:{_PART})+")
_DURATION_PART = pattern.compile_search(_PART)
_AUTH_HINT = "make it with: printf '%s:%s' USER PASSWORD | base64 -w0"

LOCATION = "location"
"""The type of errors which tell what is wrong with a source or target as a whole."""


class Section(BaseModel):
    """Keys and values of the file; a null is the same as leaving its key out.

    A field without default is read even when its key is left out: as a null, which may be a problem of its own.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        required = {info.alias or name: None for name, info in cls.model_fields.items() if info.is_required()}
        return required | {key: value for key, value in data.items() if value is not None}


def problem(kind: str, message: str, hint: str = "") -> PydanticCustomError:
    """Return the error of a validator, for users to read; ``kind`` is its type, by which it may be told apart."""
    return PydanticCustomError(kind, "{message}", {"message": message, "hint": hint})


def read_text(value: Any) -> str:
    """Any scalar, as it stands in the file; a null is empty."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise problem("text", "needs a single value", "not a list, and no keys below it")
    return str(value)


def is_bool(value: Any) -> bool:
    """Tell whether YAML takes a value for true or false."""
    return isinstance(value, Scalar) and value.plain and value in _TRUE | _FALSE


def read_bool(value: Any) -> bool:
    """``true`` or ``false`` in any of YAML's spellings, without quotes."""
    if is_bool(value):
        return value in _TRUE
    raise problem("bool", "needs true or false", "without quotes")


def read_int(value: Any) -> int:
    """A whole number without quotes: 60, 0x3c, 1_000, 030 (octal); a fraction is cut off."""
    number = _number(value)
    if number is None:
        raise problem("int", "needs a whole number", "without quotes and without a unit")
    return number


def _number(value: Any) -> int | None:
    if not isinstance(value, Scalar) or not value.plain:
        return None
    text = value.replace("_", "")
    try:
        if _INTEGER(text):
            number = int(text, 8 if text.lstrip("+-")[:1] == "0" and text.lstrip("+-").isdigit() else 0)
        else:
            number = int(float(text)) if _FLOAT(text) and math.isfinite(float(text)) else _MOST + 1
    except ValueError:  # more digits than Python converts
        return None
    return number if abs(number) <= _MOST else None


def read_duration(value: Any) -> float:
    """A Go duration such as ``1h30m``, or a bare number of nanoseconds; the result is in seconds."""
    number = _number(value)
    seconds = number / 1e9 if number is not None else _go_duration(value)
    if seconds is None:
        raise problem("duration", "needs a duration", "such as 30m, 10h or 1h30m")
    return seconds


def _go_duration(value: Any) -> float | None:
    if not isinstance(value, str) or len(value) > _LONGEST or not (_DURATION(value) or value in {"0", "+0", "-0"}):
        return None
    parts = _DURATION_PART.finditer(value)
    seconds = sum(float(part.group(1) or 0) * _SECONDS[part.group(2) or "s"] for part in parts)
    if seconds > _MOST / 1e9:
        return None
    return -seconds if value.startswith("-") else seconds


def read_age(value: Any) -> float:
    """A duration in which ``d`` and ``w`` stand for days and weeks, such as ``30d`` or ``1w12h``, in seconds."""
    text = read_text(value)
    found = _AGE.fullmatch(text) if len(text) <= _LONGEST else None
    weeks, days, rest = (found.group(1), found.group(2), found.group(3)) if found else (None, None, None)
    seconds = _go_duration(rest) if rest else 0.0
    if found is None or seconds is None or len(f"{weeks}{days}") > _MOST_DIGITS:
        raise problem("age", "needs a duration with a unit", "such as 12h, 7d or 2w")
    seconds += int(weeks or 0) * 7 * _DAY + int(days or 0) * _DAY
    if seconds <= 0:
        raise problem("age", "needs to be longer than nothing", "such as 12h, 7d or 2w")
    return seconds


def read_auth(value: Any) -> Anonymous | Given | None:
    """``none``, or base64 of ``{"username": …, "password": …}`` or of ``user:password``; None when empty."""
    text = read_text(value)
    if not text.strip():
        return None
    if text == "none":
        return Anonymous()
    try:
        decoded = base64.b64decode("".join(text.split()), validate=True).decode()
    except ValueError:
        raise problem(LOCATION, "invalid Auth: not base64 of a text", _AUTH_HINT) from None
    login = _json_login(decoded) if decoded.lstrip().startswith("{") else _plain_login(decoded)
    if login is None:
        raise problem(LOCATION, "invalid Auth: holds no username and password", _AUTH_HINT)
    return Given(login)


def _json_login(decoded: str) -> Login | None:
    try:
        data = json.loads(decoded)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, Mapping):
        return None
    keys = {key.lower(): value for key, value in data.items()}
    return _login(keys.get("username"), keys.get("password"))


def _plain_login(decoded: str) -> Login | None:
    username, colon, password = decoded.removesuffix("\n").removesuffix("\r").partition(":")
    return _login(username, password) if colon else None


def _login(username: Any, password: Any) -> Login | None:
    if not isinstance(username, str) or not isinstance(password, str) or not username:
        return None
    try:
        f"{username}{password}".encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can write but nobody can send
        return None
    return Login(username, Secret(password))


def not_null(message: str, kind: str = "null") -> Callable[[Any], Any]:
    """Return a validator that lets everything pass but a null."""

    def check(value: Any) -> Any:
        if value is None:
            raise problem(kind, message)
        return value

    return check


def at_least(least: int, most: int = 10**9) -> Callable[[int], int]:
    """Return a validator that lets numbers from ``least`` to ``most`` pass."""

    def check(value: int) -> int:
        if value < least:
            raise problem("int", f"needs to be {least} or more")
        if value > most:
            raise problem("int", f"needs to be {most} or less")
        return value

    return check


def written(title: str, **schema: Any) -> WithJsonSchema:
    """Return how a value is written, for the manual and for editors: in words, and as a JSON Schema."""
    return WithJsonSchema({**schema, "title": title})


def whole_number(least: int, most: int = 10**9) -> WithJsonSchema:
    """Return how a number within bounds is written."""
    return written("whole number", type="number", minimum=least, maximum=most)


def one_of(*words: str) -> WithJsonSchema:
    """Return how one of some words is written."""
    return written("one of " + ", ".join(f"`{word}`" for word in words), enum=[*words])


_LOGIN = written("login", type="string", pattern=r"^\s*(none|[A-Za-z0-9+/=\s]*)$")
_DURATION_WRITTEN = rf"^[-+]?(({_PART})+|0)$"
_AGE_WRITTEN = rf"^([0-9]+w)?([0-9]+d)?({_PART})*$"
Text = Annotated[str, PlainValidator(read_text), written("text", type=["string", "number", "boolean"])]
Bool = Annotated[bool, PlainValidator(read_bool), written("`true` or `false`", type="boolean")]
Int = Annotated[int, PlainValidator(read_int), written("whole number", type="number")]
Duration = Annotated[
    float, PlainValidator(read_duration), written("duration", type=["string", "number"], pattern=_DURATION_WRITTEN)
]
Age = Annotated[float, PlainValidator(read_age), written("age", type="string", minLength=1, pattern=_AGE_WRITTEN)]
Auth = Annotated[Anonymous | Given | None, PlainValidator(read_auth), _LOGIN]
