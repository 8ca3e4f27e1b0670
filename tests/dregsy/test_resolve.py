from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import DregsyError, ImageError, NotFound
from dregsy.model.ages import Ages
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Listing, Once, Task
from dregsy.model.platform import Platform
from dregsy.model.report import Failure, Outcome, Reason, Status, Warned
from dregsy.model.subset import subset
from dregsy.model.tagnames import TagNames
from dregsy.model.tags import TagSet
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


async def named(shop: Workshop, of: Task) -> dict[str, list[str]]:
    """List which image goes where, without hosts; expects nothing but copies."""
    copies = [one for one in await found(shop, of) if isinstance(one, Copy)]
    hosts = [of.source.host, *(target.host for target in of.targets)]

    def short(text: str) -> str:
        return next(text.removeprefix(f"{host}/") for host in hosts if text.startswith(host))

    return {short(str(one.source)): [short(str(target)) for target in one.targets] for one in copies}


async def test_mappings(shop: Workshop, embedded_pair: Pair) -> None:
    """Fixed and selected repositories, with all kinds of tags, become copies with the right names at the targets."""
    a, b = embedded_pair
    for name in ("lib/one", "lib/two", "other"):
        await images.seed(a, name, IMAGE, "v1", "v2", "latest")
    digest = IMAGE.digest
    of = task(
        a.host,
        (b.host, b.host),
        rule("other", "renamed", tags=("regex:v.*",)),
        rule("regex:lib/.*", "mirror", tags=("latest",)),
        rule("/other", tags=(f"kept@{digest}", str(digest))),
        rule("lib/one", "regex:^/lib/(.*),/team/$1", tags=("v1",)),
    )
    assert await named(shop, of) == {
        "other:v1": ["renamed:v1"] * 2,
        "other:v2": ["renamed:v2"] * 2,
        "lib/one:latest": ["mirror/lib/one:latest"] * 2,
        "lib/two:latest": ["mirror/lib/two:latest"] * 2,
        f"other:kept@{digest}": ["other:kept"] * 2,
        f"other@{digest}": [f"other@{digest}"] * 2,
        "lib/one:v1": ["team/one:v1"] * 2,
    }


async def test_verbatim_tags_list_nothing(shop: Workshop, embedded_pair: Pair) -> None:
    """Where all tags are named, nothing is asked at all."""
    a, b = embedded_pair
    assert await named(shop, task(a.host, (b.host,), rule("app", tags=("v1",)))) == {"app:v1": ["app:v1"]}
    assert a.requests == b.requests == []


async def test_prefixes(shop: Workshop, embedded_pair: Pair) -> None:
    """A path behind the registry's name belongs in front of every repository, at either end."""
    a, b = embedded_pair
    await images.seed(a, "below/app", IMAGE, "v1")
    await images.seed(a, "beside", IMAGE, "v1")
    of = Task("t", Once(), Endpoint(a.host, "below"), (Endpoint(b.host, "team/x"),), (rule("regex:.*", "to"),))
    assert await named(shop, of) == {"below/app:v1": ["team/x/to/app:v1"]}


async def test_nothing_selected(shop: Workshop, embedded_pair: Pair) -> None:
    """A mapping that means no repository or no tag is no failure, but a warning that names its line."""
    a, b = embedded_pair
    await images.seed(a, "app", IMAGE, "v1", "v2")
    of = task(
        a.host,
        (b.host,),
        rule("regex:nope", where="f:7"),
        rule("app", tags=("regex:x.*", "keep: latest 1"), where="f:9"),
    )
    assert await found(shop, of) == [
        Warned("test", f"f:7: 'from' matches no repository of {a.host}"),
        Warned("test", f"f:9: 'tags' selects none of the 2 tags of {a.host}/app"),
    ]


async def test_illegal_names(shop: Workshop, embedded_pair: Pair) -> None:
    """An illegal name fails only its own mapping, and says which line to mend."""
    a, b = embedded_pair
    for name in ("app", "lib"):
        await images.seed(a, name, IMAGE, "v1")
    of = task(
        a.host,
        (b.host,),
        rule("app", "Not Legal", where="f:3"),
        rule("APP", where="f:4"),
        rule("regex:app|lib", "regex:^/a,/A", where="f:5"),
    )
    items = await found(shop, of)
    failures = [one.failure for one in items if isinstance(one, Outcome) and one.failure]
    assert [one.kind for one in failures] == ["image"] * 3
    assert [one.hint for one in failures] == [
        "mend 'to' at f:3: it makes this out of 'app'",
        "mend 'from' at f:4",
        "mend 'to' at f:5: it makes this out of 'app'",
    ]
    assert "not a legal repository name: 'Not Legal'" in failures[0].message
    assert [str(one.source) for one in items if isinstance(one, Copy)] == [f"{a.host}/lib:v1"]


