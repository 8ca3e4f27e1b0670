import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from docker import APIClient
from pydantic import ValidationError

from dregsy.credentials import Logins
from dregsy.embedded import images
from dregsy.errors import (
    CredentialsError,
    ImageError,
    RateLimited,
    RelayError,
    RelayUnsupported,
    Unauthorized,
    Unreachable,
)
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Anonymous, Endpoint, Given, Login, Secret
from dregsy.model.plan import Copy
from dregsy.model.platform import Platform
from dregsy.model.ref import Ref
from dregsy.model.report import CopyProgress, Event, Moved, Warned
from dregsy.registry.pool import Registries
from dregsy.relay import Feature, Repacking, Toolbox
from relays.docker import DockerRelay, Settings
from tests.testbed.dockerd import Dockerd
from tests.testbed.faults import Fault, Gate
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import basic, push
from tests.testbed.servers import DockerRegistry

NOWHERE = "127.0.0.1:1"
ARM = Platform("linux", "arm64")
USERS = {"alice": "alice's long: password"}
ALICE = Given(Login("alice", Secret(USERS["alice"])))


@asynccontextmanager
async def relaying(
    dockerd: Dockerd | None,
    scratch: Path,
    *,
    timeout: float = 60.0,
    events: list[Event] | None = None,
    **settings: object,
) -> AsyncIterator[DockerRelay]:
    """Run a relay with a real daemon, real registries and real logins."""
    logins = Logins(os.environ, Path(os.environ["HOME"]))
    host = {"dockerhost": dockerd.host} if dockerd else {}
    async with Registries(logins, os.environ) as registries:
        toolbox = Toolbox(registries, logins, scratch, (events if events is not None else []).append, timeout)
        async with DockerRelay(Settings.model_validate({**host, **settings}), toolbox) as relay:
            yield relay


def order(source: Ref, digest: Digest, *targets: Ref, platforms: tuple[Platform, ...] = ()) -> Copy:
    """Ask for one image at some targets."""
    return Copy("task", source.with_tag("v1", digest), targets, tuple(range(len(targets))), platforms)


def references(client: APIClient) -> list[str]:
    """List all that has a name in the daemon."""
    found = client.images(all=True)
    return sorted(name for image in found for name in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())))


def identity(image: images.Image) -> str:
    """Return what the daemon calls an image: the digest of its config, which no registry changes."""
    assert image.top.config is not None
    return str(image.top.config.digest)


async def config_at(registry: DockerRegistry, repository: str, tag: str) -> str:
    """Return the digest of the config of the image at a registry."""
    logins = Logins({}, Path("/nonexistent"))
    async with Registries(logins, {}) as registries:
        manifest = await registries.at(Endpoint(registry.host)).get_manifest(repository, tag)
    assert manifest.config is not None
    return str(manifest.config.digest)


async def digest_at(registry: DockerRegistry, repository: str, tag: str) -> Digest:
    """Return the digest that a tag has at a registry."""
    logins = Logins({}, Path("/nonexistent"))
    async with Registries(logins, {}) as registries:
        found = await registries.at(Endpoint(registry.host)).head_manifest(repository, tag)
    assert found is not None
    return found.digest


async def test_one_pull_feeds_all_targets(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
) -> None:
    """The image of the daemon's platform is at each target, was read once, and leaves nothing in the daemon."""
    here = images.image(repo)
    index = images.index(here, images.image(repo, platform=ARM), attested=True)
    with RecordingProxy(registry_a.host) as source:
        push(registry_a.host, repo, index, "v1")
        targets = (Ref(registry_b.host, f"{repo}/one", "v1"), Ref(registry_b.host, f"{repo}/two", "v1"))
        async with relaying(dockerd, tmp_path) as relay:
            copy = order(Ref(source.host, repo), index.digest, *targets)

            results = await relay.copy(copy, Endpoint(source.host), [Endpoint(registry_b.host)] * 2)

        reads = source.count("GET", "/blobs/")

    digests = [await digest_at(registry_b, target.repository, "v1") for target in targets]
    assert digests == [result.digest for result in results if isinstance(result, Moved)]
    assert {identity(here)} == {await config_at(registry_b, target.repository, "v1") for target in targets}
    assert reads == 3  # the config and two layers
    assert references(daemon) == []


