from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import DregsyError
from dregsy.model.endpoint import Endpoint
from dregsy.model.ref import Ref
from dregsy.registry.existing import Existing
from tests.testbed.copying import Workshop


async def test_one_listing(tmp_path: Path, embedded_pair: tuple[EmbeddedRegistry, EmbeddedRegistry]) -> None:
    """Each repository is listed once, whether or not it is there."""
    host = embedded_pair[0].host
    await images.seed(embedded_pair[0], "app", images.image("x"), "v1")
    async with Workshop(tmp_path) as shop:
        existing = Existing(shop.registries)
        asked = [(name, tag) for name in ("app", "gone") for tag in ("v1", "v2", "v1")]
        found = [await existing.has(Endpoint(host), Ref(host, name, tag)) for name, tag in asked]

    assert found == [True, False, True, False, False, False]
    assert embedded_pair[0].count("GET", "tags/list") == 2


async def test_errors(tmp_path: Path) -> None:
    """A registry that does not answer is an error, not an empty one."""
    async with Workshop(tmp_path) as shop:
        with pytest.raises(DregsyError):
            await Existing(shop.registries).has(Endpoint("127.0.0.1:1"), Ref("127.0.0.1:1", "app", "v1"))
