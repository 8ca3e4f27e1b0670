"""What every relay promises: one suite, run on each of the house's relays, and on anybody's with ``--relay NAME``.

All goes the way it goes in the program: the text of a config, the plan, the orchestrator, the report.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from dregsy.config.load import load as load_config
from dregsy.embedded import images
from dregsy.embedded.images import Image
from dregsy.errors import ConfigError, NotFound
from dregsy.executor import LocalExecutor
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import Manifest
from dregsy.model.plan import Copy, Plan, RelayChoice, Task
from dregsy.model.platform import Platform
from dregsy.model.ref import Ref
from dregsy.model.report import CopyRetried, Moved, Outcome, Reason, Report, Status
from dregsy.relay import Feature, load
from tests.testbed.clients import given, registries
from tests.testbed.copying import Workshop, retopped
from tests.testbed.faults import Fault, Gate
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import basic, push
from tests.testbed.servers import DockerRegistry

HOUSE = ("native", "skopeo", "docker", "podman")
NOWHERE = "127.0.0.1:1"
ARM = Platform("linux", "arm64")
S390X = Platform("linux", "s390x")
USERS = {"alice": "alice's long: password"}
AUTH = "eyJ1c2VybmFtZSI6ICJhbGljZSIsICJwYXNzd29yZCI6ICJhbGljZSdzIGxvbmc6IHBhc3N3b3JkIn0="
"""Alice's login as a config has it: base64 of JSON."""
_HALF_WRITTEN = ("blob unknown to registry", "500 (Internal Server Error)")
STUMBLES = {
    "native": (),
    "docker": (),
    "podman": ("layer not known", *_HALF_WRITTEN),
}
"""Which relay stumbles over what; all others do over what docker-registry shows half-written.

Copies of the native relay and of dockerd never meet, since these bring each blob once.
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on the relay that was asked for, else on all of the house."""
    if "subject" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--relay")
        metafunc.parametrize("subject", [asked] if asked else HOUSE, indirect=True)


@dataclass(frozen=True, slots=True)
class Subject:
    """The relay under test: its name, its section of the config, and the file that the config is written to.

    ``stumbles`` are the errors that it may try again where the same content arrives twice at once.
    """

    relay: str
    settings: Mapping[str, Any]
    file: Path
    stumbles: tuple[str, ...]

    @property
    def features(self) -> frozenset[Feature]:
        """What it says that it can do."""
        return load(self.relay).features

    @property
    def is_exact(self) -> bool:
        """Whether it copies byte for byte; else what counts is that the image is the same, which its config tells."""
        return Feature.ALL_PLATFORMS in self.features

    def choice(self) -> RelayChoice:
        """Return the relay as a plan names it."""
        return self._plan([]).relay

    def task(self, source: str, targets: str | list[str], *mappings: Mapping[str, Any], auth: str = "none") -> Task:
        """Return the task of a config between registries; ``auth`` is for all of them."""
        places = [{"registry": host, "auth": auth} for host in ([targets] if isinstance(targets, str) else targets)]
        task = {"name": "contract", "source": {"registry": source, "auth": auth}, "targets": places}
        return self._plan([{**task, "mappings": list(mappings)}]).tasks[0]

    def _plan(self, tasks: list[dict[str, Any]]) -> Plan:
        document = {"relay": self.relay, self.relay: dict(self.settings), "tasks": tasks}
        self.file.write_text(json.dumps(document))
        return load_config(str(self.file), environ={}, strict=True).plan

    def identity(self, manifest: Manifest) -> Digest:
        """Return what is to be the same at source and target."""
        if self.is_exact:
            return manifest.digest
        assert manifest.config is not None
        return manifest.config.digest

    async def at(self, host: str, repository: str) -> dict[str, Digest]:
        """Return what a repository's tags stand for."""
        async with registries() as clients:
            registry = clients.at(Endpoint(host))
            try:
                tags = await registry.tags(repository)
            except NotFound:
                return {}
            return {tag: self.identity(await registry.get_manifest(repository, tag)) for tag in tags}