async def test_the_count_of_layers_is_the_daemons(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
) -> None:
    """A result tells how many layers went to the target, and how many were there."""
    del daemon
    image = images.image(repo.replace("/", "-"), layers=3)  # shares no layer with other tests
    push(registry_a.host, repo, image, "v1")
    copy = order(Ref(registry_a.host, repo), image.digest, Ref(registry_b.host, repo, "v1"))
    async with relaying(dockerd, tmp_path) as relay:
        [first] = await relay.copy(copy, Endpoint(registry_a.host), [Endpoint(registry_b.host)])
        [second] = await relay.copy(copy, Endpoint(registry_a.host), [Endpoint(registry_b.host)])

    assert isinstance(first, Moved)
    assert isinstance(second, Moved)
    assert (first.blobs_moved, second.blobs_skipped) == (3, 3)


async def test_another_platform_may_be_asked_for(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
) -> None:
    """A platform picks its image, whether the digest is that of the index or of the image."""
    del daemon
    arm = images.image(repo, platform=ARM)
    index = images.index(images.image(repo), arm)
    push(registry_a.host, repo, index, "v1")
    async with relaying(dockerd, tmp_path) as relay:
        for digest, tag in ((index.digest, "index"), (arm.digest, "image")):
            copy = order(Ref(registry_a.host, repo), digest, Ref(registry_b.host, repo, tag), platforms=(ARM,))
            await relay.copy(copy, Endpoint(registry_a.host), [Endpoint(registry_b.host)])

    assert [identity(arm)] * 2 == [await config_at(registry_b, repo, tag) for tag in ("index", "image")]


async def test_a_platform_that_is_not_there_is_an_image_error(
    dockerd: Dockerd, daemon: APIClient, tmp_path: Path, repo: str, registry_a: DockerRegistry
) -> None:
    """The daemon would take what it has: neither an index without the platform nor an image for another will do."""
    index = images.index(images.image(repo))
    single = images.image(f"{repo}/single")
    push(registry_a.host, repo, index, "v1")
    push(registry_a.host, repo, single, "v2")
    async with relaying(dockerd, tmp_path) as relay:
        for digest in (index.digest, single.digest):
            copy = order(Ref(registry_a.host, repo), digest, Ref(NOWHERE, repo, "v1"), platforms=(ARM,))
            with pytest.raises(ImageError):
                await relay.copy(copy, Endpoint(registry_a.host), [Endpoint(NOWHERE)])

    assert references(daemon) == []


async def test_several_platforms_are_not_supported(dockerd: Dockerd, tmp_path: Path, repo: str) -> None:
    """A daemon pushes one image, never a part of an index."""
    copy = order(Ref(NOWHERE, repo), Digest.of(b""), Ref(NOWHERE, repo, "v1"), platforms=(ARM, images.AMD64))
    async with relaying(dockerd, tmp_path) as relay:
        with pytest.raises(RelayUnsupported):
            await relay.copy(copy, Endpoint(NOWHERE), [Endpoint(NOWHERE)])


