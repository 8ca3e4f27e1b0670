"""A running command tells how it does, as Prometheus and Kubernetes ask for it."""

import signal
from collections.abc import Callable

import pytest

from dregsy.embedded import images
from tests.testbed.asking import ask, scrape
from tests.testbed.command import mirror
from tests.testbed.daemon import Daemon
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

Listened = Callable[..., str]


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
