"""AWS's lists, as other parts use them."""

import pytest

from dregsy.model.endpoint import Endpoint
from dregsy.registry.pool import Registries
from dregsy.registry.vendors import ecr
from dregsy.registry.vendors.api import NotOffered
from tests.testbed.vendors.ecr import HOST, Aws
from tests.testbed.vendors.server import expected, names_of, numbered, tags_of


async def test_lists(clients: Registries, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host of the registry says whom AWS is asked about."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-so-secret")
    async with Aws() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{server.host}")
        server.put("team/app", numbered(30))
        api = clients.at(Endpoint(HOST)).vendor

        assert await names_of(ecr.repositories(api, "")) == ["team/app"]
        assert expected(30) == await tags_of(ecr.tags(api, "team/app"))
        with pytest.raises(NotOffered):
            ecr.tags(clients.at(server.endpoint()).vendor, "team/app")