async def test_a_target_without_a_tag_gets_one(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
) -> None:
    """A digest cannot be pushed, so the tag is made from it; of other tags in the daemon none is pushed."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    daemon.pull(f"{registry_a.host}/{repo}", "v1")
    daemon.tag(f"{registry_a.host}/{repo}:v1", f"{registry_b.host}/{repo}", "private")
    copy = order(Ref(registry_a.host, repo), image.digest, Ref(registry_b.host, repo, digest=image.digest))
    async with relaying(dockerd, tmp_path) as relay:
        await relay.copy(copy, Endpoint(registry_a.host), [Endpoint(registry_b.host)])

    async with Registries(Logins({}, tmp_path), {}) as registries:
        assert [f"dregsy-{image.digest.hex}"] == await registries.at(Endpoint(registry_b.host)).tags(repo)


async def test_what_was_in_the_daemon_stays(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
) -> None:
    """Names and images from before the copy are the same after it, the target's own tag too."""
    image, old = images.image(repo), images.image(f"{repo}/old")
    push(registry_a.host, repo, image, "v1")
    push(registry_a.host, f"{repo}/old", old, "v1")
    daemon.pull(f"{registry_a.host}/{repo}", "v1")
    daemon.pull(f"{registry_a.host}/{repo}/old", "v1")
    daemon.tag(f"{registry_a.host}/{repo}/old:v1", f"{registry_b.host}/{repo}", "v1")
    before = references(daemon)
    copy = order(Ref(registry_a.host, repo), image.digest, Ref(registry_b.host, repo, "v1"))
    async with relaying(dockerd, tmp_path) as relay:
        await relay.copy(copy, Endpoint(registry_a.host), [Endpoint(registry_b.host)])

    assert before == references(daemon)
    assert identity(old) == daemon.inspect_image(f"{registry_b.host}/{repo}:v1")["Id"]  # type: ignore[no-untyped-call]  # not in the stubs
    assert identity(image) == await config_at(registry_b, repo, "v1")


@pytest.mark.parametrize("cancelled", [False, True])
async def test_what_was_in_the_daemon_stays_when_a_push_does_not_succeed(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    cancelled: bool,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
) -> None:
    """A tag that the push needed points at what it pointed at before, whether the push failed or was cancelled."""
    image, old = images.image(repo), images.image(f"{repo}/old")
    push(registry_a.host, repo, image, "v1")
    push(registry_a.host, f"{repo}/old", old, "v1")
    gate = Gate()
    hindrance = {"gate": gate} if cancelled else {"status": 403}
    with RecordingProxy(registry_b.host, Fault(path="/manifests/", method="PUT", times=-1, **hindrance)) as target:
        daemon.pull(f"{registry_a.host}/{repo}/old", "v1")
        daemon.tag(f"{registry_a.host}/{repo}/old:v1", f"{target.host}/{repo}", "v1")
        before = references(daemon)
        copy = order(Ref(registry_a.host, repo), image.digest, Ref(target.host, repo, "v1"))
        async with relaying(dockerd, tmp_path) as relay, asyncio.TaskGroup() as group:
            running = group.create_task(relay.copy(copy, Endpoint(registry_a.host), [Endpoint(target.host)]))
            if cancelled:
                await gate.arrival()
                running.cancel()
        gate.open()

    assert cancelled == running.cancelled()
    assert before == references(daemon)
    assert identity(old) == daemon.inspect_image(f"{target.host}/{repo}:v1")["Id"]  # type: ignore[no-untyped-call]  # not in the stubs


async def test_copies_that_overlap_do_not_take_each_others_images_for_the_users(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
) -> None:
    """One that begins while another has the same content in the daemon leaves nothing of it behind."""
    image = images.image(repo)
    for name in (repo, f"{repo}/twin"):
        push(registry_a.host, name, image, "v1")
    gate = Gate()
    with RecordingProxy(registry_b.host, Fault(path="/manifests/v1", method="PUT", gate=gate)) as target:
        async with relaying(dockerd, tmp_path) as relay, asyncio.TaskGroup() as group:
            first = order(Ref(registry_a.host, repo), image.digest, Ref(target.host, repo, "v1"))
            running = group.create_task(relay.copy(first, Endpoint(registry_a.host), [Endpoint(target.host)]))
            await gate.arrival()
            second = order(Ref(registry_a.host, f"{repo}/twin"), image.digest, Ref(target.host, f"{repo}/x", "v2"))
            [done] = await relay.copy(second, Endpoint(registry_a.host), [Endpoint(target.host)])
            gate.open()

    assert isinstance(done, Moved)
    assert [isinstance(one, Moved) for one in running.result()] == [True]
    assert references(daemon) == []


