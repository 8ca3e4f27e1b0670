import json
from dataclasses import replace
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import ImageError
from dregsy.model.endpoint import Endpoint
from dregsy.registry.imageconfig import CONFIG_LIMIT, read_config
from tests.testbed.copying import Workshop


async def test_configs(tmp_path: Path, embedded_pair: tuple[EmbeddedRegistry, EmbeddedRegistry]) -> None:
    """An image's config is given as it is; an index has none, and an artifact's is empty."""
    registry = embedded_pair[0]
    image = images.image("x")
    assert image.top.config is not None
    config = json.loads(image.blobs[image.top.config.digest])
    kinds = (image, images.image("x", docker=True), images.index(image), images.artifact())
    for one in kinds:
        await images.seed(registry, "app", one)
    async with Workshop(tmp_path) as shop:
        client = shop.registries.at(Endpoint(registry.host))
        found = [await read_config(shop.journal, client, "app", one.top) for one in kinds]

        assert [config, config, {}, {}] == found
        huge = replace(image.top.config, size=CONFIG_LIMIT + 1)
        with pytest.raises(ImageError, match="has more than"):
            await read_config(shop.journal, client, "app", replace(image.top, config=huge))
