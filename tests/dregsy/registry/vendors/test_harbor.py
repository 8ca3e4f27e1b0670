"""Harbor's own lists."""

import pytest

from dregsy.errors import Unauthorized
from dregsy.registry.pool import Registries
from dregsy.registry.vendors import harbor
from tests.testbed.vendors.harbor import Harbor
from tests.testbed.vendors.server import IMAGE, expected, names_of, numbered, tags_of


async def test_tags(clients: Registries) -> None:
    """All tagged artifacts are read page by page; slashes in names and logins arrive as Harbor wants them."""
    async with Harbor(users={"robot$ci": "s:ecret"}) as server:
        server.put("team/deep/er/app", numbered(250))
        server.claims["team/deep/er/app"] = {tag: f"sha256:{number:064}" for number, tag in enumerate(numbered(230))}
        api = clients.at(server.endpoint(login=("robot$ci", "s:ecret"))).vendor

        found = await tags_of(harbor.tags(api, "team/deep/er/app"))

    assert expected(250).keys() == found.keys()
    assert (f"sha256:{7:064}", str(IMAGE.digest)) == (found["t0007"], found["t0240"])
    assert server.log.count("GET", "/artifacts.*page_size=100") == 3


async def test_repositories(clients: Registries) -> None:
    """Below a project its repositories are listed, without a project all."""
    async with Harbor() as server:
        for number in range(130):
            server.put(f"team/r{number:03}")
        server.put("other/app")
        api = clients.at(server.endpoint()).vendor

        assert [f"team/r{number:03}" for number in range(130)] == await names_of(harbor.repositories(api, "team/r0"))
        assert len(await names_of(harbor.repositories(api, ""))) == 131


async def test_wrong_logins(clients: Registries) -> None:
    """What Harbor refuses is an error, never an empty list."""
    async with Harbor(users={"bob": "x"}) as server:
        server.put("team/app")
        for endpoint in (server.endpoint(), server.endpoint(login=("bob", "y"))):
            with pytest.raises(Unauthorized):
                await names_of(harbor.repositories(clients.at(endpoint).vendor, "team"))