async def test_a_registry_that_asks_to_slow_down(
    dockerd: Dockerd, daemon: APIClient, tmp_path: Path, repo: str, registry_a: DockerRegistry
) -> None:
    """A registry's limit has the kind of error that it has with every relay."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    busy = Fault(path="/v2/.*/manifests/", times=-1, status=429)
    with RecordingProxy(registry_a.host, busy) as source:
        copy = order(Ref(source.host, repo), image.digest, Ref(NOWHERE, repo, "v1"))
        async with relaying(dockerd, tmp_path) as relay:
            with pytest.raises(RateLimited) as caught:
                await relay.copy(copy, Endpoint(source.host), [Endpoint(NOWHERE)])

    assert caught.value.retryable
    assert references(daemon) == []


async def test_the_daemon_tells_whose_image_it_takes(dockerd: Dockerd, tmp_path: Path) -> None:
    """Of an index it takes the image for its own platform."""
    async with relaying(dockerd, tmp_path) as relay:
        assert Platform("linux", "amd64") == relay.platform
        assert isinstance(relay, Repacking)


async def test_an_image_without_a_name_stays(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
) -> None:
    """An image that has only its id in the daemon is not removed together with the names the copy gave it."""
    image, other = images.image(repo), images.image(f"{repo}/other")
    for content in (image, other):
        push(registry_a.host, repo, content, "v1")
        daemon.pull(f"{registry_a.host}/{repo}", "v1")
        daemon.tag(identity(content), "local/name", "x")
        daemon.remove_image(f"{registry_a.host}/{repo}:v1")
    copy = order(Ref(registry_a.host, repo), image.digest, Ref(registry_b.host, repo, "v2"))
    async with relaying(dockerd, tmp_path) as relay:
        await relay.copy(copy, Endpoint(registry_a.host), [Endpoint(registry_b.host)])

    assert identity(image) in {one["Id"] for one in daemon.images(all=True)}


async def test_a_digest_from_before_stays(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
) -> None:
    """Docker forgets a repository's digests together with its last tag: not those that were there before."""
    image = images.image(repo)
    for registry in (registry_a, registry_b):
        push(registry.host, repo, image, "v1")
    daemon.pull(f"{registry_b.host}/{repo}", str(image.digest))
    copy = order(Ref(registry_a.host, repo), image.digest, Ref(registry_b.host, repo, "v2"))
    async with relaying(dockerd, tmp_path) as relay:
        await relay.copy(copy, Endpoint(registry_a.host), [Endpoint(registry_b.host)])

    assert f"{registry_b.host}/{repo}@{image.digest}" in references(daemon)


async def test_cleanup_may_be_off(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
) -> None:
    """Without ``cleanup`` the image stays in the daemon under its new name."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    copy = order(Ref(registry_a.host, repo), image.digest, Ref(registry_b.host, repo, "v1"))
    async with relaying(dockerd, tmp_path, cleanup=False) as relay:
        await relay.copy(copy, Endpoint(registry_a.host), [Endpoint(registry_b.host)])

    assert f"{registry_b.host}/{repo}:v1" in references(daemon)


async def test_copies_of_one_image_share_its_pull(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
) -> None:
    """Copies of the same content at the same time do not take the image away from each other."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    copies = [
        order(Ref(registry_a.host, repo), image.digest, Ref(registry_b.host, repo, f"v{number}")) for number in range(6)
    ]
    async with relaying(dockerd, tmp_path) as relay, asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(relay.copy(copy, Endpoint(registry_a.host), [Endpoint(registry_b.host)]))
            for copy in copies
        ]
    results = [result for task in tasks for result in task.result()]

    assert [isinstance(result, Moved) for result in results] == [True] * 6
    assert references(daemon) == []


