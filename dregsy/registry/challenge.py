"""How a registry asks for a login, and how a login becomes a bearer token, without a byte of I/O.

The caller sends what ``token_request`` returns and hands the answer to ``parse_token``. Everything
read here comes from a stranger: it is bounded, never raises anything odd, and never reaches a message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from dregsy.errors import RegistryError
from dregsy.model import jsontext
from dregsy.model.endpoint import Login, Secret
from dregsy.registry.addresses import is_safe

CATALOG = "registry:catalog:*"
"""The scope for listing all repositories of a registry."""

SHORTEST_LIFE = 60.0
LONGEST_LIFE = 24 * 3600.0

_CLIENT = "dregsy"
_BLANK = frozenset(" \t")
_SEPARATORS = frozenset(" \t,")
_EQUALS = frozenset("=")
_ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_TOKEN = _ALPHANUMERIC | frozenset("!#$%&'*+-.^_`|~")
_TOKEN68 = _ALPHANUMERIC | frozenset("-._~+/")
_VISIBLE = frozenset(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in that a registry offers; scheme and parameter names are in lower case."""

    scheme: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """The request to a token server: ``form`` is the body of a POST, ``login`` goes into Basic authentication."""

    method: str
    url: str
    form: tuple[tuple[str, str], ...] | None = field(default=None, repr=False)
    login: Login | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and when it stops being good, on the clock whose time ``parse_token`` was given."""

    secret: Secret
    expires_at: float


def pull(repository: str) -> str:
    """Return the scope for reading a repository (Docker token scope documentation)."""
    return f"repository:{repository}:pull"


def push(repository: str) -> str:
    """Return the scope for writing to a repository, which takes reading it too."""
    return f"repository:{repository}:pull,push"


def parse(header_values: Sequence[str]) -> tuple[Challenge, ...]:
    """Read the values of all ``WWW-Authenticate`` headers, in order (RFC 9110, 11.6.1).

    Takes what real registries send: missing commas, URLs without quotes, quotes that never end. What
    cannot be understood is stepped over. Of a parameter that comes twice the first counts.
    """
    return tuple(challenge for value in header_values for challenge in _challenges(value))


def token_request(challenge: Challenge, login: Login, scopes: Sequence[str], *, verify: bool = True) -> TokenRequest:
    """Build the request that turns ``login`` into a token for ``scopes`` (Docker token authentication specification).

    Without scopes those of the challenge are asked for. RegistryError when the challenge's realm is no
    address to send a login to: it must be https, or http on this machine or where nothing is verified.
    """
    realm = _realm(challenge.parameters.get("realm", ""), verify=verify)
    service = challenge.parameters.get("service", "")
    wanted = list(scopes) or challenge.parameters.get("scope", "").split()
    if login.identity_token is not None:
        form = {
            "grant_type": "refresh_token",
            "service": service,
            "scope": " ".join(wanted),
            "client_id": _CLIENT,
            "refresh_token": login.identity_token.reveal(),
        }
        return TokenRequest("POST", realm.geturl(), tuple(form.items()))
    query = [("service", service)] if service else []
    query += [("scope", scope) for scope in wanted]
    if login.password is not None:
        query.append(("account", login.username))
    joined = "&".join(part for part in (realm.query, urlencode(query)) if part)
    return TokenRequest("GET", realm._replace(query=joined).geturl(), login=None if login.is_anonymous else login)


def parse_token(body: bytes, now: float) -> Token:
    """Read a token server's answer that arrived at ``now`` (seconds); RegistryError when it holds no token.

    The server's own ``issued_at`` is not used: its clock may differ from ours.
    """
    try:
        answer = jsontext.parse(body)
    except ValueError:
        # Without a cause: a JSON error carries the text, and the text may hold a token.
        raise _no_token("is not JSON", strange=True) from None
    if not isinstance(answer, dict):
        raise _no_token("is not a JSON object", strange=True)
    token = answer.get("token") or answer.get("access_token")
    if not token:
        raise _no_token("holds no token")
    if not isinstance(token, str) or not _VISIBLE.issuperset(token):
        raise _no_token("holds a token that cannot be sent in a header")
    return Token(Secret(token), now + _life(answer.get("expires_in")))


def _life(seconds: Any) -> float:
    """Seconds that a token is good for: those given, within bounds; the shortest where that is no number."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds != seconds:  # noqa: PLR0124 - NaN
        return SHORTEST_LIFE
    return float(min(max(seconds, SHORTEST_LIFE), LONGEST_LIFE))