async def test_listing_fails(shop: Workshop, embedded_pair: Pair) -> None:
    """A repository whose tags cannot be listed, or a catalog that is refused, does not stop the other mappings."""
    a, b = embedded_pair
    await images.seed(a, "app", IMAGE, "v1")
    with RecordingProxy(a.host, Fault(path="_catalog", status=403, times=-1)) as proxy:
        items = await found(shop, task(proxy.host, (b.host,), rule("gone"), rule("regex:.*"), rule("app")))
    failed = [one for one in items if isinstance(one, Outcome)]
    assert [(one.target, one.status, one.failure.kind if one.failure else "") for one in failed] == [
        (None, Status.FAILED, "not-found"),
        (None, Status.FAILED, "unauthorized"),
    ]
    assert [str(one.source) for one in items if isinstance(one, Copy)] == [f"{proxy.host}/app:v1"]


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


async def test_a_list_that_is_cut(shop: Workshop, embedded_pair: Pair) -> None:
    """Where ``maxItems`` ends the list of repositories, that is said: matching ones may be behind it."""
    a, b = embedded_pair
    for number in range(3):
        await images.seed(a, f"lib/app{number}", IMAGE, "v1")
    of = task(a.host, (b.host,), rule("regex:lib/.*"))
    cut = await found(shop, replace(of, listing=Listing(limit=2)))
    whole = await found(shop, replace(of, listing=Listing(limit=4)))
    assert [type(one) for one in cut] == [Warned, Copy, Copy]
    assert "is cut after 2" in str(cut[0])
    assert [type(one) for one in whole] == [Copy, Copy, Copy]


def failures(items: list[Found]) -> list[tuple[str, str]]:
    """What failed and why, with the hint."""
    return [(str(one.target or one.copy.source), str(one.failure)) for one in items if isinstance(one, Outcome)]


async def test_two_sources_for_one_tag(shop: Workshop, embedded_pair: Pair) -> None:
    """Of two mappings that mean different images for one tag, the first has it; the other one fails with both lines."""
    a, b = embedded_pair
    of = task(
        a.host,
        (b.host,),
        rule("one", "same", tags=("v1", "v2"), where="f:3"),
        rule("two", "same", tags=("v2", "v3"), where="f:7"),
    )
    hint = "change 'to', 'tags' or the tags' names"
    for _ in range(2):
        items = await found(shop, of)
        copies = [str(one.source) for one in items if isinstance(one, Copy)]
        assert [f"{a.host}/one:v1", f"{a.host}/one:v2", f"{a.host}/two:v3"] == copies
        assert failures(items) == [
            (
                f"{b.host}/same:v2",
                f"{b.host}/same:v2 is to hold {a.host}/one:v2 already, by f:3 — {hint} at f:3 and f:7",
            )
        ]


async def test_one_mapping_gives_one_tag_twice(shop: Workshop, embedded_pair: Pair) -> None:
    """A mapping that gives two images the same name does not copy one over the other."""
    a, b = embedded_pair
    names = TagNames.parse("regex:-.*,")
    items = await found(shop, task(a.host, (b.host,), rule("app", tags=("1-a", "1-b"), names=names, where="f:3")))
    assert [str(one.source) for one in items if isinstance(one, Copy)] == [f"{a.host}/app:1-a"]
    assert [text.rpartition(" at ")[2] for _, text in failures(items)] == ["f:3"]


async def test_only_one_target_is_taken(shop: Workshop, embedded_pair: Pair) -> None:
    """A copy still goes to those of its targets that nobody else has."""
    a, b = embedded_pair
    targets = (Endpoint(b.host), Endpoint(b.host, "own"))
    rules = (rule("one", "own/app", tags=("v1",)), rule("two", "app", tags=("v1",)))
    copies = [
        one for one in await found(shop, Task("t", Once(), Endpoint(a.host), targets, rules)) if isinstance(one, Copy)
    ]
    assert [[str(target) for target in one.targets] for one in copies] == [
        [f"{b.host}/own/app:v1", f"{b.host}/own/own/app:v1"],
        [f"{b.host}/app:v1"],
    ]
    assert copies[1].to == (0,)


async def test_tag_names(shop: Workshop, embedded_pair: Pair) -> None:
    """Tags are renamed at the targets alone; digests without a tag have no name to change."""
    a, b = embedded_pair
    names = TagNames.parse("regex:^v,", "hub-", "-x")
    of = task(a.host, (b.host,), rule("app", tags=("v1", f"v2@{IMAGE.digest}", str(IMAGE.digest)), names=names))
    assert await named(shop, of) == {
        "app:v1": ["app:hub-1-x"],
        f"app:v2@{IMAGE.digest}": ["app:hub-2-x"],
        f"app@{IMAGE.digest}": [f"app@{IMAGE.digest}"],
    }