async def test_a_broken_target_takes_nothing_from_the_others(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
) -> None:
    """Errors in the stream of a push are errors of that target alone."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    targets = (Ref(NOWHERE, repo, "v1"), Ref(registry_b.host, repo, "v1"))
    async with relaying(dockerd, tmp_path) as relay:
        copy = order(Ref(registry_a.host, repo), image.digest, *targets)

        broken, good = await relay.copy(copy, Endpoint(registry_a.host), [Endpoint(NOWHERE), Endpoint(registry_b.host)])

    assert isinstance(broken, Unreachable)
    assert broken.retryable
    assert isinstance(good, Moved)
    assert references(daemon) == []


async def test_logins_go_to_the_daemon(
    dockerd: Dockerd, daemon: APIClient, tmp_path: Path, repo: str, registry_b: DockerRegistry
) -> None:
    """The login of an endpoint opens it; without one, or with a wrong one, nothing does, and none is shown."""
    image = images.image(repo)
    with DockerRegistry(tmp_path / "registry", users=USERS) as registry:
        push(registry.host, repo, image, "v1", headers=basic("alice", USERS["alice"]))
        (tmp_path / "home/.docker/config.json").write_text("{not json")  # must not be looked at
        private = Endpoint(registry.host, credentials=ALICE)
        async with relaying(dockerd, tmp_path) as relay:
            own = order(Ref(registry.host, repo), image.digest, Ref(registry.host, f"{repo}/copy", "v1"))
            [moved] = await relay.copy(own, private, [private])
            wrong = Endpoint(registry.host, credentials=Given(Login("alice", Secret("not the password"))))
            [refused] = await relay.copy(own, private, [wrong])
            with pytest.raises(Unauthorized):
                await relay.copy(own, Endpoint(registry.host, credentials=Anonymous()), [private])

    del registry_b
    assert isinstance(moved, Moved)
    assert isinstance(refused, Unauthorized)
    assert "not the password" not in str(refused)
    assert references(daemon) == []


async def test_a_broken_target_login_concerns_that_target(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    registry_a: DockerRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A login that cannot be found is the error of its target; the pull is cleaned up all the same."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", "{")
    copy = order(Ref(registry_a.host, repo), image.digest, Ref(NOWHERE, repo, "v1"))
    async with relaying(dockerd, tmp_path) as relay:
        source = Endpoint(registry_a.host, credentials=Anonymous())

        [error] = await relay.copy(copy, source, [Endpoint(NOWHERE)])

    assert isinstance(error, CredentialsError)
    assert references(daemon) == []


async def test_a_cancelled_push_cleans_up(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
) -> None:
    """Cancelling in the middle of a push removes the image and its names from the daemon."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    gate = Gate()
    with RecordingProxy(registry_b.host, Fault(path="/blobs/uploads/", method="POST", times=-1, gate=gate)) as target:
        copy = order(Ref(registry_a.host, repo), image.digest, Ref(target.host, repo, "v1"))
        async with relaying(dockerd, tmp_path) as relay, asyncio.TaskGroup() as group:
            running = group.create_task(relay.copy(copy, Endpoint(registry_a.host), [Endpoint(target.host)]))
            await gate.arrival()
            running.cancel()
        gate.open()

    assert running.cancelled()
    assert references(daemon) == []


