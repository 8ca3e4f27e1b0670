"""Lists of digests: what they save, and that nothing is believed that does not stand the test."""

from collections.abc import Callable

import pytest

from dregsy.embedded.server import EmbeddedRegistry
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.ref import Ref
from dregsy.registry.inventory import LEAST_TAGS, Inventories
from dregsy.registry.pool import Registries
from dregsy.registry.vendors.api import Vendor
from dregsy.registry.vendors.recognise import ACR, GOOGLE
from tests.testbed.vendors.acr import Azure
from tests.testbed.vendors.dockerhub import Hub
from tests.testbed.vendors.gitlab import GitLab
from tests.testbed.vendors.google import Google
from tests.testbed.vendors.harbor import Harbor
from tests.testbed.vendors.quay import Quay
from tests.testbed.vendors.server import IMAGE, OTHER, VendorServer, numbered

WRONG = str(OTHER.digest)


def asking(server: VendorServer, clients: Registries) -> Inventories:
    """Return what takes a server for what it plays, where that cannot be told from a local address."""
    vendor = {Google: GOOGLE, Azure: ACR}.get(type(server))
    if isinstance(server, Hub):
        vendor = Vendor("Hub", server.client().tags)
    return Inventories(clients, (lambda *_: vendor) if vendor else None)


async def told(inventories: Inventories, endpoint: Endpoint, tags: list[str]) -> list[Digest | None]:
    """Ask for all ``tags`` of the repository team/app, as a run does."""
    inventories.start()
    inventories.expect(endpoint, "team/app", tags)
    return [await inventories.digest(endpoint, Ref(endpoint.host, "team/app", tag)) for tag in tags]


@pytest.mark.parametrize("kind", [Harbor, Quay, GitLab, Hub, Google, Azure])
async def test_every_maker(clients: Registries, kind: Callable[[], VendorServer]) -> None:
    """All digests of a repository are told after one list and two questions to the registry itself, at each run."""
    async with kind() as server:
        server.put("team/app", numbered(30))
        server.store.find("team/app").tags["t0003"] = OTHER.digest
        inventories = asking(server, clients)
        for run in (1, 2):
            found = await told(inventories, server.endpoint(), numbered(30))

            assert [OTHER.digest if number == 3 else IMAGE.digest for number in range(30)] == found
            assert server.log.count("HEAD", "") == 2 * run
            lists = [one.path for one in server.log if one.method == "GET" and one.path not in {"/v2/", server.realm}]
            assert run == len(lists)


@pytest.mark.parametrize("tested", ["t0000", "t0029"])
@pytest.mark.parametrize("kind", [Harbor, Quay, GitLab, Hub, Google, Azure])
async def test_wrong_lists(clients: Registries, kind: Callable[[], VendorServer], tested: str) -> None:
    """A list that is wrong about a tag that is compared tells nothing at all."""
    async with kind() as server:
        server.put("team/app", numbered(30))
        server.claims["team/app"] = {tested: WRONG}

        assert await told(asking(server, clients), server.endpoint(), numbered(30)) == [None] * 30


async def test_gaps(clients: Registries) -> None:
    """Tags that a list leaves out or gives odd digests are not told; the others are."""
    async with Harbor() as server:
        server.put("team/app", numbered(30))
        server.claims["team/app"] = {"t0000": None, "t0001": "md5:00", "t0002": ""}
        found = await told(Inventories(clients), server.endpoint(), numbered(30))

    assert [None] * 3 + [IMAGE.digest] * 27 == found


async def test_tags_that_are_gone(clients: Registries) -> None:
    """A list that names a tag which the registry does not have is not believed."""
    async with Harbor() as server:
        server.put("team/app", numbered(29))
        server.claims["team/app"] = {"t0029": str(IMAGE.digest)}

        assert await told(Inventories(clients), server.endpoint(), numbered(30)) == [None] * 30


async def test_few_tags(clients: Registries) -> None:
    """For a handful of tags no list is read."""
    async with Harbor() as server:
        server.put("team/app", numbered(30))
        tags = numbered(LEAST_TAGS - 1)

        assert [None] * len(tags) == await told(Inventories(clients), server.endpoint(), tags)
        assert list(server.log) == []


async def test_long_lists(clients: Registries) -> None:
    """A list that is far longer than what is wanted of it is not read to its end."""
    async with Quay() as server:
        server.put("team/app", numbered(2000))
        tags = [*numbered(LEAST_TAGS - 1), "t1999"]
        found = await told(Inventories(clients), server.endpoint(), tags)

        assert [IMAGE.digest] * (LEAST_TAGS - 1) + [None] == found
        assert server.log.count("GET", "/tag/") == 5


async def test_plain_registries(clients: Registries) -> None:
    """A registry of no known make is asked nothing more than the greeting, which it would get anyway."""
    async with EmbeddedRegistry() as registry:
        inventories = Inventories(clients)
        for _ in range(2):
            assert await told(inventories, Endpoint(registry.host), numbered(20)) == [None] * 20
        assert [one.path for one in registry.requests] == ["/v2/"]


async def test_lists_that_are_refused(clients: Registries) -> None:
    """A registry that refuses its lists is left alone for the rest of the run, and asked again in the next."""
    async with GitLab() as server:
        server.has_database = False
        endpoint, inventories = server.endpoint(), Inventories(clients)
        for expected in (3, 6):
            inventories.start()
            for repository in ("a", "b", "c", "d", "e"):
                inventories.expect(endpoint, repository, numbered(20))
                assert await inventories.digest(endpoint, Ref(server.host, repository, "t0000")) is None
            assert expected == server.log.count("GET", "/gitlab/v1/")


async def test_lists_that_are_not_offered(clients: Registries) -> None:
    """Where a login will never do for the list, no run asks again."""
    async with Quay(users={"team+robot": "x"}) as server:
        endpoint, inventories = server.endpoint(login=("team+robot", "x")), Inventories(clients)
        for _ in range(2):
            assert await told(inventories, endpoint, numbered(20)) == [None] * 20
        assert server.log.count("GET", "/api/") == 0


async def test_doubt(clients: Registries) -> None:
    """A repository about which a list was wrong is asked itself for the rest of the run."""
    async with Harbor() as server:
        server.put("team/app", numbered(20))
        endpoint, inventories = server.endpoint(), Inventories(clients)
        assert IMAGE.digest == (await told(inventories, endpoint, numbered(20)))[5]
        image = Ref(server.host, "team/app", "t0005")
        inventories.doubt(endpoint, image)
        inventories.doubt(endpoint, Ref(server.host, "never/seen", "t"))

        assert await inventories.digest(endpoint, image) is None


async def test_the_count(clients: Registries) -> None:
    """What lists cost is taken from what they saved; a run that saved nothing owes nothing."""
    async with Harbor() as server:
        server.put("team/app", numbered(20))
        inventories = Inventories(clients)
        await told(inventories, server.endpoint(), numbered(20))
        inventories.saved(20)
        assert inventories.finish() == 17  # one page and two questions
        await told(inventories, server.endpoint(), numbered(20))
        assert inventories.finish() == 0
