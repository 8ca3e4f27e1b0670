"""Docker's ``config.json``: which login or which credential helper it holds for a registry.

Nothing here is ever shown: messages name the host, the file and the line, and never what stands there.
"""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from dregsy.errors import CredentialsError
from dregsy.model.endpoint import Login, Secret
from dregsy.model.ref import DOCKER_HUB, HUB_NAMES

_TOKEN_USER = "<token>"  # noqa: S105 - the user name that says: the secret is an identity token


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """One docker config. An entry is only looked into when its host is asked for: others may be broken."""

    origin: str
    text: str = field(repr=False)
    auths: dict[str, Any] = field(repr=False)
    helpers: dict[str, Any]
    store: str

    @classmethod
    def parse(cls, origin: str, text: str, host: str) -> "DockerConfig":
        """Read the JSON text; ``origin`` is what messages call it."""
        try:
            data = json.loads(text.removeprefix("\ufeff"))
        except json.JSONDecodeError as error:
            raise _broken(f"{origin}:{error.lineno}: is not JSON: {error.msg}", host) from None
        except (ValueError, RecursionError):  # a number of thousands of digits; thousands of brackets
            raise _broken(f"{origin}: is not JSON that can be read", host) from None
        if not isinstance(data, dict):
            raise _broken(f"{origin}:1: is not a JSON object", host)
        auths, helpers, store = (member(data, key) for key in ("auths", "credHelpers", "credsStore"))
        for key, value, kind in (("auths", auths, dict), ("credHelpers", helpers, dict), ("credsStore", store, str)):
            if value is not None and not isinstance(value, kind):
                expected = "an object" if kind is dict else "a text"
                raise _broken(f"{origin}:{_line_of(text, key)}: {key} is not {expected}", host)
        return cls(origin, text, auths or {}, helpers or {}, store or "")

    def entries(self, name: str, repository: str) -> list[tuple[str, str]]:
        """Path and key of each entry of ``auths`` that covers the repository, the most particular first."""
        found = []
        for key in self.auths:
            host, path = _split(key)
            if host == name and (not path or f"{repository}/".startswith(f"{path}/")):
                found.append((path, key))
        return sorted(found, key=lambda entry: -len(entry[0]))

    def helper(self, name: str, host: str) -> str:
        """The name of the helper that keeps the host's login; empty for none."""
        for key, value in self.helpers.items():
            if _split(key) == (name, ""):
                if not isinstance(value, str):
                    raise _broken(f"{self.origin}:{_line_of(self.text, key)}: the helper's name is not a text", host)
                return value
        return self.store

    def login(self, key: str, host: str) -> Login | None:
        """Read one entry; None when it holds nothing, as docker leaves it where a helper keeps the login."""
        try:
            return _entry_login(self.auths[key])
        except ValueError as error:
            raise _broken(f"{self.origin}:{_line_of(self.text, key)}: the entry for {host}: {error}", host) from None


def _entry_login(entry: Any) -> Login | None:
    """Read an entry of ``auths``; ValueError says what is wrong with it."""
    if not isinstance(entry, dict):
        if entry is None:
            return None
        raise ValueError("it is not an object")
    username, password = text_of(entry, "username"), text_of(entry, "password")
    if auth := text_of(entry, "auth"):
        username, password = _decode(auth)
    token = text_of(entry, "identitytoken")
    if token:
        return Login(username, identity_token=Secret(token))
    return login_of(username, password) if username or password else None


def _decode(auth: str) -> tuple[str, str]:
    """Decode ``auth``: base64, with or without padding, of ``user:password``."""
    plain = "".join(auth.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        text = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except ValueError:
        raise ValueError("'auth' is not base64 of UTF-8 text") from None
    username, colon, password = text.partition(":")
    if not colon:
        raise ValueError("'auth' is not base64 of user:password")
    return username, password.strip("\0")  # docker pads with NUL bytes


def login_of(username: str, password: str) -> Login:
    """Make a login of what docker keeps as name and secret."""
    if username == _TOKEN_USER:
        return Login(identity_token=Secret(password))
    return Login(username, Secret(password))


def member(data: dict[str, Any], key: str) -> Any:
    """Return what is called ``key`` in an object, or else what is so but for the case of letters, as docker does."""
    others = [value for name, value in data.items() if name.isascii() and name.lower() == key.lower()]
    return data[key] if key in data else others[-1] if others else None


def text_of(data: dict[str, Any], key: str) -> str:
    """Return the text called ``key``, empty when there is none; ValueError when it is something else."""
    value = member(data, key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{key!r} is not a text")
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: cannot be sent, and the error would show the value
        raise ValueError(f"{key!r} is not Unicode text") from None
    return value


def canonical(host: str) -> str:
    """One name for a host however it is written; Docker Hub has three."""
    lowered = host.lower()
    return DOCKER_HUB if lowered in HUB_NAMES else lowered


def _split(key: str) -> tuple[str, str]:
    """Split a key of docker's config into host and path; a URL, or an API version at its end, is the whole host."""
    scheme, mark, rest = key.partition("://")
    host, _, path = (rest if mark and scheme.lower() in {"http", "https"} else key).partition("/")
    whole = bool(mark) or path in {"v1/", "v2/"}
    return canonical(host), "" if whole else path.strip("/")


def _line_of(text: str, key: str) -> int:
    """The line where a key first stands; 1 when it is written with escapes."""
    return text.count("\n", 0, max(text.find(f'"{key}"'), 0)) + 1


def _broken(message: str, host: str) -> CredentialsError:
    return CredentialsError(message, host=host, hint="correct it, or write it anew with 'docker login'")