async def test_a_daemon_that_hangs_is_not_waited_for_long(
    tmp_path: Path, repo: str, registry_a: DockerRegistry, registry_b: DockerRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be taken away from it is told, however many names there are, and the copy ends."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    gate = Gate()
    events: list[Event] = []
    with (
        Dockerd() as own,
        RecordingProxy(registry_b.host, Fault(path="/manifests/", method="PUT", times=-1, gate=gate)) as target,
    ):
        targets = [Ref(target.host, f"{repo}/{number}", "v1") for number in range(3)]
        copy = order(Ref(registry_a.host, repo), image.digest, *targets)
        async with relaying(own, tmp_path, events=events) as relay, asyncio.TaskGroup() as group:
            running = group.create_task(relay.copy(copy, Endpoint(registry_a.host), [Endpoint(target.host)] * 3))
            await gate.arrival()
            monkeypatch.setattr("relays.daemon.ANSWER_SECONDS", 0.5)  # not before: the daemon may have begun slowly
            own.process.send_signal(signal.SIGSTOP)
            running.cancel()
        own.process.send_signal(signal.SIGCONT)
        gate.open()

    warnings = [one.message for one in events if isinstance(one, Warned)]
    assert running.cancelled()
    assert len(warnings) == 4  # the tags and what was pulled
    assert {one.rpartition(": ")[2] for one in warnings} == {"no answer within 0.5 s"}


async def test_a_pull_that_takes_too_long_is_given_up(
    dockerd: Dockerd, daemon: APIClient, tmp_path: Path, repo: str, mute: socket.socket
) -> None:
    """The time limit of a copy holds for a registry that never answers; it may be tried again."""
    host = "{}:{}".format(*mute.getsockname())
    copy = order(Ref(host, repo), Digest.of(b""), Ref(NOWHERE, repo, "v1"))
    async with relaying(dockerd, tmp_path, timeout=0.3) as relay:
        with pytest.raises(RelayError) as caught:
            await relay.copy(copy, Endpoint(host), [Endpoint(NOWHERE)])

    assert caught.value.retryable
    assert references(daemon) == []


async def test_bytes_are_told_while_they_arrive(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
) -> None:
    """Progress adds up to the size of the layers, and nothing is counted twice; what is pushed nobody counts."""
    del daemon
    image = images.image(repo.replace("/", "-"), size=2**21)  # shares no layer with other tests
    push(registry_a.host, repo, image, "v1")
    targets = (Ref(registry_b.host, f"{repo}/one", "v1"), Ref(registry_b.host, f"{repo}/two", "v1"))
    events: list[Event] = []
    slowly = Fault(path="/blobs/", method="GET", delay=0.01, times=-1)  # dockerd tells ten times a second, at most
    with RecordingProxy(registry_a.host, slowly) as source:
        copy = order(Ref(source.host, repo), image.digest, *targets)
        async with relaying(dockerd, tmp_path, events=events) as relay:
            results = await relay.copy(copy, Endpoint(source.host), [Endpoint(registry_b.host)] * 2)

    told = sum(event.bytes_read for event in events if isinstance(event, CopyProgress))
    assert told == sum(layer.size for layer in image.top.blobs if layer != image.top.config)
    assert [told, 0] == [result.bytes_read for result in results if isinstance(result, Moved)]
    assert [result.bytes_written for result in results if isinstance(result, Moved)] == [None, None]


async def test_what_cannot_be_removed_is_a_warning(
    dockerd: Dockerd,
    daemon: APIClient,
    tmp_path: Path,
    repo: str,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
) -> None:
    """An image that a container came to use in the meantime stays, and the copy has succeeded."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    gate = Gate()
    events: list[Event] = []
    with RecordingProxy(registry_b.host, Fault(path="/manifests/", method="PUT", gate=gate)) as target:
        copy = order(Ref(registry_a.host, repo), image.digest, Ref(target.host, repo, "v1"))
        async with relaying(dockerd, tmp_path, events=events) as relay, asyncio.TaskGroup() as group:
            running = group.create_task(relay.copy(copy, Endpoint(registry_a.host), [Endpoint(target.host)]))
            await gate.arrival()
            container = daemon.create_container(identity(image), ["/none"])
            gate.open()
    daemon.remove_container(container["Id"])

    [result] = running.result()
    assert isinstance(result, Moved)
    assert [event.task for event in events if isinstance(event, Warned)] == ["task"]


def test_settings_have_the_names_of_the_config_file() -> None:
    """Nothing given means the usual daemon in its own version, and cleaning up; no index is ever copied."""
    settings = Settings.model_validate({})

    assert (settings.dockerhost, settings.api_version, settings.cleanup) == (None, None, True)
    assert Settings.model_validate({"api-version": "1.41"}).api_version == "1.41"
    assert frozenset({Feature.ONE_PLATFORM}) == DockerRelay.features
    with pytest.raises(ValidationError):
        Settings.model_validate({"api-version": "newest"})
    with pytest.raises(ValidationError, match="login"):
        Settings.model_validate({"dockerhost": "tcp://user:password@h:2376"})
