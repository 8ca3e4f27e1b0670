"""A plan says what will be copied, and what that takes; applying it does just that, or nothing."""

import asyncio
import json
import re
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.model.digest import Digest
from dregsy.model.platform import Platform
from tests.testbed.command import Done, Dregsy, mirror
from tests.testbed.copying import retopped
from tests.testbed.proxy import Fault, Gate, RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo

PAGE = Path(__file__).parents[2] / "docs/plan.md"
Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]
Run = Callable[..., Awaitable[Done]]
ARM = Platform.parse("linux/arm64")
ONE, TWO, THREE = images.image("1"), images.image("2", platform=ARM, layers=3), images.image("3", docker=True)
BOTH = images.index(ONE, TWO, attested=True)
NEXT = images.index(ONE, images.image("4", platform=ARM))


@pytest.fixture
def dregsy(tmp_path: Path) -> Dregsy:
    """The command."""
    return Dregsy(tmp_path / "user")


@pytest.fixture
def run(dregsy: Dregsy) -> Run:
    """The command, for tests whose registries serve in this process."""

    async def run(*arguments: str) -> Done:
        return await asyncio.to_thread(dregsy.run, *arguments)

    return run


def plan_of(dregsy: Dregsy, name: str = "plan.json") -> dict[str, Any]:
    """Read a plan file."""
    plan: dict[str, Any] = json.loads((dregsy.folder / name).read_text())
    return plan


def change(dregsy: Dregsy, edit: Callable[[dict[str, Any]], object]) -> None:
    """Write a plan file anew, other than it was made."""
    plan = plan_of(dregsy)
    edit(plan)
    (dregsy.folder / "plan.json").write_text(json.dumps(plan))


def read(registry: EmbeddedRegistry) -> int:
    """How many bytes of blobs a registry gave."""
    return sum(one.bytes_out for one in registry.requests if one.method == "GET" and "/blobs/" in one.path)


def written(registry: EmbeddedRegistry) -> int:
    """How many bytes of blobs a registry took."""
    return sum(one.bytes_in for one in registry.requests if one.method == "PUT" and "/blobs/" in one.path)


def untouched(registry: EmbeddedRegistry) -> bool:
    """Whether nothing was written to a registry."""
    return {one.method for one in registry.requests} <= {"GET", "HEAD"}


async def stock(source: EmbeddedRegistry, target: EmbeddedRegistry) -> None:
    """Fill a source with images that share much, and a target with some of that, in other places as well."""
    await images.seed(source, "app", BOTH, "v1", "v2")
    await images.seed(source, "app", NEXT, "v3")
    await images.seed(source, "app", THREE, "v4")
    await images.seed(source, "lib", TWO, "latest")
    await images.seed(source, "lib", retopped(THREE, annotations={"a": "b"}), "other")
    await images.seed(target, "m/app", BOTH, "v1")
    await images.seed(target, "m/app", ONE, "v3")
    await images.seed(target, "m/zoo", TWO)
    await images.seed(source, "zoo", TWO, "zebra")


MAPPINGS = (
    {"from": "app", "to": "m/app"},
    {"from": "lib", "to": "m/lib"},
    {"from": "zoo", "to": "m/zoo"},
    {"from": "app", "to": "m/arm", "platform": "linux/arm64", "tags": ["v3"]},
    {"from": "app", "to": "m/some", "platforms": ["linux/arm64"], "tags": ["v1"]},
)