def _no_token(what: str, *, strange: bool = False) -> RegistryError:
    """The error for an answer without a token; a ``strange`` one is of something in front, perhaps, and may go away."""
    return RegistryError(
        f"the answer of the registry's token server {what}",
        retryable=strange,
        hint="check the token service that the registry is set up with",
    )


def _realm(text: str, *, verify: bool) -> SplitResult:
    """Check the address of a token server, and drop its fragment."""
    if not text:
        raise _unsafe("its challenge names no token server (no realm)")
    if not _VISIBLE.issuperset(text) or "\\" in text:
        raise _unsafe("the address of its token server (the realm) is not a URL")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _unsafe("the address of its token server (the realm) is not a URL") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise _unsafe("the address of its token server (the realm) is not an http or https URL")
    if "@" in parts.netloc:
        raise _unsafe("the address of its token server (the realm) carries a login of its own")
    if not is_safe(text, verify=verify):
        raise _unsafe(f"its token server {parts.scheme}://{parts.netloc[:200]} is no safe place for a login")
    return parts._replace(fragment="")


def _unsafe(what: str) -> RegistryError:
    return RegistryError(
        f"cannot log in to the registry: {what}", hint="this is for the registry's operator to correct"
    )


def _challenges(value: str) -> list[Challenge]:
    """Read the challenges of one header value; every step moves on, so the effort is linear."""
    scanner = _Scanner(value.encode("utf-8", "replace").decode())
    found: list[Challenge] = []
    parameters: dict[str, str] = {}
    while not scanner.at_end():
        scanner.skip_separators()
        word = scanner.take(_TOKEN)
        if not word:
            scanner.step()
        elif found and scanner.take_equals():
            parameters.setdefault(word.lower(), scanner.take_value())
        else:
            parameters = {}
            found.append(Challenge(word.lower(), parameters))
            scanner.skip_token68()
    return found


class _Scanner:
    """A place in a header value that only moves on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def at_end(self) -> bool:
        return self._at >= len(self._text)

    def step(self) -> None:
        """Pass over one character, whatever it is."""
        self._at += 1

    def skip_separators(self) -> None:
        self._at = self._end_of(_SEPARATORS, self._at)

    def take(self, characters: frozenset[str]) -> str:
        """Take the run of these characters that starts here, which may be empty."""
        start, self._at = self._at, self._end_of(characters, self._at)
        return self._text[start : self._at]

    def take_equals(self) -> bool:
        """Take an equals sign and the blanks around it, if that comes next."""
        at = self._end_of(_BLANK, self._at)
        if self._text[at : at + 1] != "=":
            return False
        self._at = self._end_of(_BLANK, at + 1)
        return True

    def take_value(self) -> str:
        """Take a parameter's value: a quoted string, or all up to the next comma or blank."""
        if self._text[self._at : self._at + 1] == '"':
            self.step()
            return self._take_quoted()
        start = self._at
        while not self.at_end() and self._text[self._at] not in _SEPARATORS:
            self.step()
        return self._text[start : self._at]

    def skip_token68(self) -> None:
        """Pass over a scheme's token68, which no scheme known here has; a parameter is left alone."""
        start = self._end_of(_BLANK, self._at)
        end = self._end_of(_TOKEN68, start)
        after = self._end_of(_BLANK, self._end_of(_EQUALS, end))
        if start > self._at and end > start and self._text[after : after + 1] in {"", ","}:
            self._at = after

    def _take_quoted(self) -> str:
        taken = []
        while not self.at_end():
            character = self._text[self._at]
            self.step()
            if character == '"':
                break
            if character == "\\":
                character = self._text[self._at : self._at + 1]
                self.step()
            taken.append(character)
        return "".join(taken)

    def _end_of(self, characters: frozenset[str], at: int) -> int:
        while at < len(self._text) and self._text[at] in characters:
            at += 1
        return at
