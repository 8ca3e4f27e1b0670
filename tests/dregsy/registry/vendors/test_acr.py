"""Azure's own list of tags."""

from dregsy.registry.pool import Registries
from dregsy.registry.vendors import acr
from tests.testbed.vendors.acr import Azure
from tests.testbed.vendors.server import expected, numbered, tags_of


async def test_tags(clients: Registries) -> None:
    """Tags are read page by page, with the right to read metadata."""
    async with Azure(users={"bob": "x"}) as server:
        server.put("team/app", numbered(1201))
        api = clients.at(server.endpoint(login=("bob", "x"))).vendor

        assert expected(1201) == await tags_of(acr.tags(api, "team/app"))
        assert server.log.count("GET", "/acr/v1/.*last=t0999") == 1
