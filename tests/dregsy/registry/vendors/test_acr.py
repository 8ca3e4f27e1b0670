"""Azure's own list of tags, and its logins."""

from pathlib import Path

import aiohttp
import pytest

from dregsy.credentials import Logins
from dregsy.errors import Unauthorized
from dregsy.model.endpoint import Endpoint
from dregsy.registry.pool import Registries
from dregsy.registry.vendors import acr
from tests.testbed.home import Home, coded
from tests.testbed.vendors.acr import NOBODY, Azure
from tests.testbed.vendors.server import IMAGE, expected, numbered, tags_of


async def test_tags(clients: Registries) -> None:
    """Tags are read page by page, with the right to read metadata."""
    async with Azure(users={"bob": "x"}) as server:
        server.put("team/app", numbered(1201))
        api = clients.at(server.endpoint(login=("bob", "x"))).vendor

        assert expected(1201) == await tags_of(acr.tags(api, "team/app"))
        assert server.log.count("GET", "/acr/v1/.*last=t0999") == 1


async def exchanged(server: Azure) -> str:
    """Exchange a token of Microsoft Entra, as ``az acr login --expose-token`` does."""
    form = {"grant_type": "access_token", "service": server.service, "access_token": server.entra}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://{server.host}/oauth2/exchange", data=form) as answer,
    ):
        return str((await answer.json())["refresh_token"])


async def test_exposed_token(clients: Registries) -> None:
    """The registry's refresh token is a password for the user of zeros; a service principal has its own."""
    async with Azure(users={"principal": "word"}) as server:
        server.put("team/app")
        for login in ((NOBODY, await exchanged(server)), ("principal", "word")):
            registry = clients.at(server.endpoint(login=login))

            assert (found := await registry.head_manifest("team/app", "v1")) is not None
            assert IMAGE.digest == found.digest
            assert {"v1": str(IMAGE.digest)} == await tags_of(acr.tags(registry.vendor, "team/app"))


@pytest.mark.parametrize("by_helper", [False, True])
async def test_identity_token(tmp_path: Path, by_helper: bool) -> None:
    """What docker keeps after ``az acr login`` is exchanged by the registry's own form, whoever keeps it."""
    home = Home(tmp_path)
    async with Azure(users={"principal": "word"}) as server, home_clients(home) as clients:
        server.put("team/app")
        token = await exchanged(server)
        if by_helper:
            home.answering("acr", "<token>", token)
            home.write({"credHelpers": {server.host: "acr"}})
        else:
            home.write({"auths": {server.host: {"auth": coded(NOBODY, ""), "identitytoken": token}}})

        assert await clients.at(Endpoint(server.host)).tags("team/app") == ["v1"]
        assert server.log.count("POST", "/oauth2/token") == 1
        assert server.log.count("GET", "/oauth2/token") == 0


async def test_identity_token_that_is_over(tmp_path: Path) -> None:
    """One that the registry no longer knows is a refused login."""
    home = Home(tmp_path)
    async with Azure(users={"principal": "word"}) as server, home_clients(home) as clients:
        server.put("team/app")
        home.write({"auths": {server.host: {"identitytoken": "s3cret"}}})

        with pytest.raises(Unauthorized, match="refuses the login") as caught:
            await clients.at(Endpoint(server.host)).tags("team/app")
        assert "s3cret" not in str(caught.value)


def home_clients(home: Home) -> Registries:
    """Return clients that log in with what a home folder holds."""
    return Registries(Logins(home.environ, home.folder), {})
