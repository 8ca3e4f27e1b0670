"""Fixtures for everybody: registries that stay up while the tests run, and an environment that knows nothing."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from dregsy.embedded.server import EmbeddedRegistry
from tests.testbed.aws import Moto
from tests.testbed.certificates import Authority
from tests.testbed.daemon import Daemon
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo

_FOREIGN = (
    "LOG_",
    "_PROXY",
    "_CA_BUNDLE",
    "SSL_CERT_",
    "AWS_",
    "GOOGLE_",
    "GCE_",
    "CLOUDSDK_",
    "DOCKER_",
    "DREGSY_",
    "REGISTRY_AUTH_FILE",
    "XDG_",
    "HOSTNAME",
)

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")  # how fast examples come up says more of the machine than of us


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let authors of relays run the suite of tests/relays/contract.py on theirs."""
    parser.addoption("--relay", metavar="NAME", help="run the relays' contract on this one alone")
    parser.addoption("--relay-settings", metavar="JSON", default="{}", help="its section of the config file")


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home, no docker config, and none of this machine's proxies, certificates and cloud logins."""
    for name in list(os.environ):
        if any(part in name.upper() for part in _FOREIGN):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    (home / ".docker").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DOCKER_CONFIG", str(home / ".docker"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)  # reading the system's takes 24 ms for each registry of each test


@pytest.fixture(scope="session")
def registry_a(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """A plain docker-registry for all tests of this process; each uses repositories of its own (``repo``)."""
    with DockerRegistry(tmp_path_factory.mktemp("registry-a")) as registry:
        yield registry


@pytest.fixture(scope="session")
def registry_b(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """A second plain docker-registry."""
    with DockerRegistry(tmp_path_factory.mktemp("registry-b")) as registry:
        yield registry


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def repo() -> str:
    """Name a repository that no other test uses; also a good text for images that no other test knows."""
    return f"test/{uuid.uuid4().hex[:12]}"


@pytest.fixture
def skopeo(tmp_path: Path) -> Skopeo:
    """Return a skopeo that remembers nothing."""
    return Skopeo(tmp_path / "skopeo")


@pytest.fixture
async def embedded_pair() -> AsyncIterator[tuple[EmbeddedRegistry, EmbeddedRegistry]]:
    """Two embedded registries, such as a source and a target."""
    async with EmbeddedRegistry() as one, EmbeddedRegistry() as other:
        yield one, other


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """AWS's API as moto plays it; it forgets everything for each AwsApi that is put in front of it."""
    with Moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Return a command that is ended with the test."""
    daemon = Daemon(tmp_path / "user")
    yield daemon
    if daemon.process is not None and daemon.process.poll() is None:
        daemon.process.kill()
        daemon.process.wait()
