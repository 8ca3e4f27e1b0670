from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import DregsyError, ImageError, NotFound
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Once, Task
from dregsy.model.platform import Platform
from dregsy.model.report import Failure, Reason
from dregsy.model.subset import subset
from dregsy.registry.listing import Listings
from dregsy.resolve import Found, Resolver
from tests.testbed.copying import Workshop, rule, task
from tests.testbed.proxy import Fault, RecordingProxy
from tests.testbed.vendors.harbor import Harbor
from tests.testbed.vendors.server import IMAGE as VENDOR_IMAGE
from tests.testbed.vendors.server import OTHER, numbered

Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]
IMAGE = images.image("x")
PLATFORMS = [Platform.parse(one) for one in ("linux/amd64", "linux/arm/v6", "linux/arm64", "windows/amd64")]
INDEX = images.index(*(images.image(f"multi/{one}", platform=one) for one in PLATFORMS), attested=True)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A resolver with its registry clients."""
    async with Workshop(tmp_path) as workshop:
        yield workshop


async def found(shop: Workshop, of: Task) -> list[Found]:
    """List what a task means."""
    return [one async for one in shop.resolver.copies(of)]


async def decided(shop: Workshop, of: Task) -> tuple[Copy, tuple[Reason | Failure, ...]]:
    """Decide about the one copy of a task."""
    (copy,) = await found(shop, of)
    assert isinstance(copy, Copy)
    decision = await shop.resolver.decide(of, copy)
    return decision.copy, decision.reasons


async def test_reasons(shop: Workshop, embedded_pair: Pair) -> None:
    """Each target is compared by itself; one that cannot be asked does not keep the others from being served."""
    a, b = embedded_pair
    await images.seed(a, "app", IMAGE, "v1")
    for name, image in (("same", IMAGE), ("other", INDEX)):
        await images.seed(b, f"{name}/app", image, "v1")
    targets = tuple(Endpoint(b.host, prefix) for prefix in ("same", "other", "none"))
    of = Task("t", Once(), Endpoint(a.host), (*targets, Endpoint("127.0.0.1:1")), (rule("app", tags=("v1",)),))
    copy, reasons = await decided(shop, of)
    assert copy.source.digest == IMAGE.digest
    assert reasons[:3] == (Reason.CURRENT, Reason.CHANGED, Reason.MISSING)
    assert isinstance(reasons[3], Failure)
    assert reasons[3].kind == "unreachable"


async def test_unchanged_tag(shop: Workshop, embedded_pair: Pair) -> None:
    """An unchanged tag costs exactly one HEAD at the source and one at the target, and no GET."""
    a, b = embedded_pair
    for registry in embedded_pair:
        await images.seed(registry, "app", INDEX, "v1")
        await shop.registries.at(Endpoint(registry.host)).ping()
        registry.log.clear()
    _, reasons = await decided(shop, task(a.host, (b.host,), rule("app", tags=("v1",))))
    assert reasons == (Reason.CURRENT,)
    for registry in embedded_pair:
        assert [(one.method, one.path) for one in registry.requests] == [("HEAD", "/v2/app/manifests/v1")]


async def test_known_digest(shop: Workshop, embedded_pair: Pair) -> None:
    """Where the mapping tells the digest, only the target is asked; a target without tag is asked for the digest."""
    a, b = embedded_pair
    copy, reasons = await decided(shop, task(a.host, (b.host,), rule("app", tags=(str(IMAGE.digest),))))
    assert (str(copy.targets[0]), reasons) == (f"{b.host}/app@{IMAGE.digest}", (Reason.MISSING,))
    await images.seed(b, "app", IMAGE)
    assert (await decided(shop, task(a.host, (b.host,), rule("app", tags=(str(IMAGE.digest),)))))[1] == (
        Reason.CURRENT,
    )
    copy, reasons = await decided(shop, task(a.host, (b.host,), rule("app", tags=(f"v1@{IMAGE.digest}",))))
    assert (str(copy.targets[0]), copy.source.digest, reasons) == (f"{b.host}/app:v1", IMAGE.digest, (Reason.MISSING,))
    assert a.requests == []


@pytest.mark.parametrize("platform", ["", "linux/amd64"])
async def test_no_such_tag(platform: str, shop: Workshop, embedded_pair: Pair) -> None:
    """A tag that is not there is named as the user knows it."""
    a, b = embedded_pair
    with pytest.raises(NotFound, match=f"there is no image {a.host}/app:v1"):
        await decided(shop, task(a.host, (b.host,), rule("app", tags=("v1",), platform=platform)))


@pytest.mark.parametrize(
    ("wanted", "position"),
    [
        ("linux/amd64", 0),
        ("linux/arm/v7", 1),
        ("linux/arm/v6", 1),
        ("linux/aarch64", 2),
        ("linux/arm64/v8", 2),
        ("windows/amd64", 3),
    ],
)
async def test_platform(wanted: str, position: int, shop: Workshop, embedded_pair: Pair) -> None:
    """A platform picks one image of an index: the best that runs on it, and that is compared and copied."""
    a, b = embedded_pair
    await images.seed(a, "app", INDEX, "v1")
    of = task(a.host, (b.host,), rule("app", tags=("v1",), platform=wanted))
    copy, reasons = await decided(shop, of)
    child = INDEX.top.children[position].digest
    assert (copy.source.tag, copy.source.digest, reasons) == ("v1", child, (Reason.MISSING,))
    moved = await shop.moved(child, f"{a.host}/app", f"{b.host}/app:v1")
    assert moved.digest == child
    assert (await decided(shop, of))[1] == (Reason.CURRENT,)


async def test_platform_of_digest(shop: Workshop, embedded_pair: Pair) -> None:
    """Of an index that is named by digest one image is picked, too, and the target gets that image's digest."""
    a, b = embedded_pair
    await images.seed(a, "app", INDEX)
    copy, _ = await decided(
        shop, task(a.host, (b.host,), rule("app", tags=(str(INDEX.digest),), platform="linux/amd64"))
    )
    child = INDEX.top.children[0].digest
    assert (copy.source.digest, str(copy.targets[0])) == (child, f"{b.host}/app@{child}")


