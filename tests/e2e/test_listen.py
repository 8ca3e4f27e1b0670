"""A running command tells how it does, as Prometheus and Kubernetes ask for it."""

import base64
import json
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dregsy.embedded import images
from tests.testbed.asking import ask, scrape
from tests.testbed.command import Dregsy, mirror
from tests.testbed.daemon import Daemon
from tests.testbed.faults import Fault, Gate
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import basic, push
from tests.testbed.servers import DockerRegistry

Listened = Callable[..., str]
PAGES = ("/metrics", "/healthz", "/readyz", "/", "/history", "/api/v1/status", "/api/v1/history")


def auth(user: str, password: str) -> str:
    """Write a login as config files have it."""
    return base64.b64encode(json.dumps({"username": user, "password": password}).encode()).decode()


@pytest.fixture
def listened(daemon: Daemon) -> Listened:
    """Start the command, and return where it listens."""

    def start(*arguments: str) -> str:
        daemon.start(*arguments)
        said = daemon.said("metrics and health are at http://127.0.0.1:")
        return next(word for word in said.split() if word.startswith("http://127"))

    return start


def test_a_refused_config_shows(
    daemon: Daemon, listened: Listened, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A bad file and SIGHUP: the old one goes on, and a metric tells until a good one comes."""
    push(registry_a.host, repo, images.image(repo), "v1")
    good = mirror(registry_a.host, registry_b.host, {"from": repo}, interval=3600)
    url = listened("-config", daemon.dregsy.config(good), "-listen", ":0")
    daemon.said("finished")
    states = [scrape(url)]

    daemon.dregsy.write("tasks: 7\n")
    daemon.signal(signal.SIGHUP)
    daemon.said("NOT used")
    states.append(scrape(url))
    daemon.dregsy.config(good)
    daemon.signal(signal.SIGHUP)
    daemon.said("finished", 2)
    states.append(scrape(url))

    assert [state["dregsy_config_last_reload_successful"] for state in states] == [1, 0, 1]
    assert [state['dregsy_config_reloads_total{result="refused"}'] for state in states] == [0, 1, 1]
    assert [state['dregsy_config_reloads_total{result="accepted"}'] for state in states] == [0, 0, 1]
    assert [ask(url, path).text for path in ("/healthz", "/readyz")] == ["ok\n"] * 2
    assert daemon.stop() == 0


def test_a_task_that_fails_shows(
    daemon: Daemon, listened: Listened, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """What was copied, what failed and why, what moved, and what was asked for; the good mapping is fresh."""
    image = images.image(repo, layers=2)
    push(registry_a.host, repo, image, "v1")
    mappings = ({"from": repo, "tags": ["v1"]}, {"from": repo, "to": "other", "tags": ["none"]})
    config = mirror(registry_a.host, registry_b.host, *mappings, interval=3600)
    url = listened("-config", daemon.dregsy.config({"listen": ":0", **config}))
    daemon.said("finished")

    found = scrape(url)

    task = 'task="mirror"'
    size = sum(len(blob) for blob in image.blobs.values())
    assert found[f'dregsy_task_runs_total{{result="failed",{task}}}'] == 1
    assert found[f'dregsy_copies_total{{outcome="copied",reason="missing",{task}}}'] == 1
    assert found[f'dregsy_copies_total{{outcome="failed",reason="not-found",{task}}}'] == 1
    assert (found[f"dregsy_read_bytes_total{{{task}}}"], found[f"dregsy_written_bytes_total{{{task}}}"]) == (size, size)
    assert found[f'dregsy_requests_total{{host="{registry_b.host}",method="PUT",status="201"}}'] >= len(image.blobs) + 1
    assert found[f'dregsy_requests_total{{host="{registry_a.host}",method="HEAD",status="404"}}'] == 1
    fresh = [name for name in found if name.startswith("dregsy_mapping_last_success")]
    assert fresh == [f'dregsy_mapping_last_success_timestamp_seconds{{mapping="{repo}",{task}}}']
    assert [name for name in found if "since_success" in name] == []
    assert ask(url, "/healthz").text == "ok\n"
    assert daemon.stop() == 1


def test_a_run_in_progress_and_its_end(
    daemon: Daemon, listened: Listened, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A one-off run is served while it lasts, also when it is told to stop: what runs, what waits; then it is gone."""
    push(registry_a.host, repo, images.image(f"{repo} 1"), "v1")
    push(registry_a.host, repo, images.image(f"{repo} 2"), "v2")
    gate = Gate()
    with RecordingProxy(registry_b.host, Fault(path="/manifests/v", method="PUT", gate=gate)) as target:
        config = {**mirror(registry_a.host, target.host, {"from": repo}), "parallel": 1}
        url = listened("-config", daemon.dregsy.config(config), "--listen", ":0")
        gate.wait()
        pending = scrape(url)
        daemon.signal(signal.SIGTERM)
        daemon.said("stopping")
        stopping = ask(url, "/healthz")
        gate.open()

        assert daemon.process is not None
        assert daemon.process.wait(60) == 1
    assert pending['dregsy_copies_running{task="mirror"}'] == 1
    assert pending['dregsy_copies_queued{task="mirror"}'] <= 1
    assert stopping.status == 200
    with pytest.raises(ConnectionRefusedError):
        ask(url, "/healthz")


def test_no_secret_is_told(daemon: Daemon, listened: Listened, tmp_path: Path, repo: str) -> None:
    """Not the password, not in any form, also when a registry refuses it and repeats what it was sent."""
    password = "s3cret-word"
    login = auth("alice", password)
    daemon.dregsy.environ["WORD"] = login
    with DockerRegistry(tmp_path / "r", users={"alice": "another"}) as registry:
        config = mirror(registry.host, registry.host, {"from": repo, "to": "x"}, interval=3600)
        config["tasks"][0]["source"]["auth"] = "${WORD}"
        config["tasks"][0]["target"]["auth"] = "${WORD}"
        url = listened("-config", daemon.dregsy.config(config), "-listen", ":0")
        daemon.said("finished")
        answers = [ask(url, path, accept=kind) for path in PAGES for kind in ("", "application/json")]

    told = "".join(f"{answer.headers}{answer.text}" for answer in answers)
    assert 'reason="unauthorized"' in told
    assert [
        word for word in (password, login, basic("alice", password)["Authorization"].split()[1]) if word in told
    ] == []


def test_an_address_that_is_taken(daemon: Daemon, listened: Listened, registry_a: DockerRegistry, repo: str) -> None:
    """The second to want it ends at once, with exit code 1, names it, and has copied nothing."""
    push(registry_a.host, repo, images.image(repo), "v1")
    config = mirror(registry_a.host, registry_a.host, {"from": repo, "to": f"{repo}/copy"}, interval=3600)
    url = listened("-config", daemon.dregsy.config(config), "-listen", "127.0.0.1:0")
    daemon.said("finished")
    address = urlsplit(url).netloc
    other = Dregsy(daemon.dregsy.folder.parent / "other")

    done = other.run("-config", other.config({**config, "listen": address}))

    assert done.code == 1
    assert f"cannot listen on {address}: address already in use" in done.err
    assert "task" not in done.out
    assert daemon.stop() == 0


@pytest.mark.parametrize("text", ["8080", "localhost", ":99999", "http://x:80"])
def test_no_address(daemon: Daemon, text: str) -> None:
    """An address that is none is a mistake in the file, with its line, and on the command line."""
    dregsy = daemon.dregsy
    in_file = dregsy.run("check", "-config", dregsy.write(f"listen: {text}\ntasks: []\n"))
    as_flag = dregsy.run("-config", dregsy.write("tasks: []\n"), "-listen", text)

    assert (in_file.code, as_flag.code) == (1, 1)
    assert "sync.yaml:1: listen: has " in in_file.said
    assert f"--listen '{text}' has " in as_flag.err


def test_another_address_needs_a_restart(
    daemon: Daemon, listened: Listened, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """``listen`` that changes in the file is told as a warning; the old address goes on, and so does all else."""
    push(registry_a.host, repo, images.image(repo), "v1")
    config = mirror(registry_a.host, registry_b.host, {"from": repo}, interval=3600)
    url = listened("-config", daemon.dregsy.config({"listen": ":0", **config}))
    daemon.said("finished")

    daemon.dregsy.config({"listen": "127.0.0.1:1", **config})
    daemon.signal(signal.SIGHUP)
    daemon.said("'listen' is another one now")
    daemon.said("finished", 2)

    assert scrape(url)['dregsy_task_runs_total{result="succeeded",task="mirror"}'] == 2
    assert daemon.stop() == 0
