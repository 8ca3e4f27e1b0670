"""Challenges of real registries and hostile ones, and the way from a login to a token."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.errors import RegistryError
from dregsy.model.endpoint import Login, Secret
from dregsy.registry import challenge
from dregsy.registry.challenge import Challenge, TokenRequest

ANONYMOUS = Login()
ALICE = Login("alice", Secret('pä%ss:"w\\ord&'))
REALM = "https://auth.example.com/token"
HUB = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/busybox:pull"'

SAID = [
    pytest.param(
        [HUB],
        [
            (
                "bearer",
                {
                    "realm": "https://auth.docker.io/token",
                    "service": "registry.docker.io",
                    "scope": "repository:library/busybox:pull",
                },
            )
        ],
        id="docker hub",
    ),
    pytest.param(['Basic realm="Registry Realm"'], [("basic", {"realm": "Registry Realm"})], id="basic"),
    pytest.param(["bASIC rEALM=x"], [("basic", {"realm": "x"})], id="names in any case, no quotes"),
    pytest.param(
        ['Basic realm="a", Bearer realm="b",service="c"'],
        [("basic", {"realm": "a"}), ("bearer", {"realm": "b", "service": "c"})],
        id="two challenges in one header",
    ),
    pytest.param(
        ['Basic realm="a"', 'Bearer realm="b"'],
        [("basic", {"realm": "a"}), ("bearer", {"realm": "b"})],
        id="two challenges in two headers",
    ),
    pytest.param(
        ['Bearer realm="a",scope="repository:x:pull,push"'],
        [("bearer", {"realm": "a", "scope": "repository:x:pull,push"})],
        id="a comma in a quoted value",
    ),
    pytest.param([r'Basic realm="say \"hi\" \\ \a"'], [("basic", {"realm": r'say "hi" \ a'})], id="escapes"),
    pytest.param(
        ['Bearer  realm = "a" ,\tservice\t=\t"b"'],
        [("bearer", {"realm": "a", "service": "b"})],
        id="blanks around the equals sign",
    ),
    pytest.param(
        ["Negotiate YWJj+/==, NTLM, Basic realm=x"],
        [("negotiate", {}), ("ntlm", {}), ("basic", {"realm": "x"})],
        id="token68, and a scheme on its own",
    ),
    pytest.param(
        [',, Basic realm="a",, ,Bearer realm="b",'],
        [("basic", {"realm": "a"}), ("bearer", {"realm": "b"})],
        id="empty list elements",
    ),
    pytest.param(
        ["Bearer realm=https://a.example/token?x=1,service=b"],
        [("bearer", {"realm": "https://a.example/token?x=1", "service": "b"})],
        id="a URL without quotes",
    ),
    pytest.param(
        ['Bearer realm="a" service="b"'], [("bearer", {"realm": "a", "service": "b"})], id="no comma between parameters"
    ),
    pytest.param(['Bearer realm="a'], [("bearer", {"realm": "a"})], id="a quote that never ends"),
    pytest.param(['Bearer realm="a\\'], [("bearer", {"realm": "a"})], id="an escape of nothing"),
    pytest.param(['Bearer realm="a",realm="b"'], [("bearer", {"realm": "a"})], id="the first of two counts"),
    pytest.param(['Bearer realm=""'], [("bearer", {"realm": ""})], id="an empty value"),
    pytest.param(["", " ", ",", '="', "\x00"], [], id="nothing at all"),
    pytest.param(['Bearer realm="\udcff"'], [("bearer", {"realm": "?"})], id="bytes that are no text"),
]


@pytest.mark.parametrize(("values", "expected"), SAID)
def test_what_registries_send_is_understood(values: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    """Each challenge arrives with its scheme and its parameters, in order."""
    assert [Challenge(scheme, parameters) for scheme, parameters in expected] == list(challenge.parse(values))


@given(st.lists(st.text(st.characters(codec=None))))
def test_no_header_raises(values: list[str]) -> None:
    """Whatever a stranger sends, the result is a tuple of challenges whose texts can be sent and printed."""
    for one in challenge.parse(values):
        "".join([one.scheme, *one.parameters, *one.parameters.values()]).encode()


@given(st.text(alphabet='aB1=",\\ \t/:;\x00é', max_size=300))
def test_no_near_miss_raises(value: str) -> None:
    """Texts made of the grammar's own characters are read to their end."""
    assert all(one.scheme == one.scheme.lower() for one in challenge.parse([value]))


_WORD = st.text(alphabet="abcxyz0189-_.", min_size=1, max_size=8)
_VALUE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))


