"""Questions beyond the distribution API."""

import pytest
from aiohttp import web

from dregsy.errors import RegistryError
from dregsy.registry.pool import Registries
from dregsy.registry.vendors.api import digests, texts
from tests.testbed.vendors.server import VendorServer


class Odd(VendorServer):
    """Answers every question with the same text."""

    realm = "/token"
    service = "odd"
    text = ""
    elsewhere = ""

    def routes(self) -> list[web.RouteDef]:
        """Return one question."""
        return [web.get("/odd", self._odd)]

    async def _odd(self, request: web.Request) -> web.Response:
        self.seen = request.headers.get("Authorization")
        self.headers = request.headers
        if self.elsewhere:
            raise web.HTTPFound(self.elsewhere)
        return web.Response(text=self.text)


@pytest.mark.parametrize("text", ["", "<html>", "[]", "{}", '{"key": 7}', '"key"', "[" * 10_000, "null"])
async def test_odd_answers(clients: Registries, text: str) -> None:
    """An answer of another form is an error that says who answered so, never an empty list."""
    async with Odd() as server:
        server.text = text
        with pytest.raises(RegistryError, match="answered with something unexpected"):
            (await clients.at(server.endpoint()).vendor.get("odd")).entries("key")


async def test_odd_entries(clients: Registries) -> None:
    """Null is an empty list, and entries of another kind are left out."""
    async with Odd() as server:
        api = clients.at(server.endpoint()).vendor
        server.text = '{"key": null}'
        assert (await api.get("odd")).entries("key") == []
        server.text = '[7, null, {"name": 1}, {"name": "a"}, {"name": "b", "digest": "c"}]'
        entries = (await api.get("odd")).entries()

    assert list(texts(entries, "name")) == ["a", "b"]
    assert digests(entries, "name", "digest") == {"b": "c"}


async def test_logins_stay_at_home(clients: Registries) -> None:
    """A question beyond the distribution API carries no login of the registry unless it names one."""
    async with Odd(users={"bob": "x"}) as server:
        server.text = "{}"
        api = clients.at(server.endpoint(login=("bob", "x"))).vendor
        await api.get("odd")
        assert server.seen is None
        await api.get("odd", scopes=("registry:catalog:*",))
        assert (server.seen or "").startswith("Bearer ")


@pytest.mark.parametrize("name", ["Authorization", "PRIVATE-TOKEN", "JOB-TOKEN"])
async def test_redirects(clients: Registries, name: str) -> None:
    """A server that is redirected to does not see the login for the one that redirects."""
    async with Odd() as server, Odd() as other:
        other.text, server.elsewhere = "{}", f"http://{other.host}/odd"
        await clients.at(server.endpoint()).vendor.get("odd", headers={name: "secret"})

        assert server.headers[name] == "secret"
        assert name not in other.headers
