from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import NotFound
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import Descriptor
from dregsy.registry.client import Registry
from dregsy.registry.contents import blob_of, manifest_at, manifest_of
from tests.testbed.copying import Workshop, retopped

OLD, NEW = images.index(images.image("old")), images.index(images.image("new"))


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A journal, and a registry client."""
    async with Workshop(tmp_path) as workshop:
        yield workshop


@pytest.fixture
async def registry(embedded_pair: tuple[EmbeddedRegistry, EmbeddedRegistry]) -> EmbeddedRegistry:
    """A registry with an image."""
    await images.seed(embedded_pair[0], "app", OLD, "v1")
    embedded_pair[0].log.clear()
    return embedded_pair[0]


def client(shop: Workshop, registry: EmbeddedRegistry) -> Registry:
    """Return the client of a registry."""
    return shop.registries.at(Endpoint(registry.host))


def asked(registry: EmbeddedRegistry) -> list[str]:
    """List the methods of the requests since the last time."""
    methods = [one.method for one in registry.requests if one.path != "/v2/"]
    registry.log.clear()
    return methods


async def test_a_tag(shop: Workshop, registry: EmbeddedRegistry) -> None:
    """A tag's manifest is read once, and again only when a HEAD says that the tag moved."""
    target = client(shop, registry)
    assert OLD.top == await manifest_at(shop.journal, target, "app", "v1")
    assert asked(registry) == ["GET"]
    assert OLD.top == await manifest_at(shop.journal, target, "app", "v1")
    assert asked(registry) == ["HEAD"]
    await images.seed(registry, "app", NEW, "v1")
    registry.log.clear()
    for expected in (["HEAD", "GET"], ["HEAD"]):
        assert NEW.top == await manifest_at(shop.journal, target, "app", "v1")
        assert asked(registry) == expected
    assert OLD.top == await manifest_of(shop.journal, target, "app", OLD.digest)
    assert asked(registry) == []


async def test_a_tag_that_is_gone(shop: Workshop, registry: EmbeddedRegistry) -> None:
    """A tag that is not there, or no more, is not found, whatever was read before."""
    target = client(shop, registry)
    with pytest.raises(NotFound):
        await manifest_at(shop.journal, target, "app", "v2")
    await manifest_at(shop.journal, target, "app", "v1")
    del registry.store.find("app").tags["v1"]
    with pytest.raises(NotFound, match=f"there is no image {registry.host}/app:v1"):
        await manifest_at(shop.journal, target, "app", "v1")


async def test_wrong_contents_are_not_used(shop: Workshop, registry: EmbeddedRegistry) -> None:
    """What is kept is checked against the digest: anything else is read again."""
    target = client(shop, registry)
    blob, content = next(iter(OLD.blobs.items()))
    descriptor = Descriptor("", blob, len(content))
    for wrong in (NEW.top.raw, b"nonsense", b""):
        shop.journal.keep(OLD.digest, wrong)
        shop.journal.keep(blob, wrong)
        assert OLD.top == await manifest_of(shop.journal, target, "app", OLD.digest)
        assert content == await blob_of(shop.journal, target, "app", descriptor)
        assert asked(registry) == ["GET", "GET"]
        assert OLD.top == await manifest_of(shop.journal, target, "app", OLD.digest)
        assert content == await blob_of(shop.journal, target, "app", descriptor)
        assert asked(registry) == []


async def test_a_manifest_that_does_not_say_what_it_is(shop: Workshop, registry: EmbeddedRegistry) -> None:
    """A manifest that is only told apart by the registry's header is always read there."""
    shy = retopped(images.image("shy", docker=True), mediaType=None)
    await images.seed(registry, "app", shy)
    registry.log.clear()
    for _ in range(2):
        assert shy.top == await manifest_of(shop.journal, client(shop, registry), "app", shy.digest)
    assert asked(registry) == ["GET", "GET"]


async def test_missing(shop: Workshop, registry: EmbeddedRegistry) -> None:
    """What does not exist is not found, and not remembered as anything."""
    with pytest.raises(NotFound):
        await manifest_of(shop.journal, client(shop, registry), "app", Digest.of(b""))
    with pytest.raises(NotFound):
        await blob_of(shop.journal, client(shop, registry), "app", Descriptor("", Digest.of(b""), 0))
