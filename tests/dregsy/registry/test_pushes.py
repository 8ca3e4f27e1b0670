"""Since when tags point at what they do, as the makers of registries tell it."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from aiohttp import web

from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import CredentialsError, DregsyError
from dregsy.model.endpoint import Endpoint
from dregsy.registry.pool import Registries
from dregsy.registry.pushes import Pushes
from dregsy.registry.vendors.api import Tags, Vendor, VendorApi
from dregsy.registry.vendors.recognise import ACR, GOOGLE
from tests.testbed.vendors.acr import Azure
from tests.testbed.vendors.dockerhub import Hub
from tests.testbed.vendors.gitlab import GitLab
from tests.testbed.vendors.google import Google
from tests.testbed.vendors.harbor import Harbor
from tests.testbed.vendors.quay import Quay
from tests.testbed.vendors.server import IMAGE, OTHER, SINCE, VendorServer, numbered

MAKERS = [Harbor, Quay, GitLab, Hub, Google, Azure]
LATER = SINCE + timedelta(days=3)


def asking(server: VendorServer) -> Pushes:
    """Return what takes a server for what it plays, where that cannot be told from a local address."""
    vendor = {Google: GOOGLE, Azure: ACR}.get(type(server))
    if isinstance(server, Hub):
        vendor = Vendor("Hub", server.client().tags)
    return Pushes((lambda *_: vendor) if vendor else None)


@pytest.mark.parametrize("kind", MAKERS)
async def test_every_maker(clients: Registries, kind: Callable[[], VendorServer]) -> None:
    """Each maker tells when a tag came to point at its image: not when it was made first, nor when the image was."""
    async with kind() as server:
        server.put("team/app", ("old", "new"))
        server.store.find("team/app").tags["new"] = OTHER.digest
        server.pushed["new"] = LATER

        found = await asking(server).of(clients.at(server.endpoint()), "team/app", {"old", "new"})

    assert {tag: one.since for tag, one in found.items()} == {"old": SINCE, "new": LATER}
    assert {"old": str(IMAGE.digest), "new": str(OTHER.digest)} == {tag: one.digest for tag, one in found.items()}


async def test_no_more_than_needed(clients: Registries) -> None:
    """A list is read until all tags are found; what was read is not read again in the same run."""
    async with Harbor() as server:
        server.put("team/app", numbered(250))
        server.claims["team/app"] = {tag: f"sha256:{number:064}" for number, tag in enumerate(numbered(250))}
        registry, pushes = clients.at(server.endpoint()), asking(server)
        for tags, pages in (({"t0007"}, 1), ({"t0008"}, 1), ({"t0249"}, 4), ({"gone"}, 7), ({"missing"}, 7)):
            found = await pushes.of(registry, "team/app", tags)
            assert server.log.count("GET", "/artifacts") == pages
        pushes.start()
        await pushes.of(registry, "team/app", {"t0007"})

    assert len(found) == 250
    assert server.log.count("GET", "/artifacts") == 8


async def test_no_list(clients: Registries) -> None:
    """A registry without such a list, or one that refuses it, tells nothing: configs count then, run after run."""
    async with EmbeddedRegistry() as plain, Quay(users={"robot": "x"}) as robots, GitLab() as old:
        old.has_database = False
        for endpoint in (Endpoint(plain.host), robots.endpoint(login=("robot", "x")), old.endpoint()):
            assert await Pushes().of(clients.at(endpoint), "team/app", {"v1"}) == {}


async def test_no_login_for_the_list(clients: Registries) -> None:
    """Where the registry's maker has nothing for this login, it is asked once in a run, not for each repository."""
    asked: list[str] = []

    def tags(api: VendorApi, repository: str) -> Tags:
        asked.append(repository)
        raise CredentialsError("no login", host=api.host)

    pushes = Pushes(lambda *_: Vendor("x", tags))
    async with EmbeddedRegistry() as plain:
        registry = clients.at(Endpoint(plain.host))
        for repository in ("a", "b"):
            assert await pushes.of(registry, repository, {"v1"}) == {}
        pushes.start()
        await pushes.of(registry, "c", {"v1"})

    assert asked == ["a", "c"]


class Busy(Harbor):
    """Has no time to list."""

    async def _artifacts(self, request: web.Request) -> web.Response:
        raise web.HTTPServiceUnavailable(headers={"X-Asked": request.path})


async def test_later(clients: Registries) -> None:
    """A list that is refused for now is an error: dates that come and go would let fresh images through."""
    async with Busy() as server:
        server.put("team/app")
        with pytest.raises(DregsyError, match="503"):
            await Pushes().of(clients.at(server.endpoint()), "team/app", {"v1"})