@given(st.lists(st.tuples(_WORD, st.dictionaries(_WORD, _VALUE, min_size=1, max_size=4)), max_size=4))
def test_what_is_written_by_the_grammar_is_read_back(challenges: list[tuple[str, dict[str, str]]]) -> None:
    """Any list of challenges with quoted parameters comes back as it was."""
    written = ", ".join(f"{scheme} {', '.join(map(_parameter, data.items()))}" for scheme, data in challenges)

    assert challenges == [(one.scheme, dict(one.parameters)) for one in challenge.parse([written])]


def _parameter(item: tuple[str, str]) -> str:
    escaped = item[1].replace("\\", "\\\\").replace('"', '\\"')
    return f'{item[0]}="{escaped}"'


@pytest.mark.parametrize(
    "piece", ["a ", "a=", '"', "=", "a b=", ",", "\\", 'a="\\', " ", "a\t", "a b== ", "é", "a b", "a=,", 'a=""b']
)
def test_effort_grows_with_the_length_only(piece: str) -> None:
    """Twice the header takes at most twice the steps, whatever pattern it repeats."""
    assert _steps(piece * 400) <= 2.1 * _steps(piece * 200) + 50


def _steps(value: str) -> int:
    """Count the lines of Python that reading ``value`` takes."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        challenge.parse([value])
    finally:
        sys.settrace(before)
    return count


def test_scopes_are_spelled_as_the_specification_has_them() -> None:
    """Reading, writing and the catalog each have their scope."""
    assert [
        challenge.pull("a/b"),
        challenge.push("a/b"),
        challenge.CATALOG,
    ] == ["repository:a/b:pull", "repository:a/b:pull,push", "registry:catalog:*"]


def _bearer(realm: str = REALM, **parameters: str) -> Challenge:
    return Challenge("bearer", {"realm": realm, **parameters})


def _query(request: TokenRequest) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(request.url).query, keep_blank_values=True)


def test_an_anonymous_token_is_asked_for_without_login() -> None:
    """One GET with service and every scope, and nothing that says who asks."""
    request = challenge.token_request(
        _bearer(service="registry"), ANONYMOUS, [challenge.push("a"), challenge.pull("b/c")]
    )

    assert (request.method, request.form, request.login) == ("GET", None, None)
    assert _query(request) == [
        ("service", "registry"),
        ("scope", "repository:a:pull,push"),
        ("scope", "repository:b/c:pull"),
    ]


def test_a_password_goes_into_the_login_and_never_into_the_url() -> None:
    """The account's name is in the query; the password only in the login for Basic authentication."""
    request = challenge.token_request(_bearer(), ALICE, [challenge.pull("a")])

    assert _query(request) == [("scope", "repository:a:pull"), ("account", "alice")]
    assert request.login == ALICE
    assert "w0rd" not in f"{request!r}{request.url}"


def test_an_identity_token_is_posted() -> None:
    """It goes into a form as a refresh token, and not into URL, login or repr."""
    login = Login("<token>", identity_token=Secret("idtok/en+"))
    request = challenge.token_request(_bearer(service="s"), login, [challenge.pull("a"), challenge.pull("b")])

    assert (request.method, request.url, request.login) == ("POST", REALM, None)
    assert dict(request.form or ()) == {
        "grant_type": "refresh_token",
        "service": "s",
        "scope": "repository:a:pull repository:b:pull",
        "client_id": "dregsy",
        "refresh_token": "idtok/en+",
    }
    assert "idtok" not in repr(request)


def test_a_query_of_the_realm_is_kept_and_its_fragment_dropped() -> None:
    """What the registry put into its realm stays before what is added to it."""
    request = challenge.token_request(_bearer("https://a.example/t?tenant=x#f"), ANONYMOUS, ["registry:catalog:*"])

    assert request.url == "https://a.example/t?tenant=x&scope=registry%3Acatalog%3A%2A"


def test_the_scopes_of_the_challenge_serve_where_none_are_asked_for() -> None:
    """The registry's own wish counts when the caller has none."""
    assert _query(challenge.token_request(_bearer(scope="a:b:c d:e:f"), ANONYMOUS, [])) == [
        ("scope", "a:b:c"),
        ("scope", "d:e:f"),
    ]


def test_odd_text_in_a_challenge_is_quoted() -> None:
    """A service name cannot add parameters to the query."""
    assert _query(challenge.token_request(_bearer(service="a&scope=b é"), ANONYMOUS, [])) == [
        ("service", "a&scope=b é")
    ]


