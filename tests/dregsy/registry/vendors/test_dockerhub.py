"""Docker Hub's own API and search."""

import pytest

from dregsy.errors import CredentialsError, Unauthorized
from dregsy.registry.pool import Registries
from dregsy.registry.vendors.api import NotOffered
from tests.testbed.vendors.dockerhub import Hub
from tests.testbed.vendors.server import expected, names_of, numbered, tags_of

BOB = ("bob", "x")


async def test_repositories(clients: Registries) -> None:
    """The user's own repositories are listed, or those of the namespace in the registry's path; images only."""
    async with Hub(users=dict([BOB])) as server:
        for number in range(130):
            server.put(f"bob/r{number:03}")
        server.put("org/app")
        server.put("bob/x-plugin")
        server.plugins = ("bob/x-plugin",)
        hub, api = server.client(), clients.at(server.endpoint(login=BOB)).vendor

        assert [f"bob/r{number:03}" for number in range(130)] == await names_of(hub.repositories(api, ""))
        assert await names_of(hub.repositories(api, "org/ap")) == ["org/app"]
        assert len(server.sessions) == 1


async def test_a_token_is_used_for_a_while(clients: Registries) -> None:
    """After five minutes another login is made."""
    times = [0.0]
    async with Hub(users=dict([BOB])) as server:
        server.put("bob/app")
        hub, api = server.client(), clients.at(server.endpoint(login=BOB)).vendor
        hub._clock = lambda: times[0]
        for now, sessions in ((0.0, 1), (299.0, 1), (300.0, 2)):
            times[0] = now
            await names_of(hub.repositories(api, ""))
            assert sessions == len(server.sessions)


async def test_logins(clients: Registries) -> None:
    """A wrong password is an error; so is nobody in particular, who has no repositories."""
    async with Hub(users=dict([BOB])) as server:
        hub = server.client()
        with pytest.raises(Unauthorized):
            await names_of(hub.repositories(clients.at(server.endpoint(login=("bob", "y"))).vendor, ""))
        with pytest.raises(CredentialsError, match="one namespace") as caught:
            await names_of(hub.repositories(clients.at(server.endpoint()).vendor, ""))

    assert "/NAMESPACE" in caught.value.hint


async def test_tags(clients: Registries) -> None:
    """Tags are read page by page, with the digest of the whole image."""
    async with Hub() as server:
        server.put("library/app", numbered(230))
        api = clients.at(server.endpoint()).vendor

        assert expected(230) == await tags_of(server.client().tags(api, "library/app"))
        assert server.log.count("GET", "/tags.*page_size=100") == 3


async def test_search(clients: Registries) -> None:
    """A search gives all that it finds, however many pages; official images have one name only."""
    async with Hub() as server:
        for number in range(230):
            server.put(f"team{number}/base")
        server.put("library/base")
        server.put("library/other")
        names = await names_of(server.client().search(clients.at(server.endpoint()).vendor, "base"))

    assert {"base", *(f"team{number}/base" for number in range(230))} == set(names)
    assert server.log.count("GET", "/v1/search") == 3


@pytest.mark.parametrize(
    ("counts", "most", "paged", "requests"),
    [
        (("num_results",), 100, True, 3),
        (("num_results",), 25, True, 10),
        ((), 100, True, 3),
        ((), 250, False, 2),
        (("num_results",), 1000, False, 1),
        (("num_pages",), 25, True, 10),
    ],
)
async def test_searches_that_tell_less(
    counts: tuple[str, ...], most: int, paged: bool, requests: int, clients: Registries
) -> None:
    """Old registries may count their results only, or nothing, or know no pages: all that is found is given."""
    async with Hub() as server:
        server.counts, server.most, server.paged = counts, most, paged
        for number in range(250):
            server.put(f"team{number}/base")
        names = await names_of(server.client().search(clients.at(server.endpoint()).vendor, "base"))

    assert {f"team{number}/base" for number in range(250)} == set(names)
    assert len(names) == 250
    assert server.log.count("GET", "/v1/search") == requests


async def test_other_registries(clients: Registries) -> None:
    """A login for another registry never goes to Docker Hub, and a search goes to that registry itself."""
    async with Hub(users=dict([BOB])) as server, Hub(users=dict([BOB])) as other:
        other.put("team/base")
        hub, api = server.client(), clients.at(other.endpoint(login=BOB)).vendor
        with pytest.raises(NotOffered):
            await names_of(hub.repositories(api, ""))

        assert await names_of(hub.search(api, "base")) == ["team/base"]
        assert list(server.log) == []