async def test_no_such_platform(shop: Workshop, embedded_pair: Pair) -> None:
    """When nothing fits, the error lists what there is; attestations are no platforms."""
    a, b = embedded_pair
    await images.seed(a, "app", INDEX, "v1")
    with pytest.raises(ImageError) as caught:
        await decided(shop, task(a.host, (b.host,), rule("app", tags=("v1",), platform="linux/riscv64")))
    assert caught.value.message == f"{a.host}/app:v1 has no image for linux/riscv64"
    assert caught.value.hint == "it has: linux/amd64, linux/arm/v6, linux/arm64, windows/amd64"


@pytest.mark.parametrize(("wanted", "fits"), [("linux/amd64", True), ("linux/arm64", False)])
async def test_single_image(wanted: str, fits: bool, shop: Workshop, embedded_pair: Pair) -> None:
    """An image without an index is taken if its config names the platform, else refused."""
    a, b = embedded_pair
    await images.seed(a, "app", IMAGE, "v1")
    of = task(a.host, (b.host,), rule("app", tags=("v1",), platform=wanted))
    if fits:
        assert (await decided(shop, of))[0].source.digest == IMAGE.digest
        return
    with pytest.raises(ImageError, match="has no image for linux/arm64") as caught:
        await decided(shop, of)
    assert caught.value.hint == "it has: linux/amd64"