@pytest.mark.parametrize(
    ("realm", "reason"),
    [
        ("", "no realm"),
        ("token", "not an http or https URL"),
        ("/token", "not an http or https URL"),
        ("//host/token", "not an http or https URL"),
        ("ftp://host/token", "not an http or https URL"),
        ("file:///etc/passwd", "not an http or https URL"),
        ("https:///token", "not an http or https URL"),
        ("https://:443/token", "not an http or https URL"),
        ("https://[::1/token", "not a URL"),
        ("https://host:99999/token", "not a URL"),
        ("https://host:x/token", "not a URL"),
        ("https://host/a b", "not a URL"),
        ("https://host/\r\nX: y", "not a URL"),
        ("https://host\\@evil.example/", "not a URL"),
        ("https://hüst/token", "not a URL"),
        ("https://bob:hunter2@host/token", "a login of its own"),
        ("https://@host/token", "a login of its own"),
        ("http://host/token", "no safe place"),
        ("HTTP://host/token", "no safe place"),
    ],
)
def test_a_login_is_sent_to_no_odd_address(realm: str, reason: str) -> None:
    """A realm that is no https URL of a host alone is refused, and its secrets are not repeated."""
    with pytest.raises(RegistryError) as caught:
        challenge.token_request(_bearer(realm), ALICE, [])

    assert reason in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert not caught.value.retryable


def test_plain_http_is_fine_where_the_registry_itself_speaks_it() -> None:
    """A registry spoken to over http may name a token server on http."""
    request = challenge.token_request(_bearer("http://127.0.0.1:5001/token"), ALICE, [], verify=False)

    assert request.url == "http://127.0.0.1:5001/token?account=alice"


@given(st.text(), st.text())
def test_a_realm_never_raises_anything_else(realm: str, service: str) -> None:
    """Whatever stands in a challenge, the outcome is a request to an https host, or a RegistryError."""
    try:
        request = challenge.token_request(_bearer(realm, service=service), ALICE, ["a:b:c"])
    except RegistryError:
        return
    assert urlsplit(request.url).scheme == "https"
    assert urlsplit(request.url).hostname


NOW = 1000.0


@pytest.mark.parametrize(
    ("answer", "secret", "life"),
    [
        ({"token": "t"}, "t", 60),
        ({"access_token": "a", "expires_in": 300}, "a", 300),
        ({"token": "t", "access_token": "a", "expires_in": 300.5}, "t", 300.5),
        ({"token": "", "access_token": "a"}, "a", 60),
        ({"token": "t", "expires_in": 5}, "t", 60),
        ({"token": "t", "expires_in": 0}, "t", 60),
        ({"token": "t", "expires_in": -1}, "t", 60),
        ({"token": "t", "expires_in": 10**400}, "t", 86400),
        ({"token": "t", "expires_in": float("inf")}, "t", 86400),
        ({"token": "t", "expires_in": float("nan")}, "t", 60),
        ({"token": "t", "expires_in": None}, "t", 60),
        ({"token": "t", "expires_in": True}, "t", 60),
        ({"token": "t", "expires_in": "300"}, "t", 60),
        ({"token": "t", "expires_in": 300, "issued_at": "1999-12-31T00:00:00Z"}, "t", 300),
    ],
)
def test_a_token_lives_as_long_as_it_says_within_reason(answer: dict[str, object], secret: str, life: float) -> None:
    """Never shorter than a minute, never longer than a day, counted from the moment it arrived here."""
    token = challenge.parse_token(json.dumps(answer).encode(), NOW)

    assert (secret, NOW + life) == (token.secret.reveal(), token.expires_at)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is not JSON"),
        (b"<html>s3cret</html>", "is not JSON"),
        (b"\xff\xfes3cret", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"expires_in": ' + b"9" * 10_000 + b"}", "is not JSON"),
        (b'["s3cret"]', "not a JSON object"),
        (b'{"details": "s3cret"}', "holds no token"),
        (b'{"token": null, "access_token": ""}', "holds no token"),
        (b'{"token": ["s3cret"]}', "cannot be sent"),
        (b'{"token": "s3cret\\r\\nX-Evil: 1"}', "cannot be sent"),
        (b'{"token": "s3cret \\u00e9"}', "cannot be sent"),
    ],
)
def test_an_answer_without_token_is_a_clear_error(body: bytes, reason: str) -> None:
    """The error says what is wrong with the answer and repeats nothing of it, not even as its cause."""
    with pytest.raises(RegistryError) as caught:
        challenge.parse_token(body, NOW)

    assert reason in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(st.binary())
def test_no_answer_raises_anything_else(body: bytes) -> None:
    """Whatever a token server sends, the outcome is a token or a RegistryError."""
    with suppress(RegistryError):
        assert challenge.parse_token(body, NOW).secret.reveal()


def test_a_token_is_masked() -> None:
    """Showing a token shows none of it."""
    assert "s3cret" not in repr(challenge.parse_token(b'{"token": "s3cret"}', NOW))
