"""The image as its users run it."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from dregsy import __version__
from dregsy.embedded import images
from tests.image.conftest import NAME, Built, Containers
from tests.image.snapshots import Snapshots
from tests.testbed.command import mirror
from tests.testbed.faults import Fault, Gate
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry, free_port
from tests.testbed.skopeo import Skopeo

PATIENCE = 60.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Return once something is so; AssertionError when patience ends."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def config(document: dict[str, Any], **keys: Any) -> str:
    """Write a config file's text."""
    return yaml.safe_dump({**keys, **document})


@pytest.mark.parametrize("relay", ["native", "skopeo"])
def test_a_mounted_file_is_synced(
    containers: Containers,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
    repo: str,
    skopeo: Skopeo,
    relay: str,
) -> None:
    """``docker run -v sync.yaml:/config.yaml`` is all: no root, no rights, nothing that can be written but /tmp."""
    push(registry_a.host, repo, images.index(images.image(repo), images.image(f"{repo}2")), "v1")
    text = config(mirror(registry_a.host, registry_b.host, {"from": repo, "platform": "all"}), relay=relay)

    ended = containers.run(text)

    assert ended.code == 0, ended.said
    assert skopeo.same_image(f"{registry_a.host}/{repo}:v1", f"{registry_b.host}/{repo}:v1")


def test_the_docker_relay(
    containers: Containers, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """With the daemon's socket mounted, and its group, the docker relay works."""
    push(registry_a.host, repo, images.image(repo), "v1")
    socket = containers.daemon.folder / "d.sock"
    group = socket.stat().st_gid
    text = config(mirror(registry_a.host, registry_b.host, {"from": repo}), relay="docker")

    ended = containers.run(text, binds=[f"{socket}:/var/run/docker.sock"], group_add=[str(group)])

    assert ended.code == 0, ended.said
    assert skopeo.tags(f"{registry_b.host}/{repo}") == ["v1"]


def test_it_is_not_root_and_carries_no_tools(containers: Containers) -> None:
    """The user is a number, no process has a right, and there is no pip; the version is that of the source."""
    image = containers.client.inspect_image(NAME)["Config"]  # type: ignore[no-untyped-call]  # not in the stubs
    script = "id -u; grep CapEff /proc/self/status; ls /opt/dregsy/bin; dregsy --version; dregsy relays --format json"

    ended = containers.run(command=["sh", "-c", script])

    user, rights, *rest = ended.said.splitlines()
    assert (image["User"], user) == ("65532:65532", "65532")
    assert int(rights.split()[1], 16) == 0
    assert not [name for name in rest if name.startswith("pip")]
    assert f"dregsy {__version__}" in rest
    relays = json.loads("\n".join(rest[rest.index(f"dregsy {__version__}") + 1 :]))
    works = {relay["name"]: relay["works"] for relay in relays}
    assert works == {"docker": False, "native": True, "skopeo": True}


@pytest.mark.parametrize("process", [{}, {"entrypoint": ["dregsy", "-config=/config.yaml"]}], ids=["tini", "alone"])
def test_sigterm_lets_copies_finish(
    containers: Containers,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
    repo: str,
    skopeo: Skopeo,
    process: dict[str, Any],
) -> None:
    """``docker stop`` ends it gracefully, below tini and as process 1: what is being copied arrives."""
    push(registry_a.host, repo, images.image(repo), "v1")
    gate = Gate()
    with RecordingProxy(registry_b.host, Fault(path="/manifests/v1", method="PUT", gate=gate)) as target:
        text = config(mirror(registry_a.host, target.host, {"from": repo}, interval=3600))
        container = containers.start(text, **process)
        gate.wait()
        containers.client.kill(container, "SIGTERM")
        wait_until(lambda: "stopping" in containers.said(container))
        gate.open()

        ended = containers.end(container)
    assert ended.code == 0, ended.said
    assert skopeo.tags(f"{registry_b.host}/{repo}") == ["v1"]


def test_health(containers: Containers, registry_a: DockerRegistry, repo: str) -> None:
    """Well where it serves and answers, well where nothing is served, and not well where it has stopped to answer."""
    push(registry_a.host, repo, images.image(repo), "v1")
    port = free_port()
    often = {"interval": 10**9, "timeout": 10 * 10**9, "retries": 1}
    task = mirror(registry_a.host, registry_a.host, {"from": repo, "to": f"{repo}/copy"}, interval=3600)
    settings = {"healthcheck": often, "environment": {"HEALTH_ADDRESS": f":{port}"}}
    served = containers.start(config(task, listen=f":{port}"), **settings)
    wait_until(lambda: containers.state(served)["Health"]["Status"] == "healthy")
    told = containers.state(served)["Health"]["Log"][-1]["Output"]

    stop = containers.client.exec_create(served, ["sh", "-c", "kill -STOP -1"])
    containers.client.exec_start(str(stop["Id"]))
    wait_until(lambda: containers.state(served)["Health"]["Status"] == "unhealthy")
    containers.client.kill(served)

    unserved = containers.start(config(task), **settings)
    wait_until(lambda: containers.state(unserved)["Health"]["Status"] == "healthy")
    untold = containers.state(unserved)["Health"]["Log"][-1]["Output"]
    assert told == "ok\n"
    assert untold == f"cannot tell: nobody listens on 127.0.0.1:{port}\n"


def test_no_place_for_temporary_files(containers: Containers) -> None:
    """Read-only without a /tmp is the user's mistake, and it is said what helps."""
    task = mirror("a.invalid", "b.invalid", {"from": "x"})

    ended = containers.run(config(task), tmpfs={})

    assert ended.code == 1
    assert "there is no place for temporary files" in ended.said
    assert "TMPDIR" in ended.said


def test_the_state_may_be_a_volume(
    containers: Containers, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A new volume at /state can be written to, and the journal in it is there for the next container."""
    push(registry_a.host, repo, images.image(repo), "v1")
    volume = [f"{repo.rpartition('/')[2]}:/state"]
    text = config(mirror(registry_a.host, registry_b.host, {"from": repo}), state="/state")

    ran = containers.run(text, binds=volume, tmpfs={})
    kept = containers.run(text, binds=volume, command=["ls", "-A", "/state"])

    assert ran.code == 0, ran.said
    assert kept.said == ".dregsy-journal\n"


def test_debian_of_a_day(built: Built) -> None:
    """With ``SNAPSHOT`` all packages come from there, by that day, and from nowhere else."""
    day = "20260101T000000Z"
    with Snapshots() as archive:
        said = built.build("dregsy:pinned", SNAPSHOT=day, SNAPSHOTS=f"http://{archive.host}/archive")
    built.client.remove_image("dregsy:pinned")

    assert {"debian", "debian-security"} == {suite for suite, _ in archive.asked}
    assert {stamp for _, stamp in archive.asked} == {day}
    sources = [line.split()[1] for line in said.splitlines() if line.startswith("Get:")]
    assert sources
    assert {one for one in sources if not one.startswith(f"http://{archive.host}/archive/")} == set()