@pytest.mark.parametrize("more", [{"platform": "linux/arm64"}, {"subset": (Platform.parse("linux/arm64"),)}])
@pytest.mark.parametrize("is_index", [True, False])
async def test_another_architecture_is_told(
    more: dict[str, Any], is_index: bool, shop: Workshop, embedded_pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """What runs on a processor but was made for another one is copied with a warning, as long as it is to be copied."""
    a, b = embedded_pair
    image = images.image("arm", platform=Platform.parse("linux/arm/v7"))
    await images.seed(a, "app", images.index(image, images.image("x")) if is_index else image, "v1")
    of = task(a.host, (b.host,), rule("app", tags=("v1",), **more))
    copy, _ = await decided(shop, of)
    assert [record.getMessage() for record in caplog.records if record.name == "dregsy.decide"] == [
        f"{a.host}/app:v1 has no image for linux/arm64: the one for linux/arm/v7 is taken"
    ]
    caplog.clear()
    await shop.run(of)
    caplog.clear()
    await decided(shop, of)

    assert copy.source.tag == "v1"
    assert [record for record in caplog.records if record.name == "dregsy.decide"] == []


async def test_artifact_has_no_platform(shop: Workshop, embedded_pair: Pair) -> None:
    """An artifact is taken whatever platform is wanted: it has none that could be wrong."""
    a, b = embedded_pair
    artifact = images.artifact(text="chart")
    await images.seed(a, "app", artifact, "v1")
    copy, reasons = await decided(shop, task(a.host, (b.host,), rule("app", tags=("v1",), platform="linux/arm64")))
    assert (copy.source.digest, reasons) == (artifact.digest, (Reason.MISSING,))


async def test_config_is_checked(shop: Workshop, embedded_pair: Pair) -> None:
    """A config that does not arrive as promised is an error of the source, as for any blob."""
    a, b = embedded_pair
    await images.seed(a, "app", IMAGE, "v1")
    with RecordingProxy(a.host, Fault(path="/blobs/", flip_at=3, times=-1)) as proxy, pytest.raises(DregsyError):
        await decided(shop, task(proxy.host, (b.host,), rule("app", tags=("v1",), platform="linux/amd64")))


async def all_decided(shop: Workshop, of: Task) -> tuple[list[Reason | Failure], int]:
    """Compare all that a task means; return what came of each target, and how many requests were saved."""
    copies = [one for one in await found(shop, of) if isinstance(one, Copy)]
    reasons = [reason for one in copies for reason in (await shop.resolver.decide(of, one)).reasons]
    return reasons, await shop.resolver.finish()


async def test_lists_of_digests(shop: Workshop) -> None:
    """Where both sides list digests, a hundred unchanged tags cost one list and two questions at each side."""
    async with Harbor() as a, Harbor() as b:
        for server in (a, b):
            server.put("team/app", numbered(100))
        reasons, saved = await all_decided(shop, task(a.host, (b.host,), rule("team/app")))

        assert (reasons, saved) == ([Reason.CURRENT] * 100, 194)
        for server in (a, b):
            assert (server.log.count("HEAD", ""), server.log.count("GET", "/artifacts")) == (2, 1)


async def test_a_list_at_one_side(shop: Workshop, embedded_pair: Pair) -> None:
    """A list of the source alone saves the questions to the source."""
    _, b = embedded_pair
    async with Harbor() as a:
        a.put("team/app", numbered(20))
        await images.seed(b, "team/app", VENDOR_IMAGE, *numbered(20))
        reasons, saved = await all_decided(shop, task(a.host, (b.host,), rule("team/app")))

        assert (reasons, saved) == ([Reason.CURRENT] * 20, 17)
        assert (a.log.count("HEAD", ""), b.count("HEAD", "")) == (2, 20)


async def test_what_is_copied_comes_from_the_registry(shop: Workshop, embedded_pair: Pair) -> None:
    """A list that is wrong about a tag causes a question too many, and never another image."""
    _, b = embedded_pair
    async with Harbor() as a:
        a.put("team/app", numbered(20))
        a.claims["team/app"] = {"t0007": str(OTHER.digest)}
        await images.seed(b, "team/app", VENDOR_IMAGE, *numbered(9))
        of = task(a.host, (b.host,), rule("team/app"))
        copies = [one for one in await found(shop, of) if isinstance(one, Copy)]
        decisions = [await shop.resolver.decide(of, one) for one in copies]

    assert {VENDOR_IMAGE.digest} == {one.copy.source.digest for one in decisions}
    assert [one.reasons for one in decisions] == [(Reason.CURRENT,)] * 9 + [(Reason.MISSING,)] * 11


async def test_a_target_that_claims_too_little(shop: Workshop, embedded_pair: Pair) -> None:
    """A target whose list lacks a tag, or says that it is another image, is asked itself."""
    a, _ = embedded_pair
    await images.seed(a, "team/app", VENDOR_IMAGE, *numbered(20))
    async with Harbor() as b:
        b.put("team/app", numbered(20))
        b.claims["team/app"] = {"t0007": str(OTHER.digest), "t0008": None}
        reasons, saved = await all_decided(shop, task(a.host, (b.host,), rule("team/app")))

        assert (reasons, saved) == ([Reason.CURRENT] * 20, 15)
        assert b.log.count("HEAD", "") == 4


async def test_platforms_need_the_image(shop: Workshop) -> None:
    """A list says nothing of the images in an index: with a platform the source is asked as ever."""
    async with Harbor() as a, Harbor() as b:
        for server in (a, b):
            server.put("team/app", numbered(20))
        of = task(a.host, (b.host,), rule("team/app", platform="linux/amd64"))
        reasons, _ = await all_decided(shop, of)

        assert reasons == [Reason.CURRENT] * 20
        assert a.log.count("GET", "/artifacts") == 0
        assert b.log.count("GET", "/artifacts") == 1


async def test_some_platforms(shop: Workshop, embedded_pair: Pair) -> None:
    """A new index is compared and copied; one whose source was read before costs one HEAD at the source and target."""
    a, b = embedded_pair
    await images.seed(a, "app", INDEX, "v1")
    wanted = tuple(map(Platform.parse, ("linux/amd64", "linux/arm64")))
    made = subset(INDEX.top, wanted, name="x")
    of = task(a.host, (b.host,), rule("app", tags=("v1",), subset=wanted))
    copy, reasons = await decided(shop, of)
    assert (copy.source.digest, copy.index, reasons) == (made.digest, INDEX.digest, (Reason.MISSING,))
    report = await shop.run(of)
    assert [one.moved.digest for one in report.outcomes if one.moved] == [made.digest]
    a.log.clear()
    b.log.clear()
    assert (await decided(shop, of))[1] == (Reason.CURRENT,)
    assert [(one.method, one.path) for one in a.requests] == [("HEAD", "/v2/app/manifests/v1")]
    assert [(one.method, one.path) for one in b.requests] == [("HEAD", "/v2/app/manifests/v1")]


async def test_some_platforms_of_a_digest(shop: Workshop, embedded_pair: Pair) -> None:
    """Of an index that is named by digest the target gets the new index, under its own digest."""
    a, b = embedded_pair
    await images.seed(a, "app", INDEX)
    wanted = (Platform.parse("linux/amd64"),)
    copy, _ = await decided(shop, task(a.host, (b.host,), rule("app", tags=(str(INDEX.digest),), subset=wanted)))
    assert str(copy.targets[0]) == f"{b.host}/app@{subset(INDEX.top, wanted, name='x').digest}"


@pytest.mark.parametrize(("wanted", "fits"), [(("linux/amd64",), True), (("linux/amd64", "linux/arm64"), False)])
async def test_some_platforms_of_a_single_image(
    wanted: tuple[str, ...], fits: bool, shop: Workshop, embedded_pair: Pair
) -> None:
    """An image without an index is taken as it is when it is for all that is wanted, else refused."""
    a, b = embedded_pair
    await images.seed(a, "app", IMAGE, "v1")
    of = task(a.host, (b.host,), rule("app", tags=("v1",), subset=tuple(map(Platform.parse, wanted))))
    if fits:
        copy, reasons = await decided(shop, of)
        assert (copy.source.digest, copy.index, reasons) == (IMAGE.digest, None, (Reason.MISSING,))
        return
    with pytest.raises(ImageError, match="has no image for linux/arm64"):
        await decided(shop, of)
    gone = task(a.host, (b.host,), rule("gone", tags=("v1",), subset=tuple(map(Platform.parse, wanted))))
    with pytest.raises(NotFound, match="there is no image"):
        await decided(shop, gone)


def repacked(shop: Workshop, platform: str = "linux/amd64") -> Workshop:
    """Have the resolver work for a relay that packs layers anew."""
    shop.resolver = Resolver(
        shop.registries, Listings(shop.registries), journal=shop.journal, repacked=Platform.parse(platform)
    )
    return shop


@pytest.mark.parametrize(
    ("platform", "daemon", "reason"),
    [
        ("", "linux/amd64", Reason.CURRENT),
        ("", "linux/arm64", Reason.CHANGED),
        ("", "linux/s390x", Reason.CHANGED),
        ("linux/arm64", "linux/amd64", Reason.CHANGED),
        ("linux/amd64", "linux/arm64", Reason.CURRENT),
    ],
)
async def test_an_image_that_was_packed_anew_is_current(
    platform: str, daemon: str, reason: Reason, shop: Workshop, embedded_pair: Pair
) -> None:
    """With a relay whose digests differ by nature the config tells whether a target has the image for the platform."""
    a, b = embedded_pair
    await images.seed(a, "app", INDEX, "v1")
    await images.seed(b, "app", images.image("multi/linux/amd64", docker=True), "v1")
    of = task(a.host, (b.host,), rule("app", tags=("v1",), platform=platform))

    assert (await decided(shop, of))[1] == (Reason.CHANGED,)
    assert (await decided(repacked(shop, daemon), of))[1] == (reason,)


async def test_what_was_packed_anew_is_looked_into_once(shop: Workshop, embedded_pair: Pair) -> None:
    """Only where digests differ are manifests read, and never again for the same digests."""
    a, b = embedded_pair
    image = images.image("app")
    await images.seed(a, "app", image, "same", "other")
    await images.seed(b, "app", image, "same")
    await images.seed(b, "app", images.image("app", docker=True), "other")
    repacked(shop)
    for tag in ("same", "other", "other"):
        one = task(a.host, (b.host,), rule("app", tags=(tag,)))
        assert (await decided(shop, one))[1] == (Reason.CURRENT,)

    assert [one.count("GET", "/manifests/") for one in (a, b)] == [1, 1]


async def test_a_target_that_cannot_be_looked_into(shop: Workshop, embedded_pair: Pair) -> None:
    """Without knowing what the target has nothing is written there."""
    a, b = embedded_pair
    await images.seed(a, "app", IMAGE, "v1")
    await images.seed(b, "app", INDEX, "v1")
    with RecordingProxy(b.host, Fault(path="/manifests/sha256", method="GET", times=-1, status=403)) as target:
        _, reasons = await decided(repacked(shop), task(a.host, (target.host,), rule("app", tags=("v1",))))

    assert [reason.kind for reason in reasons if isinstance(reason, Failure)] == ["unauthorized"]


async def test_digests_become_tags_where_only_tags_can_be_written(shop: Workshop, embedded_pair: Pair) -> None:
    """A target without a tag is asked for the tag that stands for the digest, so that it is found the next time."""
    a, b = embedded_pair
    image = images.image("app")
    await images.seed(a, "app", image)
    of = task(a.host, (b.host,), rule("app", tags=(str(image.digest),)))
    copy, before = await decided(repacked(shop), of)
    await images.seed(b, "app", images.image("app", docker=True), f"dregsy-{image.digest.hex}")
    _, after = await decided(shop, of)

    assert [str(one) for one in copy.targets] == [f"{b.host}/app:dregsy-{image.digest.hex}"]
    assert (before, after) == ((Reason.MISSING,), (Reason.CURRENT,))