@pytest.fixture
def subject(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    """The relay under test, which remembers nothing of other tests."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))  # skopeo's memory of blobs …
    monkeypatch.setenv("_CONTAINERS_ROOTLESS_UID", "1000")  # … also when it runs as root
    file = tmp_path / "contract.yaml"
    stumbles = STUMBLES.get(request.param, _HALF_WRITTEN)
    if request.param not in {"docker", "podman"} or request.config.getoption("--relay"):
        yield Subject(request.param, json.loads(request.config.getoption("--relay-settings")), file, stumbles)
        return
    daemon = request.getfixturevalue("dockerd" if request.param == "docker" else "podman")
    with closing(daemon.client()) as client:
        for image in client.images(quiet=True, all=True):
            client.remove_image(image, force=True)
    yield Subject("docker", {"dockerhost": daemon.host}, file, stumbles)


@pytest.fixture
async def shop(subject: Subject, tmp_path: Path) -> AsyncIterator[Workshop]:
    """Everything that the relay works with."""
    async with Workshop(tmp_path, choice=subject.choice()) as workshop:
        yield workshop


async def delivered(subject: Subject, report: Report) -> list[Outcome]:
    """Return the outcomes, of which none may be a failure, without what differs by nature: times, counts, lines.

    A digest that was reported is checked against the one that the target has.
    """
    assert [one for one in failures(report.outcomes) if one] == []
    plain = []
    async with registries() as clients:
        for one in report.outcomes:
            moved = None
            if one.moved is not None and one.target is not None:
                ref = one.target
                found = await clients.at(Endpoint(ref.host)).head_manifest(
                    ref.repository, ref.tag or str(one.moved.digest)
                )
                assert found is not None
                assert found.digest == one.moved.digest
                moved = Moved(found.digest if subject.is_exact else Digest.of(b"its own"))
            plain.append(replace(one, copy=replace(one.copy, where=""), seconds=0.0, moved=moved))
    return plain


def copied(subject: Subject, copy: Copy, reason: Reason = Reason.MISSING) -> list[Outcome]:
    """Return the outcomes of a copy that went well, without what differs by nature."""
    assert copy.source.digest is not None
    moved = Moved(copy.source.digest if subject.is_exact else Digest.of(b"its own"))
    return [Outcome(copy, target, Status.COPIED, moved=moved, reason=reason) for target in copy.targets]


def order(host: str, repository: str, tag: str | None, image: Image, *targets: Ref) -> Copy:
    """Return the copy of an image of the repository to targets."""
    return Copy("contract", Ref(host, repository, tag, image.digest), targets, tuple(range(len(targets))))


@dataclass(frozen=True, slots=True)
class Failed:
    """What programs tell failures apart by; the text differs from relay to relay, and shows when a test fails."""

    kind: str
    retryable: bool
    text: str = field(default="", compare=False)


def failures(outcomes: tuple[Outcome, ...]) -> list[Failed | None]:
    """Return for each outcome how it failed; None where it went well."""
    found = [one.failure for one in outcomes]
    return [Failed(one.kind, one.retryable, str(one)) if one else None for one in found]


def multi(text: str, *, docker: bool = False) -> Image:
    """Make an index of two platforms; an OCI index has attestations, too."""
    members = images.image(text, docker=docker), images.image(f"{text}/arm", platform=ARM, docker=docker)
    return images.index(*members, docker=docker, attested=not docker)


def here(index: Image) -> Image:
    """Return the image of an index that is for this machine."""
    return Image(index.blobs, index.manifests[:1])


def children() -> set[int]:
    """Return the processes that this one has started."""
    return {one.pid for one in psutil.Process().children()}


@pytest.mark.parametrize("docker", [False, True])
async def test_a_tag(
    subject: Subject, shop: Workshop, docker: bool, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A tag is copied when it is missing, and again when it has changed; the report tells which image is there."""
    a, b = registry_a.host, registry_b.host
    task = subject.task(a, b, {"from": repo, "to": f"{repo}/copy", "tags": ["v1"]})
    for text, reason in (("old", Reason.MISSING), ("new", Reason.CHANGED)):
        image = images.image(f"{repo}/{text}", docker=docker)
        push(a, repo, image, "v1")
        report = await shop.run(task)

        copy = order(a, repo, "v1", image, Ref(b, f"{repo}/copy", "v1"))
        assert copied(subject, copy, reason) == await delivered(subject, report)
        assert {"v1": subject.identity(image.top)} == await subject.at(b, f"{repo}/copy")
    assert list(shop.scratch.iterdir()) == []


async def test_what_is_there_is_left_alone(
    subject: Subject, shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """Whatever brought an image to a target: a run that finds it there writes nothing."""
    image = images.image(repo)
    for registry in (registry_a, registry_b):
        push(registry.host, repo, image, "v1")
    with RecordingProxy(registry_b.host) as target:
        report = await shop.run(subject.task(registry_a.host, target.host, {"from": repo, "to": repo}))

        assert {one.method for one in target.seen} <= {"GET", "HEAD"}
    assert [(one.status, one.reason) for one in report.outcomes] == [(Status.CURRENT, Reason.CURRENT)]


async def test_a_second_run(
    subject: Subject, shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A run after another finds everything as the first one left it: the same images, whoever writes them again."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    task = subject.task(registry_a.host, registry_b.host, {"from": repo, "to": repo})

    first, second = await shop.run(task), await shop.run(task)

    assert first.counts == {Status.COPIED: 1}
    assert second.ok
    assert second.counts == {Status.CURRENT: 1}
    assert {"v1": subject.identity(image.top)} == await subject.at(registry_b.host, repo)


@pytest.mark.parametrize("docker", [False, True])
async def test_an_index(
    subject: Subject, shop: Workshop, docker: bool, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """All of an index arrives, attestations too; a relay that cannot do this brings the image for this machine."""
    index = multi(repo, docker=docker)
    push(registry_a.host, repo, index, "v1")
    wanted = index if subject.is_exact else here(index)

    report = await shop.run(subject.task(registry_a.host, registry_b.host, {"from": repo, "to": repo}))

    copy = order(registry_a.host, repo, "v1", index, Ref(registry_b.host, repo, "v1"))
    assert copied(subject, copy) == await delivered(subject, report)
    assert {"v1": subject.identity(wanted.top)} == await subject.at(registry_b.host, repo)
    async with registries() as clients:
        target = clients.at(Endpoint(registry_b.host))
        for manifest in wanted.manifests if subject.is_exact else ():
            assert manifest.raw == (await target.get_manifest(repo, str(manifest.digest))).raw
            assert [True] * len(manifest.blobs) == [await target.has_blob(repo, one.digest) for one in manifest.blobs]


WISHES: dict[Feature, dict[str, Any]] = {
    Feature.ALL_PLATFORMS: {"platform": "all"},
    Feature.ONE_PLATFORM: {"platform": "linux/arm64"},
    Feature.SOME_PLATFORMS: {"platforms": ["linux/amd64", "linux/arm64"]},
}


@pytest.mark.parametrize("feature", Feature)
async def test_a_feature_is_there_or_refused(
    subject: Subject,
    shop: Workshop,
    feature: Feature,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
    repo: str,
) -> None:
    """What a mapping asks for is done, or told by the config's line before anything begins; never something else."""
    members = [images.image(f"{repo}/{one}", platform=one) for one in (images.AMD64, ARM, S390X)]
    push(registry_a.host, repo, images.index(*members), "v1")
    mapping = {"from": repo, "to": repo, **WISHES[feature]}
    if feature not in subject.features:
        with pytest.raises(ConfigError, match=f"relay '{subject.relay}' does not support"):
            subject.task(registry_a.host, registry_b.host, mapping)
        return

    await shop.run(subject.task(registry_a.host, registry_b.host, mapping))

    async with registries() as clients:
        found = await clients.at(Endpoint(registry_b.host)).get_manifest(repo, "v1")
    if feature is Feature.ONE_PLATFORM:
        assert subject.identity(found) == subject.identity(members[1].top)
    else:
        count = 2 if feature is Feature.SOME_PLATFORMS else 3
        assert [one.digest for one in found.children] == [one.digest for one in members[:count]]


@pytest.mark.parametrize("tag", [None, "v7"])
async def test_a_digest(
    subject: Subject,
    shop: Workshop,
    tag: str | None,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
    repo: str,
) -> None:
    """An image that is asked for by its digest gets the tag that is written beside it.

    Without one it gets none; a relay that does not copy byte for byte makes one of the digest.
    """
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    wish = f"{tag}@{image.digest}" if tag else str(image.digest)

    report = await shop.run(subject.task(registry_a.host, registry_b.host, {"from": repo, "to": repo, "tags": [wish]}))

    made = None if subject.is_exact else f"dregsy-{image.digest.hex}"
    name = tag or made
    assert [one.status for one in report.outcomes] == [Status.COPIED]
    assert ({name: subject.identity(image.top)} if name else {}) == await subject.at(registry_b.host, repo)
    async with registries() as clients:
        moved = report.outcomes[0].moved
        assert moved is not None
        assert await clients.at(Endpoint(registry_b.host)).head_manifest(repo, str(moved.digest)) is not None


async def test_two_targets(
    subject: Subject, shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """Each target has an outcome of its own, and all have the image."""
    a, b = registry_a.host, registry_b.host
    image = images.image(repo)
    push(a, repo, image, "v1")
    report = await shop.run(subject.task(a, [b, a], {"from": repo, "to": f"{repo}/copy"}))

    copy = order(a, repo, "v1", image, Ref(b, f"{repo}/copy", "v1"), Ref(a, f"{repo}/copy", "v1"))
    assert copied(subject, copy) == await delivered(subject, report)
    assert [{"v1": subject.identity(image.top)}] * 2 == [await subject.at(host, f"{repo}/copy") for host in (a, b)]


async def test_many_targets(
    subject: Subject, shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """Many targets at once do not get into each other's way."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    places = [f"{registry_b.host}/{number}" for number in range(8)]

    report = await shop.run(subject.task(registry_a.host, places, {"from": repo, "to": repo}))

    assert failures(report.outcomes) == [None] * 8
    there = [await subject.at(registry_b.host, f"{number}/{repo}") for number in range(8)]
    assert [{"v1": subject.identity(image.top)}] * 8 == there


async def test_many_at_once(
    subject: Subject, shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """Copies at the same time, of images that share layers and of the same image, do not disturb each other."""
    wanted = {}
    for number in range(8):
        image = images.image(f"{repo}/{number // 2}")
        push(registry_a.host, repo, image, f"v{number}")
        wanted[f"v{number}"] = subject.identity(image.top)
    task = subject.task(registry_a.host, registry_b.host, {"from": repo, "to": repo})

    report = await shop.run(task, parallel=4, retries=2)

    assert failures(report.outcomes) == [None] * 8
    again = [str(one.outcome.failure) for one in shop.events if isinstance(one, CopyRetried)]
    assert [one for one in again if not any(said in one for said in subject.stumbles)] == []
    assert wanted == await subject.at(registry_b.host, repo)
    assert list(shop.scratch.iterdir()) == []


async def test_a_tag_that_moves(
    subject: Subject, shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """What was found when a copy began is what arrives, even if the tag points elsewhere by then."""
    old, new = images.image(f"{repo}/old"), images.image(f"{repo}/new")
    push(registry_a.host, repo, old, "v1")
    gate = Gate()
    with RecordingProxy(registry_a.host, Fault(path="/blobs/", method="GET", times=-1, gate=gate)) as source:
        async with asyncio.TaskGroup() as group:
            task = subject.task(source.host, registry_b.host, {"from": repo, "to": repo})
            running = group.create_task(shop.run(task))
            await gate.arrival()
            push(registry_a.host, repo, new, "v1")
            gate.open()
        copy = order(source.host, repo, "v1", old, Ref(registry_b.host, repo, "v1"))
        assert copied(subject, copy) == await delivered(subject, running.result())
    assert {"v1": subject.identity(old.top)} == await subject.at(registry_b.host, repo)


async def test_cancelling(
    subject: Subject, shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A copy that is cancelled in the middle leaves no tag, no temporary file, no process and no task."""
    push(registry_a.host, repo, images.image(repo), "v1")
    gate = Gate()
    before, tasks = children(), asyncio.all_tasks()
    with RecordingProxy(registry_b.host, Fault(path="/blobs/uploads/", method="POST", times=-1, gate=gate)) as target:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(
                shop.run(subject.task(registry_a.host, target.host, {"from": repo, "to": repo}))
            )
            await gate.arrival()
            shop.abort.set()
        report = running.result()
        assert children() <= before
        assert asyncio.all_tasks() - tasks == set()
        gate.open()
    assert report.interrupted
    assert [one.status for one in report.outcomes] == [Status.CANCELLED]
    assert list(shop.scratch.iterdir()) == []
    assert await subject.at(registry_b.host, repo) == {}


async def test_secrets(subject: Subject, shop: Workshop, registry_b: DockerRegistry, tmp_path: Path, repo: str) -> None:
    """A login is in no event, no outcome, and no command line or environment of a process that is started."""
    del registry_b
    with DockerRegistry(tmp_path / "private", users=USERS) as registry:
        push(registry.host, repo, images.image(repo), "v1", headers=basic("alice", USERS["alice"]))
        gate = Gate()
        with RecordingProxy(registry.host, Fault(path="/blobs/uploads/", method="POST", gate=gate)) as target:
            task = subject.task(registry.host, target.host, {"from": repo, "to": f"{repo}/copy"}, auth=AUTH)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(shop.run(task))
                await gate.arrival()
                told = [text for one in psutil.Process().children(recursive=True) for text in shown(one)]
                gate.open()
    assert running.result().counts == {Status.COPIED: 1}
    told += [repr(shop.events), repr(running.result())]
    secrets = (USERS["alice"], "long: password", AUTH, basic("alice", USERS["alice"])["Authorization"].split()[1])
    assert [secret for secret in secrets if any(secret in text for text in told)] == []


def shown(process: psutil.Process) -> list[str]:
    """Return what others on the machine may learn of a process."""
    try:
        return [*process.cmdline(), *process.environ().values()]
    except psutil.NoSuchProcess:  # it has ended in the meantime
        return []


def denied(status: int, code: str, message: str = "not this time") -> dict[str, Any]:
    """Make a proxy answer as a registry does that refuses (OCI distribution spec, Error Codes)."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return {"status": status, "headers": {"Content-Type": "application/json"}, "body": body, "times": -1}


DOWN = Failed("unreachable", retryable=True)
SOURCE_FAULTS: dict[str, tuple[Fault, Failed]] = {
    "a layer is lost": (
        Fault(path="/blobs/", method="GET", **denied(404, "BLOB_UNKNOWN")),
        Failed("not-found", retryable=False),
    ),
    "a login is wanted": (
        Fault(path="/v2/.+", method="GET", **denied(403, "DENIED")),
        Failed("unauthorized", retryable=False),
    ),
    "the image is gone": (
        Fault(path="/manifests/", method="GET", **denied(404, "MANIFEST_UNKNOWN")),
        Failed("not-found", retryable=True),
    ),
    "it stumbles": (
        Fault(path="/blobs/", method="GET", **denied(500, "UNKNOWN")),
        Failed("registry", retryable=True),
    ),
    "it is being mended": (
        Fault(path="/manifests/", method="GET", **denied(503, "UNAVAILABLE")),
        Failed("registry", retryable=True),
    ),
    "a layer breaks off": (
        Fault(path="/blobs/", method="GET", cut_at=60, times=-1),
        Failed("unreachable", retryable=True),
    ),
    "a layer is damaged": (
        Fault(path="/blobs/", method="GET", flip_at=60, times=-1),
        Failed("digest-mismatch", retryable=True),
    ),
}


@pytest.mark.parametrize("name", SOURCE_FAULTS)
async def test_a_source_that_fails(
    subject: Subject, shop: Workshop, name: str, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """What goes wrong at the source has the same kind with each relay, and the target's tag stays what it was."""
    old, new = images.image(f"{repo}/old"), images.image(f"{repo}/new")
    push(registry_a.host, repo, new, "v1")
    push(registry_b.host, repo, old, "v1")
    fault, expected = SOURCE_FAULTS[name]
    with RecordingProxy(registry_a.host, replace(fault)) as source:
        report = await shop.run(subject.task(source.host, registry_b.host, {"from": repo, "to": repo, "tags": ["v1"]}))

    assert [expected] == failures(report.outcomes)
    assert {"v1": subject.identity(old.top)} == await subject.at(registry_b.host, repo)
    assert list(shop.scratch.iterdir()) == []


TARGET_FAULTS: dict[str, tuple[Fault, Failed]] = {
    "it forbids to push": (
        Fault(path="/bad/.*uploads/", method="POST", **denied(403, "DENIED")),
        Failed("unauthorized", retryable=False),
    ),
    "it stumbles": (
        Fault(path="/bad/.*/manifests/", method="PUT", **denied(500, "UNKNOWN")),
        Failed("registry", retryable=True),
    ),
    "it breaks off": (
        Fault(path="/bad/.*uploads/", cut_upload_at=60, times=-1),
        Failed("unreachable", retryable=True),
    ),
    "it knows no such repository": (
        Fault(path="/bad/.*uploads/", method="POST", **denied(404, "NAME_UNKNOWN")),
        Failed("not-found", retryable=False),
    ),
    "it refuses manifests": (
        Fault(path="/bad/.*/manifests/", method="PUT", **denied(400, "MANIFEST_INVALID")),
        Failed("registry", retryable=False),
    ),
}


@pytest.mark.parametrize("name", TARGET_FAULTS)
async def test_a_target_that_refuses(
    subject: Subject, shop: Workshop, name: str, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A target that refuses fails by itself, with the same kind with each relay; the other one has the image."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    fault, expected = TARGET_FAULTS[name]
    with RecordingProxy(registry_b.host, replace(fault)) as target:
        targets = [f"{target.host}/bad", f"{target.host}/good"]
        report = await shop.run(subject.task(registry_a.host, targets, {"from": repo, "to": repo}))

    assert [expected, None] == failures(report.outcomes)
    assert await subject.at(registry_b.host, f"bad/{repo}") == {}
    assert {"v1": subject.identity(image.top)} == await subject.at(registry_b.host, f"good/{repo}")


async def test_a_target_that_is_down(
    subject: Subject, shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A target that went down since it was compared takes nothing from the other."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    task = subject.task(registry_a.host, [NOWHERE, registry_b.host], {"from": repo, "to": repo})
    copy = order(registry_a.host, repo, "v1", image, Ref(NOWHERE, repo, "v1"), Ref(registry_b.host, repo, "v1"))

    outcomes = await LocalExecutor(shop.relay).run(task, copy)

    assert failures(outcomes) == [DOWN, None]
    assert {"v1": subject.identity(image.top)} == await subject.at(registry_b.host, repo)


async def test_a_copy_that_takes_too_long(
    subject: Subject, registry_a: DockerRegistry, registry_b: DockerRegistry, tmp_path: Path, repo: str
) -> None:
    """A copy that is not done in time fails, and may well be done the next time."""
    image, gate = images.image(repo), Gate()
    push(registry_a.host, repo, image, "v1")
    with RecordingProxy(registry_a.host, Fault(path="/blobs/", gate=gate, times=-1)) as source:
        task = subject.task(source.host, [registry_b.host], {"from": repo, "to": repo})
        async with Workshop(tmp_path / "slow", choice=subject.choice(), timeout=1.0) as shop:
            copy = order(source.host, repo, "v1", image, Ref(registry_b.host, repo, "v1"))
            outcomes = await LocalExecutor(shop.relay).run(task, copy)
        gate.open()

    assert failures(outcomes) == [Failed("relay", retryable=True)]
    assert await subject.at(registry_b.host, repo) == {}


async def test_a_source_that_is_down(subject: Subject, shop: Workshop, registry_b: DockerRegistry, repo: str) -> None:
    """A source that went down concerns all targets."""
    task = subject.task(NOWHERE, [registry_b.host] * 2, {"from": repo, "to": repo})
    targets = Ref(registry_b.host, repo, "v1"), Ref(registry_b.host, f"{repo}/2", "v1")

    outcomes = await LocalExecutor(shop.relay).run(task, order(NOWHERE, repo, "v1", images.image(repo), *targets))

    assert failures(outcomes) == [DOWN] * 2
    assert await subject.at(registry_b.host, repo) == {}


async def test_a_tag_that_is_not_there(
    subject: Subject, shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A tag that the source does not have is told, and does not stop the others."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    task = subject.task(registry_a.host, registry_b.host, {"from": repo, "to": repo, "tags": ["v0", "v1"]})

    report = await shop.run(task)

    ends = {one.copy.source.tag: one.failure.kind if one.failure else "" for one in report.outcomes}
    assert ends == {"v0": "not-found", "v1": ""}
    assert {"v1": subject.identity(image.top)} == await subject.at(registry_b.host, repo)


@pytest.mark.parametrize("side", ["source", "target"])
async def test_a_wrong_login(subject: Subject, shop: Workshop, side: str, tmp_path: Path, repo: str) -> None:
    """A registry that refuses the login is unauthorized, at both ends, and the text has not the password."""
    image = images.image(repo)
    right, wrong = given("alice", USERS["alice"]), given("alice", "not the password")
    with DockerRegistry(tmp_path / "private", users=USERS) as registry:
        push(registry.host, repo, image, "v1", headers=basic("alice", USERS["alice"]))
        good, bad = (Endpoint(registry.host, credentials=one) for one in (right, wrong))
        task = subject.task(registry.host, registry.host, {"from": repo, "to": f"{repo}/copy"})
        task = replace(task, source=bad if side == "source" else good, targets=(good if side == "source" else bad,))

        outcomes = await LocalExecutor(shop.relay).run(
            task, order(registry.host, repo, "v1", image, Ref(registry.host, f"{repo}/copy", "v1"))
        )

    assert [Failed("unauthorized", retryable=False)] == failures(outcomes)
    assert "not the password" not in repr(outcomes)


@pytest.mark.parametrize("side", ["source", "target"])
async def test_a_registry_that_tells_secrets(
    subject: Subject, shop: Workshop, side: str, registry_a: DockerRegistry, tmp_path: Path, repo: str
) -> None:
    """A registry that repeats the login, in whatever form it came, gets it into no outcome and no event."""
    image = images.image(repo)
    header = basic("alice", USERS["alice"])["Authorization"]
    text = f"no {USERS['alice']}, no {header}"
    with DockerRegistry(tmp_path / "private", users=USERS) as registry:
        push(registry.host, repo, image, "v1", headers=basic("alice", USERS["alice"]))
        push(registry_a.host, repo, image, "v1")
        path, method = ("/blobs/", "GET") if side == "source" else ("/blobs/uploads/", "POST")
        with RecordingProxy(registry.host, Fault(path=path, method=method, **denied(403, "DENIED", text))) as proxy:
            hosts = (proxy.host, registry_a.host) if side == "source" else (registry_a.host, proxy.host)
            task = subject.task(*hosts, {"from": repo, "to": f"{repo}/copy"})
            private = Endpoint(proxy.host, credentials=given("alice", USERS["alice"]))
            task = replace(task, **({"source": private} if side == "source" else {"targets": (private,)}))
            report = await shop.run(task)

    assert failures(report.outcomes) == [Failed("unauthorized", retryable=False)]
    told = f"{report.outcomes!r} {shop.events!r}"
    assert [secret for secret in (USERS["alice"], header.removeprefix("Basic ")) if secret in told] == []


async def test_foreign_layers(
    subject: Subject, shop: Workshop, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A layer that is kept elsewhere is neither read nor sent by a relay that copies byte for byte.

    A relay that unpacks images cannot do without it, and says so.
    """
    image = images.image(repo, docker=True)
    far = Digest.of(b"far away")
    kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    layer = {"mediaType": kind, "digest": str(far), "size": 8, "urls": [f"http://{NOWHERE}/layer"]}
    image = retopped(image, layers=[*json.loads(image.top.raw)["layers"], layer])
    push(registry_a.host, repo, image, "v1")
    with RecordingProxy(registry_a.host) as source, RecordingProxy(registry_b.host) as target:
        report = await shop.run(subject.task(source.host, target.host, {"from": repo, "to": repo}))

        seen = [one for one in (*source.seen, *target.seen) if str(far) in f"{one.path}?{one.query}"]
    there = await subject.at(registry_b.host, repo)
    if subject.is_exact:
        assert seen == []
        assert {"v1": image.digest} == there
    else:
        assert [one.status for one in report.outcomes] == [Status.FAILED]
        assert there == {}
