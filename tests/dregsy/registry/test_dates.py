from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.images import Image
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import NotFound
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.platform import Platform
from dregsy.registry.dates import Dates, created
from tests.testbed.copying import Workshop, retopped

ARM64 = Platform("linux", "arm64")
DATE = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """Registry clients."""
    async with Workshop(tmp_path) as workshop:
        yield workshop


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-01T00:00:00Z", DATE),
        ("2024-01-01T01:00:00.123456789+01:00", DATE.replace(microsecond=123456)),
        ("1970-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("1980-01-01T00:00:01Z", None),
        ("2024-01-01T00:00:00", None),
        ("soon", None),
        ("", None),
    ],
)
async def test_an_image(
    text: str, expected: datetime | None, shop: Workshop, embedded_pair: tuple[EmbeddedRegistry, ...]
) -> None:
    """The date is that of the config; placeholders of reproducible builds are none."""
    registry = embedded_pair[0]
    image = images.image("x", created=text)
    await images.seed(registry, "app", image)

    assert expected == await created(shop.journal, shop.registries.at(Endpoint(registry.host)), "app", image.digest)


FIRST = images.image("a", created="2024-01-01T00:00:00Z")
INDEX = images.index(FIRST, images.image("b", platform=ARM64, created="2025-01-01T00:00:00Z"), attested=True)
STRANGE: list[tuple[Image, datetime | None]] = [
    (INDEX, DATE),
    (images.index(INDEX), DATE),
    (images.index(), None),
    (images.artifact(), None),
]


@pytest.mark.parametrize(("image", "expected"), STRANGE)
async def test_other_things(
    image: Image, expected: datetime | None, shop: Workshop, embedded_pair: tuple[EmbeddedRegistry, ...]
) -> None:
    """An index is as old as its first image, however deep that lies; an artifact has no date."""
    registry = embedded_pair[0]
    await images.seed(registry, "app", image)

    assert expected == await created(shop.journal, shop.registries.at(Endpoint(registry.host)), "app", image.digest)


async def test_attestations_are_no_images(shop: Workshop, embedded_pair: tuple[EmbeddedRegistry, ...]) -> None:
    """An attestation in the first place of an index says nothing about its age."""
    import json

    registry = embedded_pair[0]
    index = retopped(INDEX, manifests=json.loads(INDEX.top.raw)["manifests"][::-1])
    await images.seed(registry, "app", index)

    date = await created(shop.journal, shop.registries.at(Endpoint(registry.host)), "app", index.digest)

    assert datetime(2025, 1, 1, tzinfo=UTC) == date


async def test_read_once(shop: Workshop, embedded_pair: tuple[EmbeddedRegistry, ...]) -> None:
    """What was read is remembered; of a date that is not any more, only what the contents lack is asked again."""
    registry = embedded_pair[0]
    for one in (FIRST, INDEX):
        await images.seed(registry, "app", one)
    client, dates = shop.registries.at(Endpoint(registry.host)), Dates(shop.journal, most=1)

    assert [await dates.of(client, "app", one.digest) for one in (FIRST, FIRST, INDEX)] == [DATE] * 3
    assert registry.count("GET", f"manifests/{FIRST.digest}") == 1  # for itself, and below the index
    asked = len(list(registry.log))
    await dates.of(client, "app", FIRST.digest)
    assert len(list(registry.log)) == asked


async def test_missing(shop: Workshop, embedded_pair: tuple[EmbeddedRegistry, ...]) -> None:
    """What cannot be read is an error, and not remembered as one without date."""
    client = shop.registries.at(Endpoint(embedded_pair[0].host))

    with pytest.raises(NotFound):
        await Dates(shop.journal).of(client, "app", Digest.of(b""))
