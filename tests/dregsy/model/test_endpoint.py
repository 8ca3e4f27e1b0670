"""Secrets stay secret in every way that an object is shown, and Docker Hub is asked where it answers."""

import copy
import dataclasses
import pickle

import pytest

from dregsy.model.endpoint import Ambient, Anonymous, Credentials, EcrToken, Endpoint, Given, Login, Secret

PASSWORD = 'p%s"\\:ä'


def test_no_way_of_showing_an_endpoint_shows_its_secrets() -> None:
    """str, repr, format, asdict: none of them gives a password or token away."""
    endpoint = Endpoint("h.io", credentials=Given(Login("me", Secret(PASSWORD), Secret(f"token {PASSWORD}"))))
    secret = Secret(PASSWORD)
    shown = [str(endpoint), repr(endpoint), f"{endpoint}", str(dataclasses.asdict(endpoint)), str(secret), repr(secret)]

    assert [text for text in shown if PASSWORD in text or repr(PASSWORD)[1:-1] in text] == []


def test_secrets_are_what_they_were() -> None:
    """A secret is revealed unchanged, compared by its text, and copied with it."""
    secret = Secret(PASSWORD)

    assert secret.reveal() == PASSWORD
    assert secret == Secret(PASSWORD) != Secret("other")
    assert secret != PASSWORD
    assert len({secret, Secret(PASSWORD)}) == 1
    assert secret == copy.deepcopy(secret) == pickle.loads(pickle.dumps(secret))  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("login", "anonymous"),
    [
        (Login(), True),
        (Login("me"), True),
        (Login("me", Secret("")), False),
        (Login(identity_token=Secret("x")), False),
    ],
)
def test_a_login_is_anonymous_without_secret(login: Login, anonymous: bool) -> None:
    """A user name alone presents nothing; an empty password does."""
    assert anonymous is login.is_anonymous


@pytest.mark.parametrize(
    ("host", "api_host"),
    [
        ("docker.io", "registry-1.docker.io"),
        ("index.docker.io", "registry-1.docker.io"),
        ("registry-1.docker.io", "registry-1.docker.io"),
        ("h.io:5000", "h.io:5000"),
    ],
)
def test_docker_hub_answers_elsewhere(host: str, api_host: str) -> None:
    """Only Docker Hub's API has another host than its images."""
    assert api_host == Endpoint(host).api_host


def test_repositories_are_below_the_prefix() -> None:
    """A repository's name is put behind the prefix, and has to be legal."""
    assert str(Endpoint("a.io", "team/x").ref("app")) == "a.io/team/x/app"
    assert str(Endpoint("a.io").ref("app")) == "a.io/app"
    with pytest.raises(ValueError, match="not a legal repository name"):
        Endpoint("a.io").ref("App")


def test_endpoints_are_told_apart_by_their_credentials() -> None:
    """One client serves one host and login: equal endpoints are one key, others are not."""
    kinds: list[Credentials] = [
        Ambient(),
        Anonymous(),
        EcrToken(3600.0),
        Given(Login("a", Secret("b"))),
        Given(Login("a", Secret("c"))),
    ]

    assert len(kinds) == len({Endpoint("h.io", credentials=kind) for kind in [*kinds, *kinds]})
