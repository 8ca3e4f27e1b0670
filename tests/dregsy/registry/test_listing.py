"""Listing the repositories of real registries."""

import json
from pathlib import Path

import pytest
from aiohttp import web

from dregsy.embedded import images
from dregsy.errors import RegistryError, Unauthorized
from dregsy.model.endpoint import Anonymous, Endpoint
from dregsy.model.plan import Listing
from dregsy.registry.listing import Listings
from dregsy.registry.pool import Registries
from tests.testbed.certificates import Authority
from tests.testbed.faults import Fault
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.tokens import TokenServer
from tests.testbed.vendors.dockerhub import Hub
from tests.testbed.vendors.gitlab import GitLab
from tests.testbed.vendors.harbor import Harbor
from tests.testbed.vendors.quay import Quay


def at(host: str, prefix: str = "") -> Endpoint:
    """An endpoint without any login."""
    return Endpoint(host, prefix=prefix, credentials=Anonymous())


async def test_repositories(tmp_path: Path, clients: Registries) -> None:
    """All repositories are listed; below a prefix those below it, named without it; and no more than wanted."""
    with DockerRegistry(tmp_path) as registry:
        for name in ("one", "team/a", "team/b", "team/b/c", "teams/d"):
            push(registry.host, name, images.image("same"), "v1")
        listings = Listings(clients)

        assert await listings.repositories(at(registry.host), Listing()) == (
            "one",
            "team/a",
            "team/b",
            "team/b/c",
            "teams/d",
        )
        assert await listings.repositories(at(registry.host, "team"), Listing()) == ("a", "b", "b/c")
        assert await listings.repositories(at(registry.host, "team"), Listing(limit=2)) == ("a", "b")
        assert await listings.repositories(at(registry.host, "te"), Listing()) == ()


async def test_many_repositories(tmp_path: Path, clients: Registries) -> None:
    """Catalogs come in pages; without a limit all of them are read."""
    names = [f"r{number:04}" for number in range(1100)]
    with DockerRegistry(tmp_path) as registry, RecordingProxy(registry.host) as proxy:
        for name in names:
            (registry.data / "docker/registry/v2/repositories" / name / "_layers").mkdir(parents=True)
        found = await Listings(clients).repositories(at(proxy.host), Listing(limit=None))

        assert names == list(found)
        assert proxy.count("GET", "_catalog") == 2


async def test_lists_are_remembered(registry_a: DockerRegistry, clients: Registries) -> None:
    """Within its cache time a list is not fetched again; afterwards, and for another limit, it is."""
    times: list[float] = []
    with RecordingProxy(registry_a.host) as proxy:
        listings = Listings(clients, lambda: times[-1])
        counts = []
        for now, listing in (
            (0.0, Listing(cache_seconds=10)), (9.9, Listing(cache_seconds=10)), (10.0, Listing(cache_seconds=10)),
            (10.0, Listing(cache_seconds=10, limit=1)), (10.0, Listing(cache_seconds=0)),
        ):  # fmt: skip
            times.append(now)
            await listings.repositories(at(proxy.host), listing)
            counts.append(proxy.count("GET", "_catalog"))

    assert counts == [1, 1, 2, 3, 4]


async def test_a_catalog_that_may_not_be_read(tmp_path: Path, authority: Authority, clients: Registries) -> None:
    """Where the catalog is for administrators, the error says to name the repositories."""
    with TokenServer(authority) as tokens, DockerRegistry(tmp_path, extra=tokens.config()) as registry:
        with pytest.raises(Unauthorized) as caught:
            await Listings(clients).repositories(at(registry.host), Listing())

        assert "name the repositories in 'from'" in caught.value.hint
        assert {"registry:catalog:*"} == set(tokens.scopes())


async def test_an_error_is_not_remembered(registry_a: DockerRegistry, clients: Registries) -> None:
    """After a failure the next task asks anew."""
    with RecordingProxy(registry_a.host, Fault(path="_catalog", status=404)) as proxy:
        listings = Listings(clients)
        with pytest.raises(RegistryError):
            await listings.repositories(at(proxy.host), Listing())
        await listings.repositories(at(proxy.host), Listing())


async def test_odd_names_in_a_catalog(registry_a: DockerRegistry, clients: Registries) -> None:
    """Null and entries that are no text are left out."""
    body = json.dumps({"repositories": [None, "a/b", 7]}).encode()
    with RecordingProxy(registry_a.host, Fault(path="_catalog", status=200, body=body)) as proxy:
        assert await Listings(clients).repositories(at(proxy.host), Listing()) == ("a/b",)


async def test_docker_hub(clients: Registries) -> None:
    """Docker Hub's API and its search list for tasks that ask for them; limits of any size are exact."""
    async with Hub(users={"bob": "x"}) as server:
        for number in range(250):
            server.put(f"bob/r{number:03}")
        listings = Listings(clients, hub=server.client())
        endpoint = server.endpoint(login=("bob", "x"))
        for kind in ("dockerhub", "index"):
            for limit, count in ((1, 1), (100, 100), (101, 101), (249, 249), (None, 250), (1000, 250)):
                listing = Listing(kind=kind, search="bob/", limit=limit)
                assert count == len(await listings.repositories(endpoint, listing)), (kind, limit)
        below = await listings.repositories(server.endpoint("bob", login=("bob", "x")), Listing("dockerhub", limit=2))

    assert below == ("r000", "r001")


async def test_a_lister_that_fails(clients: Registries) -> None:
    """An answer that is no list is an error, and nothing that is remembered."""
    async with Hub(users={"bob": "x"}) as server:
        listings = Listings(clients, hub=server.client())
        for kind in ("dockerhub", "index"):
            with pytest.raises(Unauthorized):
                await listings.repositories(server.endpoint(login=("bob", "y")), Listing(kind=kind, search="x"))


async def test_the_makers_own_list(clients: Registries) -> None:
    """Where a registry lists a project better than by its catalog, that is used without being asked for."""
    async with Harbor(users={"bob": "x"}) as server:
        for name in ("team/a", "team/b/c", "other/d"):
            server.put(name)
        listings = Listings(clients)

        assert await listings.repositories(server.endpoint("team", login=("bob", "x")), Listing()) == ("a", "b/c")
        assert server.log.count("GET", "_catalog") == 0


async def test_the_catalog_where_the_makers_list_refuses(clients: Registries) -> None:
    """A maker's list that is not offered gives way to the catalog; an error of both is that of the better one."""
    async with Quay() as quay, GitLab(users={"bob": "x"}) as gitlab, Harbor(users={"bob": "x"}) as harbor:
        quay.put("team/a")
        gitlab.put("team/a")
        listings = Listings(clients)

        assert await listings.repositories(quay.endpoint(), Listing()) == ("team/a",)
        assert await listings.repositories(gitlab.endpoint("team", login=("bob", "x")), Listing()) == ("a",)
        with pytest.raises(Unauthorized, match=r"api/v2\.0"):
            await listings.repositories(harbor.endpoint(login=("bob", "y")), Listing())


async def test_a_maker_that_is_out_of_order(clients: Registries) -> None:
    """A passing fault of a maker's list is an error: the catalog may well be another list."""
    async with Broken() as server:
        server.put("team/a")
        with pytest.raises(RegistryError, match="503"):
            await Listings(clients).repositories(server.endpoint(), Listing())


class Broken(Harbor):
    """A Harbor whose API is down."""

    def user(self, request: web.Request) -> str:
        """Fail all but logins."""
        if request.path.startswith("/api/"):
            raise web.HTTPServiceUnavailable
        return super().user(request)
