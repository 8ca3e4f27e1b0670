"""Answers that are shared, with real helper programs."""

import asyncio
from functools import partial

import pytest

from dregsy.credentials.kept import Kept
from dregsy.errors import CredentialsError
from dregsy.model.endpoint import Endpoint, Login
from tests.testbed.home import ALICE, HOST, NOBODY, Home


async def test_many_who_ask_at_once_start_one_helper(home: Home) -> None:
    """Concurrent questions for one host share one answer, those for another host have their own."""
    home.answering("test", "alice", "s3cret")
    home.write({"credsStore": "test"})
    logins = home.logins()
    endpoints = [Endpoint(HOST)] * 10 + [Endpoint("other.example.com")] * 10
    found = await asyncio.gather(*(logins.login_for(one, "a") for one in endpoints))

    assert found == [ALICE] * 20
    assert sorted(home.asked()) == ["get other.example.com", f"get {HOST}"]


async def test_a_failure_is_shared_by_those_who_waited_only(home: Home) -> None:
    """All who asked while the helper failed are told at once; who asks later starts it anew."""
    home.helper("test", "exit 1")
    home.write({"credsStore": "test"})
    logins = home.logins()
    failures = await asyncio.gather(*(logins.login_for(Endpoint(HOST), "a") for _ in range(5)), return_exceptions=True)
    at_once = len(home.asked())
    home.answering("test", "alice", "s3cret")

    assert [type(one) for one in failures] == [CredentialsError] * 5
    assert at_once == 1
    assert await logins.login_for(Endpoint(HOST), "a") == ALICE


async def test_an_error_that_is_told_often_does_not_grow() -> None:
    """What failed is told to everybody for a while, each time by an error that has been nowhere else."""
    kept = Kept(lambda: 0.0)

    async def fetch() -> tuple[Login | None, float]:
        raise CredentialsError("no answer", host="h.io")

    depths = set()
    for _ in range(5):
        with pytest.raises(CredentialsError, match="no answer") as caught:
            await kept.get("key", fetch, pause=60.0)
        depths.add(len(caught.traceback))
    assert len(depths) == 1


async def test_a_login_that_was_refused_is_fetched_again() -> None:
    """A kept login serves until it is dropped; others stay."""
    fetched: list[str] = []

    async def fetch(name: str) -> tuple[Login, float]:
        fetched.append(name)
        return ALICE if name == "alice" else NOBODY, 60.0

    kept = Kept(lambda: 0.0)
    for name in ("alice", "nobody", "alice"):
        await kept.get(name, partial(fetch, name))
    kept.drop(ALICE)
    for name in ("alice", "nobody"):
        await kept.get(name, partial(fetch, name))

    assert fetched == ["alice", "nobody", "alice"]
