"""Google's extended listing."""

from pathlib import Path

import pytest

from dregsy.cloud.gcp import USER
from dregsy.credentials import Logins
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import Unauthorized
from dregsy.model.endpoint import Endpoint
from dregsy.registry.pool import Registries
from dregsy.registry.vendors import google
from dregsy.registry.vendors.api import NotOffered
from tests.testbed import google as cloud
from tests.testbed.raw import ForwardProxy
from tests.testbed.vendors.google import Google
from tests.testbed.vendors.server import expected, names_of, numbered, tags_of


async def test_tags(clients: Registries) -> None:
    """All tags of a repository come at once, with their digests."""
    async with Google() as server:
        server.put("project/app", numbered(1500))
        api = clients.at(server.endpoint()).vendor

        assert expected(1500) == await tags_of(google.tags(api, "project/app"))
        assert server.log.count("GET", "/tags/list") == 1


async def test_repositories(clients: Registries) -> None:
    """All that is below a path is found, parents first; a folder is no repository."""
    names = ["p/a", "p/a/b/c", "p/a/d", "p/b"]
    async with Google() as server:
        for name in (*names, "q/a"):
            server.put(name)
        api = clients.at(server.endpoint()).vendor

        assert names == await names_of(google.repositories(api, "p"))
        with pytest.raises(NotOffered):
            await names_of(google.repositories(api, ""))


async def test_other_registries(clients: Registries) -> None:
    """A listing without Google's additions tells no digests and nothing below."""
    async with Google() as server, EmbeddedRegistry(store=server.store) as plain:
        server.put("p/app")
        api = clients.at(Endpoint(plain.host)).vendor
        with pytest.raises(NotOffered):
            await tags_of(google.tags(api, "p/app"))
        with pytest.raises(NotOffered):
            await names_of(google.repositories(api, "p/app"))


async def test_login() -> None:
    """The token of Google's credentials opens the list; who has none is told how to give some."""
    async with Google(users={USER: ""}) as server, ForwardProxy(server.host) as way:
        server.put("p/app")
        with cloud.Google(lambda token: server.users.update({USER: token})) as credentials:
            environ = {"HTTPS_PROXY": f"http://{way.host}", "HTTP_PROXY": f"http://{way.host}"}
            known = {"GCE_METADATA_HOST": credentials.host}

            assert await listed({**environ, **known}) == ["p/app"]
            with pytest.raises(Unauthorized) as caught:
                await listed({**environ, "NO_GCE_CHECK": "true"})

    assert "GOOGLE_APPLICATION_CREDENTIALS" in caught.value.hint


async def listed(environ: dict[str, str]) -> list[str]:
    """List what is below p at gcr.io, as somebody with an environment of his own sees it."""
    async with Registries(Logins(environ, Path("/nonexistent")), environ) as registries:
        return await names_of(google.repositories(registries.at(Endpoint("gcr.io", verify=False)).vendor, "p"))
