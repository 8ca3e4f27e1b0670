from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dregsy.credentials import Logins
from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.journal import Journal
from dregsy.model.endpoint import Endpoint
from dregsy.model.platform import Platform
from dregsy.registry.client import Registry
from dregsy.registry.imageid import image_id
from dregsy.registry.pool import Registries

ARM = Platform("linux", "arm64")
NAME = "app"


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedRegistry]:
    """A registry."""
    async with EmbeddedRegistry() as registry:
        yield registry


@pytest.fixture
async def registry(server: EmbeddedRegistry) -> AsyncIterator[Registry]:
    """Its client."""
    async with Registries(Logins({}, Path("/nonexistent")), {}) as registries:
        yield registries.at(Endpoint(server.host))


async def test_an_image_is_known_by_its_config(server: EmbeddedRegistry, registry: Registry) -> None:
    """Whatever the manifest's format; one request is all that this takes, and none a second time."""
    journal = Journal()
    for docker in (False, True):
        image = images.image(f"{docker}", docker=docker)
        await images.seed(server, NAME, image, f"{docker}")
        found = [await image_id(journal, registry, NAME, image.digest, ARM) for _ in range(2)]

        assert image.top.config is not None
        assert [image.top.config.digest] * 2 == found
        assert server.count("GET", f"/manifests/{image.digest}") == 1


async def test_of_an_index_the_image_for_the_platform_counts(server: EmbeddedRegistry, registry: Registry) -> None:
    """The others, and attestations, are not looked at; a platform that is not there has no image."""
    arm = images.image("arm", platform=ARM)
    index = images.index(images.image("amd"), arm, attested=True)
    await images.seed(server, NAME, index, "v1")

    assert arm.top.config is not None
    assert arm.top.config.digest == await image_id(Journal(), registry, NAME, index.digest, ARM)
    assert server.count("GET", "/manifests/") == 2
    assert await image_id(Journal(), registry, NAME, index.digest, Platform("linux", "s390x")) is None


async def test_what_is_no_image_has_no_id(server: EmbeddedRegistry, registry: Registry) -> None:
    """All artifacts have the same empty config, which would make them all one; what is missing may come."""
    artifact, image = images.artifact(text="sbom"), images.image("late")
    await images.seed(server, NAME, artifact, "artifact")
    journal = Journal()

    assert await image_id(journal, registry, NAME, artifact.digest, ARM) is None
    assert await image_id(journal, registry, NAME, image.digest, ARM) is None
    await images.seed(server, NAME, image, "late")
    assert await image_id(journal, registry, NAME, image.digest, ARM) is not None
