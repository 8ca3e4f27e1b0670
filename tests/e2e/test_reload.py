"""A running command takes up another config: on SIGHUP, and by itself where the file says ``watch``."""

import signal
from typing import Any

from dregsy.embedded import images
from tests.testbed.asking import scrape
from tests.testbed.command import mirror
from tests.testbed.daemon import PATIENCE, Daemon
from tests.testbed.faults import Fault, Gate
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo


def tasks(*configs: dict[str, Any], **top: Any) -> dict[str, Any]:
    """Make one config of several."""
    return {**top, "tasks": [task for config in configs for task in config["tasks"]]}


def test_sighup_runs_everything_again(
    daemon: Daemon, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """One-off and periodic tasks run again, those that ``-run`` leaves out still do not; SIGTERM ends with 0."""
    push(registry_a.host, repo, images.image(repo), "v1")
    once = mirror(registry_a.host, registry_b.host, {"from": repo}, name="sync-once")
    often = mirror(registry_a.host, registry_b.host, {"from": repo}, name="sync-often", interval=3600)
    other = mirror(registry_a.host, registry_b.host, {"from": repo}, name="other")
    daemon.start("-config", daemon.dregsy.config(tasks(once, often, other)), "-run", "sync-.*")
    daemon.said("task 'sync-often' finished")

    daemon.signal(signal.SIGHUP)

    said = daemon.said("task 'sync-often' finished", 2)
    assert said.count("task 'sync-once' finished") == 2
    assert "other" not in said
    assert daemon.stop() == 0


def test_sighup_takes_up_other_targets_and_relay(
    daemon: Daemon, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """What the file says now is done: another relay, another place; a broken one before that changes nothing."""
    push(registry_a.host, repo, images.image(repo), "v1")
    config = mirror(registry_a.host, registry_b.host, {"from": repo}, interval=3600)
    name = daemon.dregsy.config(config)
    daemon.start("-config", name)
    daemon.said("finished")

    daemon.dregsy.write("tasks:\n- name: x\n  interval: 5\nparallel: no\n")
    daemon.signal(signal.SIGHUP)
    said = daemon.said("NOT used")
    daemon.dregsy.config({"relay": "skopeo", "skopeo": {"binary": "no-such-skopeo"}, **config})
    daemon.signal(signal.SIGHUP)
    said = daemon.said("no-such-skopeo")
    config = mirror(registry_a.host, registry_b.host, {"from": repo, "to": f"new/{repo}"}, interval=60, verbose=True)
    daemon.dregsy.config({"relay": "skopeo", **config})
    daemon.signal(signal.SIGHUP)
    daemon.said("finished", 2)
    daemon.said("Copying blob")  # skopeo's own words, as the task is verbose

    assert {"error"} == {line.split()[1] for line in said.splitlines() if "sync.yaml" in line or "NOT" in line}
    assert all(f"{name}:{line}: " in said for line in (2, 3, 4))
    assert said.count("finished") == 1
    assert skopeo.same_image(f"{registry_a.host}/{repo}:v1", f"{registry_b.host}/new/{repo}:v1")
    assert daemon.stop() == 0


def test_sighup_cuts_no_copy(
    daemon: Daemon, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """A signal while one-off tasks run: the copy is finished, then the new file's tasks run, then the command ends."""
    push(registry_a.host, repo, images.image(repo), "v1")
    gate = Gate()
    with RecordingProxy(registry_b.host, Fault(path="/manifests/v", method="PUT", gate=gate)) as target:
        name = daemon.dregsy.config(mirror(registry_a.host, target.host, {"from": repo}))
        daemon.start("-config", name)
        gate.wait()
        daemon.dregsy.config(mirror(registry_a.host, target.host, {"from": repo, "to": f"new/{repo}"}))
        daemon.signal(signal.SIGHUP)
        daemon.said("counts once the task in progress has ended")
        gate.open()

        assert daemon.process is not None
        assert daemon.process.wait(PATIENCE) == 0
    for place in (repo, f"new/{repo}"):
        assert skopeo.same_image(f"{registry_a.host}/{repo}:v1", f"{registry_b.host}/{place}:v1")


def test_failure_stays_known(daemon: Daemon, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str) -> None:
    """A cron task that failed before the file was read again, and has not run since, makes the exit code 1."""
    config = mirror(registry_a.host, registry_b.host, {"from": repo, "tags": ["none"]}, interval=3600)
    name = daemon.dregsy.config(config)
    daemon.start("-config", name)
    daemon.said("finished")
    del config["tasks"][0]["interval"]
    daemon.dregsy.config(tasks({"tasks": [{**config["tasks"][0], "schedule": "0 0 1 1 *"}]}))

    daemon.signal(signal.SIGHUP)
    daemon.said("its tasks run now")

    assert daemon.stop() == 1


def test_a_swapped_config_map_is_noticed(
    daemon: Daemon, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """``watch`` needs no signal: the file of a Kubernetes config map counts soon after its folder is swapped."""
    push(registry_a.host, repo, images.image(repo), "v1")
    home = daemon.dregsy.folder
    for version in ("1", "2"):
        (home / version).mkdir()
        config = mirror(registry_a.host, registry_b.host, {"from": repo}, name=f"task-{version}", interval=3600)
        daemon.dregsy.config({"watch": True, **config}, f"{version}/sync.yaml")
    (home / "..data").symlink_to("1")
    (home / "sync.yaml").symlink_to("..data/sync.yaml")
    daemon.start("-config", "sync.yaml")
    daemon.said("task 'task-1' finished")

    (home / "..tmp").symlink_to("2")
    (home / "..tmp").rename(home / "..data")

    daemon.said("task 'task-2' finished")
    assert daemon.stop() == 0


def test_a_watched_file_that_is_wrong_and_then_mended(
    daemon: Daemon, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """Without a signal: rewritten with a mistake it is refused and the old one goes on; what replaces it counts."""
    push(registry_a.host, repo, images.image(repo), "v1")
    config = mirror(registry_a.host, registry_b.host, {"from": repo}, name="old", interval=3600)
    name = daemon.dregsy.config({"watch": True, "listen": ":0", **config})
    daemon.start("-config", name)
    said = daemon.said("task 'old' finished")
    url = next(word for word in said.split() if word.startswith("http://127"))

    daemon.dregsy.write("watch: true\ntasks:\n- name: old\n  interval: soon\n")
    said = daemon.said("NOT used")
    refused = scrape(url)
    assert daemon.process is not None
    assert daemon.process.poll() is None
    config = mirror(registry_a.host, registry_b.host, {"from": repo}, name="new", interval=3600)
    daemon.dregsy.config({"watch": True, "listen": ":0", **config}, "edited")
    (daemon.dregsy.folder / "edited").rename(daemon.dregsy.folder / name)
    daemon.said("task 'new' finished")

    assert f"{name}:4: " in said
    assert refused["dregsy_config_last_reload_successful"] == 0
    assert scrape(url)["dregsy_config_last_reload_successful"] == 1
    assert daemon.stop() == 0
