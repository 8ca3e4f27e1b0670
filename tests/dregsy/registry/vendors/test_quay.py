"""Quay's own lists."""

import pytest

from dregsy.registry.pool import Registries
from dregsy.registry.vendors import quay
from dregsy.registry.vendors.api import NotOffered
from tests.testbed.vendors.quay import Quay
from tests.testbed.vendors.server import expected, names_of, numbered, tags_of

OAUTH = ("$oauthtoken", "token")


async def test_tags(clients: Registries) -> None:
    """Tags are read page by page, by anybody where they are public."""
    async with Quay() as server:
        server.put("team/app", numbered(201))

        assert expected(201) == await tags_of(quay.tags(clients.at(server.endpoint()).vendor, "team/app"))
        assert server.log.count("GET", "/tag/.*limit=100") == 3


async def test_repositories(clients: Registries) -> None:
    """The repositories of a namespace are read page by page, with an OAuth token where there is one."""
    async with Quay(users=dict([OAUTH])) as server:
        for number in range(130):
            server.put(f"team/r{number:03}")
        server.put("teams/app")
        api = clients.at(server.endpoint(login=OAUTH)).vendor

        assert [f"team/r{number:03}" for number in range(130)] == await names_of(quay.repositories(api, "team/x"))
        assert server.log.count("GET", "/api/v1/repository") == 2
        with pytest.raises(NotOffered):
            await names_of(quay.repositories(api, ""))


async def test_robots(clients: Registries) -> None:
    """The password of a robot never goes to the API: that takes none, and would list what is public only."""
    async with Quay(users={"team+robot": "secret"}) as server:
        api = clients.at(server.endpoint(login=("team+robot", "secret"))).vendor
        with pytest.raises(NotOffered):
            await tags_of(quay.tags(api, "team/app"))

        assert server.log.count("GET", "") == 0
