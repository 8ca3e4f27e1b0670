from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dregsy import survey
from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import ImageError
from dregsy.executor import contained
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import OCI_INDEX
from dregsy.model.plan import Copy
from dregsy.model.platform import Platform
from dregsy.model.proposal import Need, Part
from dregsy.model.ref import Ref
from dregsy.model.report import Failure
from dregsy.model.subset import subset
from dregsy.survey import Surveyor, each
from tests.testbed.copying import Workshop, retopped

Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]
ARM = Platform.parse("linux/arm64")
ONE, TWO = images.image("x/1"), images.image("x/2", platform=ARM)
INDEX = images.index(ONE, TWO)


class Survey:
    """Surveys images between two registries."""

    def __init__(self, shop: Workshop, pair: Pair) -> None:
        self.shop = shop
        self.source, self.target = pair
        self.surveyor = Surveyor(shop.registries, shop.journal)

    async def need(self, digest: Digest, repository: str = "app", **more: object) -> Need:
        """What a repository needs of an image of the source's ``app``."""
        source = Ref(self.source.host, "app", "v1", digest)
        copy = Copy("t", source, (Ref(self.target.host, repository, "v1"),), (0,), **more)  # type: ignore[arg-type]  # fields of a Copy
        (need,) = await self.surveyor.needs(copy, Endpoint(self.source.host), [Endpoint(self.target.host)])
        return need


@pytest.fixture
async def looking(tmp_path: Path, embedded_pair: Pair) -> AsyncIterator[Survey]:
    """An index at the source."""
    await images.seed(embedded_pair[0], "app", INDEX, "v1")
    async with Workshop(tmp_path) as shop:
        yield Survey(shop, embedded_pair)


async def test_all(looking: Survey) -> None:
    """Where nothing is there, all manifests and blobs are needed, and each manifest of the index was asked for."""
    need = await looking.need(INDEX.digest)

    sizes = {digest: len(blob) for digest, blob in INDEX.blobs.items()}
    assert need.manifests == {manifest.digest for manifest in INDEX.manifests}
    assert need.asked == 2
    assert {part.digest: part.size for part in need.parts} == sizes
    assert not any(part.there for part in need.parts)
    assert {one.method for one in looking.target.requests} <= {"GET", "HEAD"}


async def test_rest(looking: Survey) -> None:
    """What a target has of an index it has with all its parts; blobs are looked up one by one."""
    await images.seed(looking.target, "app", ONE)
    there = looking.target.store.find("app").blobs
    there.update({TWO.top.blobs[0].digest: b"?"})

    need = await looking.need(INDEX.digest)

    assert need.manifests == {INDEX.digest, TWO.digest}
    assert [(part.digest, part.there) for part in need.parts] == [
        (blob.digest, blob.digest in there) for blob in TWO.top.blobs
    ]
    assert {part.there for part in need.parts} == {True, False}
    assert looking.source.count("GET", str(ONE.digest)) == 0


async def test_once(looking: Survey) -> None:
    """What several images share is asked for once at the target, and read once at the source."""
    await images.seed(looking.source, "app", ONE, "v2")

    await looking.need(INDEX.digest)
    await looking.need(ONE.digest)
    await looking.need(ONE.digest)

    blob = str(ONE.top.blobs[-1].digest)
    assert looking.target.count("HEAD", blob) == 1
    assert looking.source.count("GET", str(ONE.digest)) == 1


async def test_journal(looking: Survey) -> None:
    """What the journal knows is not asked for: that the repository has a blob, or that another has it."""
    first, second, *_ = ONE.top.blobs
    looking.shop.journal.saw_blob(looking.target.host, "app", first.digest)
    looking.shop.journal.saw_blob(looking.target.host, "old", second.digest)

    need = await looking.need(ONE.digest)

    assert need.parts[:2] == (Part(first.digest, first.size, there=True), Part(second.digest, second.size, home="old"))
    assert looking.target.count("HEAD", str(first.digest)) == 0


async def test_subset(looking: Survey) -> None:
    """Of an index that is made of some platforms, only these are needed."""
    made = subset(INDEX.top, (ARM,), name="x")

    need = await looking.need(made.digest, index=INDEX.digest, subset=(ARM,))

    assert need.manifests == {made.digest, TWO.digest}


async def test_odd_parts(looking: Survey) -> None:
    """Foreign layers are nobody's to bring, and layers that an index lists are blobs."""
    foreign = {
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "urls": ["https://x.example"],
        "digest": str(Digest.of(b"far")),
        "size": 3,
    }
    far = retopped(ONE, layers=[foreign])
    layer = ONE.top.blobs[-1]
    entry = {"mediaType": layer.media_type, "digest": str(layer.digest), "size": layer.size}
    cache = retopped(INDEX, manifests=[entry])
    for image in (far, cache):
        looking.source.store.find("app").manifests[image.digest] = image.top

    assert [part.digest for part in (await looking.need(far.digest)).parts] == [ONE.top.blobs[0].digest]
    assert [part.digest for part in (await looking.need(cache.digest)).parts] == [layer.digest]


async def test_no_image(looking: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lists more than any image, or lies deeper, is refused."""
    deep = INDEX.top
    for _ in range(survey._DEPTH + 1):
        entry = {"mediaType": OCI_INDEX, "digest": str(deep.digest), "size": len(deep.raw)}
        deep = retopped(INDEX, manifests=[entry]).top
        looking.source.store.find("app").manifests[deep.digest] = deep

    failure = await contained(looking.need(deep.digest), Copy("t", Ref("h", "app"), (), ()))
    assert isinstance(failure, Failure)
    assert "lists more than any image has" in failure.message
    monkeypatch.setattr(survey, "_PARTS", 1)
    with pytest.raises(ImageError, match="lists more than any image has"):
        await looking.need(INDEX.digest)


async def test_each_keeps_the_order() -> None:
    """Answers come in the order of what was asked, whatever comes first."""

    async def look(number: int) -> int:
        return number * 2

    assert await each(look, range(100), 3) == [number * 2 for number in range(100)]
    assert await each(look, []) == []
