"""One client for each registry and login."""

from pathlib import Path

import pytest

from dregsy.credentials import Logins
from dregsy.model.endpoint import Anonymous, Endpoint
from dregsy.registry.pool import Registries
from tests.testbed.clients import given
from tests.testbed.proxy import RecordingProxy
from tests.testbed.servers import DockerRegistry


async def test_endpoints_share_a_client(clients: Registries) -> None:
    """Equal endpoints, also under different prefixes, have one client: connections, tokens and limits are shared."""
    one = clients.at(Endpoint("a.test:5000", credentials=given("user", "word")))

    assert one is clients.at(Endpoint("a.test:5000", credentials=given("user", "word")))
    assert one is clients.at(Endpoint("a.test:5000", prefix="team", credentials=given("user", "word")))


@pytest.mark.parametrize(
    "other",
    [
        Endpoint("b.test:5000", credentials=given("user", "word")),
        Endpoint("a.test:5000", credentials=given("user", "other")),
        Endpoint("a.test:5000", credentials=Anonymous()),
        Endpoint("a.test:5000", credentials=given("user", "word"), verify=False),
        Endpoint("a.test:5000", credentials=given("user", "word"), certs=(Path("/x"),)),
    ],
)
async def test_what_differs_is_kept_apart(clients: Registries, other: Endpoint) -> None:
    """Another host, login or trust is another client."""
    assert clients.at(Endpoint("a.test:5000", credentials=given("user", "word"))) is not clients.at(other)


async def test_leaving_closes_all_connections(registry_a: DockerRegistry) -> None:
    """Afterwards no connection is open, used or idle."""
    with RecordingProxy(registry_a.host) as proxy:
        async with Registries(Logins({}, Path("/nonexistent")), {}) as clients:
            registry = clients.at(Endpoint(proxy.host, credentials=Anonymous()))
            await registry.ping()
            session = registry._transport._wire._session
            assert session is not None
        assert session.closed
        assert registry._transport._wire._session is None


async def test_a_pool_may_be_left_unused() -> None:
    """A client that never sent anything has nothing to close."""
    async with Registries(Logins({}, Path("/nonexistent")), {}) as clients:
        unused = clients.at(Endpoint("a.test:5000"))
    assert unused._transport._wire._session is None