async def test_it_takes_what_was_planned(run: Run, dregsy: Dregsy, embedded_pair: Pair) -> None:
    """Apply moves exactly the bytes that the plan says, with no more requests and pulls than it says, and all is there.

    What the target has, in whatever repository, is not sent; what several images share is sent once.
    """
    source, target = embedded_pair
    await stock(source, target)
    file = dregsy.config(mirror(source.host, target.host, *MAPPINGS))

    planned = await run("plan", "-config", file, "-o", "plan.json")
    assert (planned.code, planned.err, untouched(target), untouched(source)) == (0, "", True, True)
    source.log.clear()
    target.log.clear()
    applied = await run("apply", "plan.json")

    plan = plan_of(dregsy)
    took = {one["host"]: one for one in plan["registries"]}
    assert (applied.code, plan["totals"]["missing"], plan["totals"]["changed"], plan["totals"]["current"]) == (
        0,
        7,
        1,
        1,
    )
    assert (took[source.host]["bytes_read"], took[target.host]["bytes_written"]) == (read(source), written(target))
    assert read(source) == written(target) > 0
    assert source.count("GET", "/manifests/") <= took[source.host]["pulls"]
    assert len(source.requests) <= took[source.host]["requests"]
    blobs = sum(one["blobs_moved"] + one["blobs_skipped"] for copy in copies(plan) for one in copy["targets"])
    assert took[target.host]["requests"] - 2 * blobs <= len(target.requests) <= took[target.host]["requests"]
    assert (await run("plan", "-config", file, "--detailed-exitcode")).code == 0


