"""The docker relay as a user runs it: the command, a real docker daemon, real registries."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from dregsy.embedded import images
from dregsy.model.platform import Platform
from tests.e2e.test_crash import AUTH, PASSWORD, secrets_below
from tests.testbed.command import Dregsy, mirror
from tests.testbed.dockerd import Dockerd
from tests.testbed.faults import Fault, Gate
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo

ARM = Platform("linux", "arm64")
PATIENCE = 60.0


@pytest.fixture
def dregsy(tmp_path: Path) -> Dregsy:
    """The command with a home of its own."""
    return Dregsy(tmp_path / "dregsy")


@pytest.fixture
def dockerd() -> Iterator[Dockerd]:
    """A docker daemon that a test may end."""
    with Dockerd() as daemon:
        yield daemon


def statuses(dregsy: Dregsy, config: str) -> list[str]:
    """Run to the end, and return how it ended for each image, in the order of their targets."""
    done = dregsy.run("run", "-config", config, "--json")
    (task,) = json.loads(done.out)["tasks"]
    return [image["status"] for image in sorted(task["images"], key=lambda image: str(image["target"]))]


def by_docker(dockerd: Dockerd, source: str, target: str, *mappings: dict[str, Any]) -> dict[str, Any]:
    """Return a config that has the daemon copy."""
    return {"relay": "docker", "docker": {"dockerhost": dockerd.host}, **mirror(source, target, *mappings)}


def test_a_second_run_finds_everything_up_to_date(
    dregsy: Dregsy, dockerd: Dockerd, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """Although digests differ nothing is pulled or pushed again, and of two tags the one that changed is copied."""
    single = images.image(f"{repo}/single")
    push(registry_a.host, repo, images.index(images.image(repo), images.image(repo, platform=ARM)), "multi")
    push(registry_a.host, repo, single, "single")
    with RecordingProxy(registry_a.host) as source, RecordingProxy(registry_b.host) as target:
        config = dregsy.config(
            by_docker(
                dockerd,
                source.host,
                target.host,
                {"from": repo, "tags": ["multi", "single", str(single.digest)]},
                {"from": repo, "to": f"{repo}/arm", "tags": ["multi"], "platform": "linux/arm64"},
            )
        )
        assert statuses(dregsy, config) == ["copied"] * 4
        source.seen.clear()
        target.seen.clear()

        assert statuses(dregsy, config) == ["current"] * 4
        assert "0 missing, 0 changed, 4 current" in dregsy.run("check", "--diff", "-config", config).said

        assert source.count("GET", "/blobs/") == 0
        assert {seen.method for seen in target.seen} == {"HEAD", "GET"}
        push(registry_a.host, repo, images.image(f"{repo}/other"), "single")
        assert sorted(statuses(dregsy, config)) == ["copied", "current", "current", "current"]
    with dockerd.client() as client:
        assert client.images(all=True) == []


@pytest.mark.parametrize(
    ("at_source", "path", "method"), [(True, "/v2/.*/blobs/", "GET"), (False, "/manifests/", "PUT")]
)
def test_a_restart_of_the_daemon_is_survived(
    dregsy: Dregsy,
    dockerd: Dockerd,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
    repo: str,
    skopeo: Skopeo,
    at_source: bool,
    path: str,
    method: str,
) -> None:
    """A daemon that dies while it pulls or pushes and comes back finishes the job, and keeps nothing of it."""
    push(registry_a.host, repo, images.image(repo), "v1")
    gate = Gate()
    fault = Fault(path=path, method=method, gate=gate)
    with (
        RecordingProxy(registry_a.host, *[fault] * at_source) as source,
        RecordingProxy(registry_b.host, *[fault] * (not at_source)) as target,
    ):
        config = dregsy.config(by_docker(dockerd, source.host, target.host, {"from": repo}))
        running = dregsy.start("run", "-config", config)
        try:
            arrived(gate)
            dockerd.stop(signal.SIGKILL)
            gate.open()
            dockerd.start()
            assert ended(running) == 0
        finally:
            running.kill()
    assert skopeo.tags(f"{registry_b.host}/{repo}") == ["v1"]
    with dockerd.client() as client:
        assert client.images(all=True) == []


@pytest.mark.parametrize(
    ("at_source", "path", "method"), [(True, "/v2/.*/blobs/", "GET"), (False, "/manifests/", "PUT")]
)
def test_killed_while_the_daemon_works(
    tmp_path: Path, dockerd: Dockerd, registry_a: DockerRegistry, repo: str, at_source: bool, path: str, method: str
) -> None:
    """Killed with -9 during a pull or a push, it leaves no login on a disk and no half image; the next run finishes."""
    push(registry_a.host, repo, images.image(repo), "v1", "v2")
    gate = Gate()
    fault = Fault(path=path, method=method, gate=gate)
    dregsy = Dregsy(tmp_path / "user", {"TMPDIR": str(tmp_path / "tmp")})
    (tmp_path / "tmp").mkdir()
    with (
        DockerRegistry(tmp_path / "target", users={"alice": PASSWORD}) as registry,
        RecordingProxy(registry_a.host, *[fault] * at_source) as source,
        RecordingProxy(registry.host, *[fault] * (not at_source)) as target,
    ):
        document = by_docker(dockerd, source.host, target.host, {"from": repo})
        document["tasks"][0]["target"]["auth"] = AUTH
        config = dregsy.config({**document, "retries": 0, "state": "state"})
        running = dregsy.start("run", "-config", config)
        arrived(gate)
        running.kill()
        ended(running)
        assert secrets_below(dregsy.folder / "state", tmp_path / "tmp", dockerd.folder / "data") == []
        gate.open()

        assert set(statuses(dregsy, config)) <= {"copied", "current"}
        assert statuses(dregsy, config) == ["current", "current"]
        assert dregsy.run("verify", "--deep", "-config", config).out == "2 whole\n"
    assert secrets_below(dregsy.folder / "state", tmp_path / "tmp", dockerd.folder / "data") == []
    assert list((tmp_path / "tmp").iterdir()) == []


def arrived(gate: Gate) -> None:
    """Return once a request waits at the gate."""
    import asyncio

    asyncio.run(gate.arrival())


def ended(process: "Popen[str]") -> int:
    """Wait for the end and return the exit code."""
    return process.wait(PATIENCE)
