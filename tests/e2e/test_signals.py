"""How the command ends when it is told to: what is in flight arrives, nothing is left half-done."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from dregsy.embedded import images
from tests.testbed.command import Dregsy, mirror
from tests.testbed.faults import Fault, Gate
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo

PATIENCE = 60.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Return once something is so; AssertionError when patience ends."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def wait_for(path: Path, text: str) -> None:
    """Return once a file holds a text."""
    wait_until(lambda: text in path.read_text())


def end(process: "Popen[str]") -> int:
    """Wait for the end and return the exit code."""
    return process.wait(PATIENCE)


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_copies_in_flight_are_finished(
    tmp_path: Path,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
    repo: str,
    skopeo: Skopeo,
    which: signal.Signals,
) -> None:
    """After one signal the copy that runs is finished, the next is not begun, and the exit code says incomplete."""
    push(registry_a.host, repo, images.image(f"{repo} 1"), "v1")
    push(registry_a.host, repo, images.image(f"{repo} 2"), "v2")
    gate = Gate()
    dregsy = Dregsy(tmp_path / "user")
    with RecordingProxy(registry_b.host, Fault(path="/manifests/v", method="PUT", gate=gate)) as target:
        config = {**mirror(registry_a.host, target.host, {"from": repo}), "parallel": 1}
        process = dregsy.start("-config", dregsy.config(config))
        gate.wait()
        process.send_signal(which)
        wait_for(dregsy.folder / "out", "stop")
        gate.open()

        assert end(process) == 1
    assert len(skopeo.tags(f"{registry_b.host}/{repo}")) == 1


def test_a_second_signal_cancels(
    tmp_path: Path, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """The second signal ends the copy that hangs: no tag is written there, no scratch is left, the report says so."""
    push(registry_a.host, repo, images.image(repo), "v1")
    gate = Gate()
    dregsy = Dregsy(tmp_path / "user")
    with RecordingProxy(registry_b.host, Fault(path="/manifests/v1", method="PUT", gate=gate)) as target:
        config = {**mirror(registry_a.host, "", {"from": repo, "to": f"{repo}/copy"}), "state": "state"}
        del config["tasks"][0]["target"]
        config["tasks"][0]["targets"] = [{"registry": target.host}, {"registry": registry_a.host}]
        process = dregsy.start("-config", dregsy.config(config))
        gate.wait()
        process.send_signal(signal.SIGTERM)
        wait_for(dregsy.folder / "out", "stopping")
        process.send_signal(signal.SIGTERM)

        assert end(process) == 1
    assert "cancelled" in (dregsy.folder / "out").read_text()
    assert (dregsy.folder / "err").read_text() == ""
    assert [one.name for one in (dregsy.folder / "state").iterdir()] == [".dregsy-journal"]
    push(registry_b.host, f"{repo}/copy", images.image(repo), "other")
    assert skopeo.tags(f"{registry_b.host}/{repo}/copy") == ["other"]


def test_a_daemon_stops_with_0(
    tmp_path: Path, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A periodic task runs at once, waits for its next time, and SIGTERM ends the wait with 0."""
    push(registry_a.host, repo, images.image(repo), "v1")
    dregsy = Dregsy(tmp_path / "user")
    process = dregsy.start(
        "-config", dregsy.config(mirror(registry_a.host, registry_b.host, {"from": repo}, interval=30))
    )
    wait_for(dregsy.folder / "out", "1 copied")
    process.send_signal(signal.SIGTERM)

    assert end(process) == 0


def test_kill_minus_9_leaves_nothing_half_copied(
    tmp_path: Path, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """Killed between two layers there is no tag; the next run finishes and sends only what is missing."""
    image = images.image(repo, layers=4)
    push(registry_a.host, repo, image, "v1")
    gate = Gate()
    dregsy = Dregsy(tmp_path / "user")
    last = Fault(path="/blobs/uploads/.", method="PUT", skip=len(image.blobs) - 1, gate=gate)
    with RecordingProxy(registry_b.host, last) as target:
        config = dregsy.config(mirror(registry_a.host, target.host, {"from": repo}))
        process = dregsy.start("-config", config)
        gate.wait()
        wait_until(
            lambda: sum(seen.method == "PUT" and seen.status == 201 for seen in target.seen) == len(image.blobs) - 1
        )
        process.kill()
        end(process)
        assert target.count("PUT", "/manifests/") == 0
    with RecordingProxy(registry_b.host) as target:
        config = dregsy.config(mirror(registry_a.host, target.host, {"from": repo}))

        assert dregsy.run("-config", config).code == 0

        assert target.count("PUT", "/blobs/uploads/") == 1
    assert skopeo.same_image(f"{registry_a.host}/{repo}:v1", f"{registry_b.host}/{repo}:v1")
