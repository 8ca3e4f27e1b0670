from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dregsy.config.load import load
from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.model.ages import Ages
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Listing, Once, Task
from dregsy.model.platform import Platform
from dregsy.model.report import Outcome, Reason, Status, Unlisted, Warned
from dregsy.model.tagnames import TagNames
from dregsy.model.tags import TagSet
from dregsy.resolve import Found
from tests.testbed.copying import Workshop, rule, task
from tests.testbed.proxy import Fault, RecordingProxy
from tests.testbed.vendors.harbor import Harbor
from tests.testbed.vendors.server import IMAGE as VENDOR_IMAGE

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


RIGHT = "is left alone: f:3, which has the first right to it, could not be listed — see why f:3 failed"


def flips(proxy: RecordingProxy, b: EmbeddedRegistry, **first: Any) -> Task:
    """Build two mappings for one repository; the second also means a tag that the first does not."""
    return task(
        proxy.host,
        (b.host,),
        rule(first.pop("source", "other/one"), "m/flip", tags=("regex: v1",), where="f:3", **first),
        rule("other/two", "m/flip", tags=("regex: [vw]1",), where="f:7"),
    )


async def tagged(registry: EmbeddedRegistry, repository: str) -> dict[str, Digest]:
    """Read what the tags of a repository are."""
    return dict(registry.store.find(repository).tags)


@pytest.mark.parametrize(("status", "retries"), [(503, 1), (403, 0)])
async def test_a_mapping_in_trouble_loses_no_tag(
    status: int, retries: int, shop: Workshop, embedded_pair: Pair
) -> None:
    """While the first mapping for a tag cannot be listed, the second one does not get it; other tags it does."""
    a, b = embedded_pair
    other = images.image("two")
    await images.seed(a, "other/one", IMAGE, "v1")
    await images.seed(a, "other/two", other, "v1", "w1")
    await images.seed(b, "m/flip", IMAGE, "v1")
    with RecordingProxy(a.host, Fault(path="one/tags/list", status=status, times=-1)) as proxy:
        report = await shop.run(flips(proxy, b), retries=retries)

    failed = {str(one.target or one.copy.source): one.failure for one in report.failures}
    assert failed.keys() == {f"{b.host}/m/flip:v1", f"{proxy.host}/other/one"}
    assert str(failed[f"{b.host}/m/flip:v1"]) == f"{b.host}/m/flip:v1 {RIGHT}"
    assert {"v1": IMAGE.digest, "w1": other.digest} == await tagged(b, "m/flip")


async def test_a_mapping_gets_over_its_trouble(shop: Workshop, embedded_pair: Pair) -> None:
    """Once the first mapping could be listed, its tag is its own as ever, and what it does not have is the second's."""
    a, b = embedded_pair
    other = images.image("two")
    await images.seed(a, "other/one", IMAGE, "x")
    await images.seed(a, "other/two", other, "v1", "w1")
    with RecordingProxy(a.host, Fault(path="one/tags/list", status=503, times=2)) as proxy:
        report = await shop.run(flips(proxy, b), retries=1)

    assert report.ok
    assert dict.fromkeys(("v1", "w1"), other.digest) == await tagged(b, "m/flip")


async def test_repositories_in_trouble_lose_no_tag(shop: Workshop, embedded_pair: Pair) -> None:
    """Where not even the repositories are known, all that the first mapping can mean stays its own."""
    a, b = embedded_pair
    await images.seed(a, "flip", IMAGE, "v1")
    await images.seed(a, "other/two", images.image("two"), "v1", "w1")
    with RecordingProxy(a.host, Fault(path="_catalog", status=503, times=-1)) as proxy:
        items = await found(
            shop,
            replace(
                flips(proxy, b),
                rules=(
                    rule("regex:fl.*", "m", tags=("regex: v1",), where="f:3"),
                    *flips(proxy, b).rules[1:],
                    rule("flip", "m/flip", tags=("v1",), where="f:8"),
                ),
            ),
        )

    assert [str(one.source) for one in items if isinstance(one, Copy)] == [
        f"{proxy.host}/other/two:w1",
        f"{proxy.host}/flip:v1",
    ]
    waiting = [one.outcomes for one in items if isinstance(one, Unlisted)]
    assert [str(one.failure) for one in waiting[1]] == [f"{b.host}/m/flip:v1 {RIGHT}"]