async def test_illegal_tag_names(shop: Workshop, embedded_pair: Pair) -> None:
    """A name that is no legal tag fails that image alone, with the mapping's line."""
    a, b = embedded_pair
    names = TagNames.parse("regex:^v,")
    items = await found(shop, task(a.host, (b.host,), rule("app", tags=("v", "v1"), names=names, where="f:3")))
    assert [str(one.targets[0]) for one in items if isinstance(one, Copy)] == [f"{b.host}/app:1"]
    assert failures(items) == [
        (
            f"{a.host}/app:v",
            "not a legal tag: '' — mend 'to-tag', 'tag-prefix' or 'tag-suffix' at f:3: they make this out of 'v'",
        )
    ]


async def test_skip_existing(shop: Workshop, embedded_pair: Pair) -> None:
    """Tags that never change cost one listing of the target, and no look at what they point at."""
    a, b = embedded_pair
    await images.seed(b, "x/app", INDEX, "n-v1", "n-latest")
    immutable, names = TagSet.parse(["regex: v.*"], key="skip-existing"), TagNames.parse("", "n-")
    of = task(a.host, (b.host,), rule("app", "x/app", tags=("latest", "v1", "v2"), immutable=immutable, names=names))
    items = await found(shop, of)
    assert [str(one.source) for one in items if isinstance(one, Copy)] == [f"{a.host}/app:latest", f"{a.host}/app:v2"]
    assert [(str(one.target), one.status, one.reason) for one in items if isinstance(one, Outcome)] == [
        (f"{b.host}/x/app:n-v1", Status.CURRENT, Reason.IMMUTABLE)
    ]
    assert [(one.method, one.path) for one in b.requests if "app" in one.path] == [("GET", "/v2/x/app/tags/list")]
    await found(shop, of)
    assert b.count("GET", "tags/list") == 2  # each run looks anew


async def test_skip_existing_cannot_tell(shop: Workshop, embedded_pair: Pair) -> None:
    """A target that cannot list its tags fails; nothing there is overwritten on a guess."""
    a, b = embedded_pair
    immutable = TagSet.parse(["v1"], key="skip-existing")
    of = task(a.host, (b.host, "127.0.0.1:1"), rule("app", tags=("v1",), immutable=immutable))
    items = await found(shop, of)
    assert [one.to for one in items if isinstance(one, Copy)] == [(0,)]
    assert [one.failure.kind for one in items if isinstance(one, Outcome) and one.failure] == ["unreachable"]


async def test_dated_copies_are_pinned(shop: Workshop, embedded_pair: Pair) -> None:
    """Where the date counts, what was judged is what is compared: the tag is asked for once."""
    a, b = embedded_pair
    await images.seed(a, "app", IMAGE, "v1")
    of = task(a.host, (b.host,), rule("app", tags=("v1",), ages=Ages(older_than=60)), rule("app", tags=("v1",)))
    items = await found(shop, of)
    assert [str(one.source) for one in items if isinstance(one, Copy)] == [
        f"{a.host}/app:v1@{IMAGE.digest}",
        f"{a.host}/app:v1",
    ]
    assert isinstance(items[0], Copy)
    assert (await shop.resolver.decide(of, items[0])).reasons == (Reason.MISSING,)
    assert a.count("HEAD", "/manifests/") == 1


async def test_undated_tags_that_fail(shop: Workshop, embedded_pair: Pair) -> None:
    """A tag whose date cannot be read is a failure of its own."""
    a, b = embedded_pair
    await images.seed(a, "app", IMAGE, "v1")
    with RecordingProxy(a.host, Fault(path="/blobs/", status=404, times=-1)) as proxy:
        items = await found(shop, task(proxy.host, (b.host,), rule("app", ages=Ages(older_than=60))))
    assert [name for name, _ in failures(items)] == [f"{proxy.host}/app:v1"]


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


async def test_quarantine_by_pushes(shop: Workshop, embedded_pair: Pair) -> None:
    """Where the registry tells when tags were pushed, an old image in a fresh tag waits; each run looks anew."""
    async with Harbor() as server:
        server.put("team/app", ("v1", "v2"))
        server.pushed["v2"] = datetime.now(UTC)
        of = task(server.host, (embedded_pair[1].host,), rule("team/app", ages=Ages(older_than=7 * 86400.0)))
        first = await found(shop, of)
        server.pushed["v2"] -= timedelta(days=8)
        second = await found(shop, of)

    tags = [[one.source.tag for one in items if isinstance(one, Copy)] for items in (first, second)]
    assert tags == [["v1"], ["v1", "v2"]]
    assert {one.source.digest for one in second if isinstance(one, Copy)} == {VENDOR_IMAGE.digest}


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
