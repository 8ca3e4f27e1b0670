"""Questions beyond the distribution API."""

import pytest
from aiohttp import web

from dregsy.errors import NotFound, RateLimited, RegistryError, Unreachable
from dregsy.model.ages import Listed, read_date
from dregsy.registry.pool import Registries
from dregsy.registry.vendors.api import NotOffered, is_final, listed, texts
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
    assert listed(entries, "name", "digest") == {"a": Listed(), "b": Listed("c")}


def test_the_last_date_counts() -> None:
    """Of several dates a tag was moved at the last one; what is no date is none."""
    days = [f"2024-0{month}-01T00:00:00Z" for month in (1, 2, 3)]
    entry = {"name": "a", "digest": "b", "x": days[0], "y": days[2], "z": "0001-01-01T00:00:00Z", "u": days[1], "v": 7}

    assert {"a": Listed("b", read_date(days[2]))} == listed([entry], "name", "digest", *"xyzuvw")


def test_what_is_final() -> None:
    """What will be refused again is final; what may be better later is not."""
    final = [NotOffered("x"), NotFound("x", status=404), RegistryError("x", status=403)]
    passing = [RateLimited("x", status=429), Unreachable("x", retryable=True), RegistryError("x", status=503)]

    assert [is_final(one) for one in (*final, *passing)] == [True] * 3 + [False] * 3


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