async def test_a_tag_in_trouble_is_not_lost(shop: Workshop, embedded_pair: Pair) -> None:
    """A tag of which the date cannot be read stays the first mapping's, in the round after as well."""
    a, b = embedded_pair
    await images.seed(a, "other/one", IMAGE, "v1")
    await images.seed(a, "other/two", images.image("two"), "v1")
    with RecordingProxy(a.host, Fault(path="one/blobs/", status=503, times=-1)) as proxy:
        report = await shop.run(flips(proxy, b, ages=Ages(older_than=60)), retries=1)

    assert {str(one.target or one.copy.source) for one in report.failures} == {
        f"{b.host}/m/flip:v1",
        f"{proxy.host}/other/one:v1",
    }
    assert [one for one in b.requests if one.method == "PUT"] == []


async def test_one_mapping_gives_one_tag_twice(shop: Workshop, embedded_pair: Pair) -> None:
    """A mapping that gives two images the same name does not copy one over the other."""
    a, b = embedded_pair
    names = TagNames.parse("regex:-.*,")
    items = await found(shop, task(a.host, (b.host,), rule("app", tags=("1-a", "1-b"), names=names, where="f:3")))
    assert [str(one.source) for one in items if isinstance(one, Copy)] == [f"{a.host}/app:1-a"]
    assert [text.rpartition(" at ")[2] for _, text in failures(items)] == ["f:3"]


async def test_aliased_mappings_are_told_apart_by_their_tasks(
    shop: Workshop, embedded_pair: Pair, tmp_path: Path
) -> None:
    """Where one place in the file is a mapping of two tasks, the error names both."""
    a, b = embedded_pair
    file = tmp_path / "sync.yaml"
    target = f"target: {{registry: '{b.host}'}}"
    file.write_text(
        "tasks:\n"
        f"  - name: one\n    source: {{registry: '{a.host}/one'}}\n    {target}\n"
        "    mappings: &both\n      - {from: app, tags: [v1]}\n"
        f"  - name: two\n    source: {{registry: '{a.host}/two'}}\n    {target}\n    mappings: *both\n"
    )
    one, two = load(str(file), environ={}).plan.tasks

    assert failures(await found(shop, one)) == []
    ((_, text),) = failures(await found(shop, two))
    assert f"already, by {file}:6 in task 'one' — " in text
    assert text.endswith(f" at {file}:6 in task 'one' and {file}:6 in task 'two'")


async def test_one_target_in_two_spellings(shop: Workshop, embedded_pair: Pair) -> None:
    """A registry's name in capitals is the same registry: its tags are told apart all the same."""
    a, b = embedded_pair
    port = b.host.rpartition(":")[2]
    one = task(a.host, (f"localhost:{port}",), rule("one", "x", tags=("v1",), where="f:3"))
    other = replace(task(a.host, (f"LocalHost:{port}",), rule("two", "x", tags=("v1",), where="f:7")), name="other")

    assert [type(item) for item in await found(shop, one)] == [Copy]
    assert [name for name, _ in failures(await found(shop, other))] == [f"LocalHost:{port}/x:v1"]


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


async def test_what_comes_up_late_is_not_copied(shop: Workshop, embedded_pair: Pair) -> None:
    """A tag that is pushed after ages were judged is not let through; one that is moved then is copied as judged."""
    a, b = embedded_pair
    await images.seed(a, "app", IMAGE, "v1")
    of = task(a.host, (b.host,), rule("app", tags=("v1", "v2"), ages=Ages(older_than=60)))
    items = shop.resolver.copies(of)
    copies = []
    async for item in items:
        await images.seed(a, "app", images.image("fresh", created=datetime.now(UTC).isoformat()), "v1", "v2")
        copies += [item] if isinstance(item, Copy) else []
    (decision,) = [await shop.resolver.decide(of, copy) for copy in copies]

    assert str(decision.copy.source) == f"{a.host}/app:v1@{IMAGE.digest}"


async def test_undated_tags_that_fail(shop: Workshop, embedded_pair: Pair) -> None:
    """A tag whose date cannot be read is a failure of its own."""
    a, b = embedded_pair
    await images.seed(a, "app", IMAGE, "v1")
    with RecordingProxy(a.host, Fault(path="/blobs/", status=404, times=-1)) as proxy:
        items = await found(shop, task(proxy.host, (b.host,), rule("app", ages=Ages(older_than=60))))
    assert [name for name, _ in failures(items)] == [f"{proxy.host}/app:v1"]


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
