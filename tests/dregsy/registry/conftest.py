"""Fixtures for the tests of the registry client."""

from collections.abc import AsyncIterator

import pytest

from dregsy.registry.pool import Registries
from tests.testbed.clients import registries


@pytest.fixture
async def clients() -> AsyncIterator[Registries]:
    """Clients that know no login and no proxy; see tests/testbed/clients.py for what they prove at the end."""
    async with registries() as pool:
        yield pool
