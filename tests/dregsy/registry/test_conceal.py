import base64
import json
from urllib.parse import quote, urlencode

import pytest

from dregsy.model.endpoint import Login, Secret
from dregsy.registry.conceal import coded, conceal, conceal_all, forms
from dregsy.registry.wire import basic

PASSWORD = "p4ss/w+rd=&% ü"
LOGIN = Login("alice", Secret(PASSWORD), Secret("identity+token/1"))


@pytest.mark.parametrize(
    "text",
    [
        PASSWORD,
        quote(PASSWORD),
        quote(PASSWORD, safe=""),
        urlencode({"password": PASSWORD}),
        base64.b64encode(PASSWORD.encode()).decode(),
        base64.urlsafe_b64encode(PASSWORD.encode()).decode(),
        basic(LOGIN),
        json.dumps({"auth": basic(LOGIN).removeprefix("Basic ")}),
        json.dumps({"password": PASSWORD}),
        "refresh_token=identity%2Btoken%2F1",
        "identity+token/1",
    ],
)
def test_every_form(text: str) -> None:
    """A login is taken out of what somebody says in whatever coding it was sent, or is usually written."""
    told = conceal(f"no: {text}!", forms(LOGIN))

    assert told.startswith("no: ")
    assert told.endswith(("***!", '***"}!'))
    assert [form for form in forms(LOGIN) if form in told] == []


def test_the_longest_first() -> None:
    """Where one secret is the beginning of another, nothing of the other stays."""
    assert conceal("secret and secret-word", ["secret", "secret-word"]) == "*** and ***"


@pytest.mark.parametrize("secret", ["", "abc"])
def test_what_is_too_short(secret: str) -> None:
    """Nothing and next to nothing are no secrets: to take them out would garble the text."""
    assert conceal("abc", coded(secret)) == "abc"


def test_whatever_there_is() -> None:
    """All logins that this process has at the moment are found, wherever they are."""
    kept = {"deep": [Login("bob", Secret("bobs-very-own")), Secret("a-token-of-its-own")]}
    said = f"bobs-very-own, a-token-of-its-own, {base64.b64encode(b'bob:bobs-very-own').decode()}"

    assert conceal_all(said) == "***, ***, ***"
    assert len(kept) == 1
