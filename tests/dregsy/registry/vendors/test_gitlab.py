"""GitLab's own lists."""

import pytest

from dregsy.errors import NotFound
from dregsy.registry.pool import Registries
from dregsy.registry.vendors import gitlab
from dregsy.registry.vendors.api import NotOffered
from tests.testbed.vendors.gitlab import GitLab
from tests.testbed.vendors.server import VendorServer, expected, names_of, numbered, tags_of


async def test_tags(clients: Registries) -> None:
    """Tags are read page by page, with a token for the repository."""
    async with GitLab(users={"bob": "x"}) as server:
        server.put("group/app", numbered(2001))
        api = clients.at(server.endpoint(login=("bob", "x"))).vendor

        assert expected(2001) == await tags_of(gitlab.tags(api, "group/app"))
        assert server.log.count("GET", "/gitlab/v1/") == 3

        server.has_database = False
        with pytest.raises(NotFound):
            await tags_of(gitlab.tags(api, "group/app"))


@pytest.mark.parametrize("user", ["bob", "gitlab-ci-token"])
async def test_repositories(clients: Registries, user: str) -> None:
    """A prefix may be a group, a project, or a path in a project; the password is the token for the API."""
    async with GitLab(users={user: "glpat-1"}) as server:
        server.groups, server.projects = ("group",), ("group/one", "group/two")
        names = sorted(f"group/{project}/r{number:03}" for project in ("one", "two") for number in range(60))
        for name in (*names, "group/one"):
            server.put(name)
        api = clients.at(server.endpoint(login=(user, "glpat-1"))).vendor

        assert len(await names_of(gitlab.repositories(api, "group"))) == 121
        for prefix in ("group/one", "group/one/r0"):
            found = await names_of(gitlab.repositories(api, prefix))
            assert ["group/one", *(name for name in names if "/one/" in name)] == found
        with pytest.raises(NotOffered):
            await names_of(gitlab.repositories(api, "elsewhere/app"))
        with pytest.raises(NotOffered):
            await names_of(gitlab.repositories(api, ""))


class Elsewhere(GitLab):
    """Sends for tokens to an address that no login may go to."""

    def challenged(self):  # type: ignore[no-untyped-def] # noqa: ANN201 - as in the class above
        """Name a realm without TLS or host."""
        answer = VendorServer.challenged(self)
        answer.headers["WWW-Authenticate"] = 'Bearer realm="ftp://[/jwt/auth",service="container_registry"'
        return answer


async def test_no_safe_address(clients: Registries) -> None:
    """A token goes only where the registry's own logins would go."""
    async with Elsewhere(users={"bob": "x"}) as server:
        with pytest.raises(NotOffered):
            await names_of(gitlab.repositories(clients.at(server.endpoint(login=("bob", "x"))).vendor, "group"))