def copies(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all copies of a plan."""
    return [copy for task in plan["tasks"] for copy in task["copies"]]


async def test_one_image(run: Run, dregsy: Dregsy, embedded_pair: Pair) -> None:
    """For a single image of its own even the requests are exactly those that were planned, on both sides."""
    source, target = embedded_pair
    await images.seed(source, "app", images.image("x", layers=0), "v1")
    await run("plan", "-config", dregsy.config(mirror(source.host, target.host, {"from": "app"})), "-o", "plan.json")
    source.log.clear()
    target.log.clear()

    assert (await run("apply", "plan.json")).code == 0

    took = {one["host"]: one for one in plan_of(dregsy)["registries"]}
    assert (took[source.host]["requests"], took[target.host]["requests"]) == (
        len(source.requests),
        len(target.requests),
    )
    assert took[source.host]["pulls"] == source.count("GET", "/manifests/") == 1


async def test_several_targets(run: Run, dregsy: Dregsy, embedded_pair: Pair) -> None:
    """What goes to several targets is read once; each gets what it lacks."""
    source, target = embedded_pair
    await stock(source, target)
    async with EmbeddedRegistry() as other:
        document = mirror(source.host, "", *MAPPINGS)
        del document["tasks"][0]["target"]
        document["tasks"][0]["targets"] = [{"registry": target.host}, {"registry": other.host}]
        await images.seed(other, "m/lib", THREE, "other")
        await run("plan", "-config", dregsy.config(document), "-o", "plan.json")
        for registry in (source, target, other):
            registry.log.clear()

        assert (await run("apply", "plan.json")).code == 0

        took = {one["host"]: one for one in plan_of(dregsy)["registries"]}
        assert [took[one.host]["bytes_written"] for one in (target, other)] == [written(target), written(other)]
        assert 0 < written(target) < written(other)
        assert (await run("plan", "-config", "sync.yaml", "--detailed-exitcode")).code == 0


async def test_moved_source(run: Run, dregsy: Dregsy, embedded_pair: Pair) -> None:
    """A tag that points elsewhere than when it was planned keeps everything from being written, and is told."""
    source, target = embedded_pair
    await images.seed(source, "app", ONE, "v1", "v2")
    file = dregsy.config(mirror(source.host, target.host, {"from": "app"}))
    await run("plan", "-config", file, "-o", "plan.json")
    await images.seed(source, "app", TWO, "v2")

    refused = await run("apply", "plan.json", "--json")

    (task,) = json.loads(refused.out)["tasks"]
    (image,) = task["images"]
    assert (refused.code, task["copied"], image["kind"], image["target"]) == (1, 0, "outdated", f"{target.host}/app:v2")
    assert f"from {ONE.digest} to {TWO.digest}" in image["error"]
    assert image["hint"] == "make a new plan"
    assert untouched(target)


async def test_deleted_source(run: Run, dregsy: Dregsy, embedded_pair: Pair) -> None:
    """So does an image that is no longer there."""
    source, target = embedded_pair
    await images.seed(source, "app", ONE, "v1", "v2")
    await run("plan", "-config", dregsy.config(mirror(source.host, target.host, {"from": "app"})), "-o", "plan.json")
    source.store.find("app").delete_manifest("v2")

    refused = await run("apply", "plan.json")

    assert (refused.code, f"{source.host}/app:v2 is gone" in refused.out, untouched(target)) == (1, True, True)


@pytest.mark.parametrize("before", ["missing", "changed"])
async def test_moved_target(before: str, run: Run, dregsy: Dregsy, embedded_pair: Pair) -> None:
    """A target's tag that somebody else wrote meanwhile is left alone, and so is all else; who wants it is told."""
    source, target = embedded_pair
    await images.seed(source, "app", ONE, "v1", "v2")
    if before == "changed":
        await images.seed(target, "app", TWO, "v2")
    await run("plan", "-config", dregsy.config(mirror(source.host, target.host, {"from": "app"})), "-o", "plan.json")
    await images.seed(target, "app", THREE, "v2")

    refused = await run("apply", "plan.json")

    was = "nothing" if before == "missing" else TWO.digest
    assert refused.code == 1
    assert f"somebody else wrote {target.host}/app:v2" in refused.out
    assert f"it had {was}, and has {THREE.digest}" in refused.out
    assert untouched(target)


async def test_done_already(run: Run, dregsy: Dregsy, embedded_pair: Pair) -> None:
    """A target that has by now what it is to have is fine: a plan may be applied again."""
    source, target = embedded_pair
    await images.seed(source, "app", ONE, "v1")
    await run("plan", "-config", dregsy.config(mirror(source.host, target.host, {"from": "app"})), "-o", "plan.json")
    assert (await run("apply", "plan.json")).code == 0
    target.log.clear()

    again = await run("apply", "plan.json")

    assert (again.code, "0 copied, 1 up to date" in again.out, untouched(target)) == (0, True, True)


async def test_changed_config(run: Run, dregsy: Dregsy, embedded_pair: Pair) -> None:
    """With another config than it was made from a plan is not applied, wherever that one is; no registry is asked."""
    source, target = embedded_pair
    await images.seed(source, "app", ONE, "v1")
    file = dregsy.config(mirror(source.host, target.host, {"from": "app"}))
    dregsy.write((dregsy.folder / file).read_text(), "same.yaml")
    await run("plan", "-config", file, "-o", "plan.json")
    dregsy.config(mirror(source.host, target.host, {"from": "app", "to": "other"}))
    target.log.clear()

    refused = await run("apply", "plan.json")
    assert (refused.code, "sync.yaml is not what the plan was made from" in refused.err) == (1, True)
    assert "make a new plan" in refused.err
    assert target.requests == []
    assert (await run("apply", "plan.json", "-config", "same.yaml")).code == 0


def elsewhere(plan: dict[str, Any]) -> None:
    """Write to a repository that no mapping names."""
    target = plan["tasks"][0]["copies"][0]["targets"][0]
    target["target"] = target["target"].replace("/app:", "/evil:")


def other_image(plan: dict[str, Any]) -> None:
    """Have another image of the repository called so."""
    plan["tasks"][0]["copies"][0]["digest"] = str(TWO.digest)


@pytest.mark.parametrize("edit", [elsewhere, other_image])
async def test_tampered_plan(
    edit: Callable[[dict[str, Any]], None], run: Run, dregsy: Dregsy, embedded_pair: Pair
) -> None:
    """Whatever somebody makes of a plan: what the config does not mean is not copied, and the error says what it is."""
    source, target = embedded_pair
    await images.seed(source, "app", ONE, "v1")
    await images.seed(source, "app", TWO, "dev")
    file = dregsy.config(mirror(source.host, target.host, {"from": "app", "tags": ["regex:v.*"]}))
    await run("plan", "-config", file, "-o", "plan.json")
    change(dregsy, edit)

    refused = await run("apply", "plan.json")

    assert (refused.code, "make a new plan" in refused.said, "Traceback" in refused.said) == (1, True, False)
    assert untouched(target)


async def test_lying_mounts(run: Run, dregsy: Dregsy, embedded_pair: Pair) -> None:
    """A place from where a blob could be mounted is looked at before it is believed: a wrong one changes nothing."""
    source, target = embedded_pair
    await images.seed(source, "app", ONE, "v1")
    await run("plan", "-config", dregsy.config(mirror(source.host, target.host, {"from": "app"})), "-o", "plan.json")
    blob = str(ONE.top.blobs[-1].digest)
    change(
        dregsy,
        lambda plan: plan["mounts"].extend(
            {"host": target.host, "repository": name, "blob": blob} for name in ("app", "nowhere")
        ),
    )

    assert (await run("apply", "plan.json")).code == 0

    assert set(target.store.find("app").blobs) == set(ONE.blobs)


async def test_nothing_to_do(run: Run, dregsy: Dregsy, embedded_pair: Pair) -> None:
    """``--detailed-exitcode`` tells work (2) from none (0) and from errors (1); without it work is no error."""
    source, target = embedded_pair
    await images.seed(source, "app", ONE, "v1")
    await images.seed(source, "app", TWO, "v2")
    file = dregsy.config(mirror(source.host, target.host, {"from": "app"}))
    bad = dregsy.config(mirror(source.host, target.host, {"from": "app", "tags": ["v1", "v9"]}), "bad.yaml")
    commands = (("plan",), ("check", "--diff"))

    before = [(await run(*words, "-config", file, "--detailed-exitcode")).code for words in commands]
    plainly = [(await run(*words, "-config", file)).code for words in commands]
    failing = [(await run(*words, "-config", bad, "--detailed-exitcode")).code for words in commands]
    await run("-config", file)
    after = [(await run(*words, "-config", file, "--detailed-exitcode")).code for words in commands]

    assert (before, plainly, failing, after) == ([2, 2], [0, 0], [1, 1], [0, 0])
    assert (
        await run("plan", "-config", file, "-o", "plan.json")
    ).out == "nothing to copy: 0 missing, 0 changed, 2 current\n"
    assert (await run("apply", "plan.json")).out == "the plan has nothing to copy\n"


async def test_same_again(run: Run, dregsy: Dregsy, embedded_pair: Pair) -> None:
    """The same state of things gives the same plan, but for the time; it names its config and holds no secret of it."""
    source, target = embedded_pair
    await stock(source, target)
    document = mirror(source.host, target.host, *MAPPINGS)
    document["tasks"][0]["target"]["auth"] = "dXNlcjpodW50ZXIy"  # user:hunter2
    file = dregsy.config(document)
    digest = Digest.of((dregsy.folder / file).read_bytes())

    for name in ("one.json", "two.json"):
        assert (await run("plan", "-config", file, "-o", name)).code == 0

    one, two = plan_of(dregsy, "one.json"), plan_of(dregsy, "two.json")
    assert {**one, "created": ""} == {**two, "created": ""}
    assert list(one)[:4] == ["version", "dregsy", "created", "config"]
    assert one["config"] == {"file": file, "digest": str(digest)}
    assert "hunter2" not in (dregsy.folder / "one.json").read_text()
    assert "dXNlcjpodW50ZXIy" not in (dregsy.folder / "one.json").read_text()


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_signals(
    command: str, dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A signal while registries are looked at ends it: no plan is written, and nothing is copied."""
    push(registry_a.host, repo, images.image(repo), "v1")
    with RecordingProxy(registry_a.host) as source, RecordingProxy(registry_b.host) as target:
        file = dregsy.config(mirror(source.host, target.host, {"from": repo}))
        arguments = {"plan": ("-config", file, "-o", "new.json"), "apply": ("plan.json",)}
        assert dregsy.run("plan", "-config", file, "-o", "plan.json").code == 0
        gate = Gate()
        source.faults.append(Fault(path="/manifests/", gate=gate))
        with dregsy.start(command, *arguments[command]) as process:
            gate.wait()
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)

        assert (code, sorted(path.name for path in dregsy.folder.glob("*.json*"))) == (1, ["plan.json"])
        said = (dregsy.folder / "err").read_text() + (dregsy.folder / "out").read_text()
        assert ("cut short: there is no plan" if command == "plan" else "cut short: nothing is copied") in said
        assert {one.method for one in target.seen} <= {"GET", "HEAD"}


async def test_the_page(run: Run, dregsy: Dregsy, embedded_pair: Pair) -> None:
    """The example of docs/plan.md comes out as it stands there."""
    source, target = embedded_pair
    old, new = (
        images.index(*(images.image(f"app/{tag}/{one}", platform=one, size=400_000) for one in (images.AMD64, ARM)))
        for tag in ("v1", "v2")
    )
    await images.seed(source, "app", old, "v1")
    await images.seed(source, "app", new, "v2")
    await images.seed(target, "app", old, "v1")
    page = PAGE.read_text().replace("127.0.0.1:5000", source.host).replace("127.0.0.1:5001", target.host)
    config, planned, applied = (
        re.search(expression, page, re.DOTALL)
        for expression in (
            r"```yaml\n(.*?)```",
            r"```text\n\$ dregsy plan.*?\n(.*?)```",
            r"\$ dregsy apply.*?\n(.*?)```",
        )
    )
    assert config is not None
    assert planned is not None
    assert applied is not None

    plan = await run("plan", "-config", dregsy.write(config[1]), "-o", "plan.json")
    done = await run("apply", "plan.json")

    assert words(planned[1]) == words(plan.out)
    expected, copied = (sorted(re.findall(r"copied: (\S+ -> \S+)", text)) for text in (applied[1], done.out))
    assert expected == copied
    assert done.code == 0


def words(text: str) -> list[str]:
    """Return the words of a text; digests differ with the library that packs layers."""
    return re.sub(r"sha256:\w+", "DIGEST", text).split()


def test_real_registries(
    dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """With docker-registry on both sides: the bytes and requests that were planned, and the same image."""
    both = images.index(images.image(f"{repo} 1"), images.image(f"{repo} 2", platform=ARM), attested=True)
    push(registry_a.host, repo, both, "v1", "v2")
    push(registry_b.host, f"m/{repo}", images.image(f"{repo} 1"), "v0")
    with RecordingProxy(registry_a.host) as source, RecordingProxy(registry_b.host) as target:
        config = mirror(source.host, target.host, {"from": repo, "to": f"m/{repo}"}, {"from": repo, "to": f"n/{repo}"})
        assert dregsy.run("plan", "-config", dregsy.config(config), "-o", "plan.json").code == 0
        source.seen.clear()
        target.seen.clear()

        assert dregsy.run("apply", "plan.json").code == 0

        totals = plan_of(dregsy)["totals"]
        sent = sum(one.bytes_up for one in target.seen if one.method == "PUT" and "/blobs/" in one.path)
        given = sum(one.bytes_down for one in source.seen if one.method == "GET" and "/blobs/" in one.path)
        assert (totals["bytes_read"], totals["bytes_written"]) == (given, sent)
        assert len(source.seen) + len(target.seen) <= totals["requests"]
        assert source.count("GET", "/manifests/") <= totals["pulls"]
    for name in (f"m/{repo}:v1", f"n/{repo}:v2"):
        assert skopeo.same_image(f"{registry_a.host}/{repo}:v1", f"{registry_b.host}/{name}")


def test_other_relays(dregsy: Dregsy, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str) -> None:
    """Plans are good for skopeo as well; what the docker relay will write nobody knows before, and it says so."""
    push(registry_a.host, repo, images.image(repo), "v1")
    config = mirror(registry_a.host, registry_b.host, {"from": repo})
    file = dregsy.config({**config, "relay": "skopeo"})
    docker = dregsy.config({**config, "relay": "docker"}, "docker.yaml")

    planned = dregsy.run("plan", "-config", file, "-o", "plan.json")
    applied = dregsy.run("apply", "plan.json")
    refused = dregsy.run("plan", "-config", docker)

    assert (planned.code, "relay skopeo may need more" in planned.out) == (0, True)
    assert (applied.code, refused.code) == (0, 1)
    assert "relay 'docker' packs images anew" in refused.err
