import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import ImageError
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED, Manifest
from dregsy.registry.imageconfig import CONFIG_LIMIT, read_config
from tests.testbed.copying import Workshop
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry


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


async def test_a_real_registrys_schema1_manifest(tmp_path: Path, repo: str) -> None:
    """What docker-registry makes of an image for the oldest clients tells the same platform and date as its config."""
    with DockerRegistry(tmp_path / "registry") as registry:
        push(registry.host, repo, images.image("old", docker=True, created="2015-06-07T08:09:10Z"), "old")
        url = f"http://{registry.host}/v2/{repo}/manifests/old"
        with urlopen(Request(url, headers={"Accept": DOCKER_SCHEMA1_SIGNED}), timeout=30) as answer:
            manifest = Manifest.parse(answer.read(), answer.headers["Content-Type"])
        async with Workshop(tmp_path) as shop:
            found = await read_config(shop.journal, shop.registries.at(Endpoint(registry.host)), repo, manifest)

    wanted = {"created": "2015-06-07T08:09:10Z", "os": "linux", "architecture": "amd64"}
    assert wanted == {key: found[key] for key in wanted}


@pytest.mark.parametrize(
    "history",
    [
        None,
        [],
        {},
        "x",
        [None],
        [{}],
        [{"v1Compatibility": 7}],
        [{"v1Compatibility": "{"}],
        [{"v1Compatibility": "[]"}],
    ],
)
async def test_a_schema1_manifest_that_says_nothing(tmp_path: Path, history: Any) -> None:
    """Whatever stands in its place, a history that is none is no config."""
    document = {"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "history": history}
    manifest = Manifest.parse(json.dumps(document).encode(), DOCKER_SCHEMA1)
    async with Workshop(tmp_path) as shop:
        assert await read_config(shop.journal, shop.registries.at(Endpoint("a.example")), "app", manifest) == {}
