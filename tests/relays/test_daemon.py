import asyncio
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from docker import APIClient

from dregsy.embedded import images
from dregsy.errors import ImageError, NotFound, RelayError, RelayUnavailable
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Login
from dregsy.model.platform import Platform
from dregsy.model.ref import Ref
from relays import daemon as asked
from relays.daemon import Daemon
from tests.testbed.certificates import Authority
from tests.testbed.dockerd import Dockerd
from tests.testbed.faults import Fault, Gate
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

NOWHERE = "127.0.0.1:1"


def quiet(count: int) -> None:
    """Listen to no progress."""


async def test_the_version_is_agreed_upon(dockerd: Dockerd) -> None:
    """Without a wish the daemon's own version is spoken, else the one that was asked for."""
    spoken = []
    for version in (None, "1.30"):
        daemon = Daemon(dockerd.host, version)
        await daemon.find()
        spoken.append(await daemon.ask(lambda client: client.api_version))
        daemon.close()

    assert spoken == ["1.41", "1.30"]


@pytest.mark.parametrize(("pinned", "spoken"), [(None, "1.29"), ("1.30", "1.30")])
async def test_the_version_of_the_environment_counts(
    dockerd: Dockerd, pinned: str | None, spoken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DOCKER_API_VERSION pins the version where the config file does not."""
    monkeypatch.setenv("DOCKER_API_VERSION", "1.29")
    daemon = Daemon(dockerd.host, pinned)
    await daemon.find()
    found = await daemon.ask(lambda client: client.api_version)
    daemon.close()

    assert spoken == found


async def test_the_daemon_of_dockers_context_is_found(dockerd: Dockerd, tmp_path: Path) -> None:
    """What ``docker context use`` has chosen counts when nothing else says where the daemon is."""
    docker = ["/usr/bin/docker", "--config", str(tmp_path / "home/.docker"), "context"]
    subprocess.run([*docker, "create", "here", f"--docker=host={dockerd.host}"], check=True, capture_output=True)
    subprocess.run([*docker, "use", "here"], check=True, capture_output=True)
    daemon = Daemon(None, None)
    await daemon.find()
    daemon.close()

    assert Platform("linux", "amd64") == daemon.platform


async def test_a_daemon_that_comes_back_is_waited_for() -> None:
    """Who has lost the daemon in a restart can go on when it answers again."""
    with Dockerd() as dockerd:
        daemon = Daemon(dockerd.host, None)
        await daemon.find()
        dockerd.stop()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(daemon.back())
            await asyncio.to_thread(dockerd.start)
        images_found = await daemon.ask(lambda client: client.images())
        daemon.close()

    assert waiting.done()
    assert images_found == []


async def test_a_daemon_that_stays_away_is_not_waited_for_again() -> None:
    """It has its time to come back once, not once for each image; a daemon that answered has it anew."""
    with Dockerd() as dockerd:
        daemon = Daemon(dockerd.host, None)
        await daemon.find()
        dockerd.stop()
        await daemon.back(0.1)
        missed = daemon._missed
        await daemon.back(0.1)
        assert missed is not None
        assert missed == daemon._missed
        dockerd.start()
        await daemon.back()
        daemon.close()

    assert daemon._missed is None


@pytest.mark.parametrize(
    ("host", "version"),
    [
        ("unix:///nonexistent.sock", None),
        (f"tcp://{NOWHERE}", None),
        ("nonsense://x", None),
        ("", "1.99"),
        ("", "1.2"),
    ],
)
async def test_a_daemon_that_does_not_answer_is_unavailable(dockerd: Dockerd, host: str, version: str | None) -> None:
    """No daemon, or none that speaks the wanted version, is reported when the run begins, with what to do."""
    daemon = Daemon(host or dockerd.host, version)
    with pytest.raises(RelayUnavailable) as caught:
        await daemon.find()
    daemon.close()

    assert "dockerhost" in caught.value.hint


async def test_a_daemon_that_is_down_is_a_passing_fault(tmp_path: Path) -> None:
    """While it is down questions fail so that they may be asked again; once it is back it answers."""
    del tmp_path
    with Dockerd() as dockerd:
        daemon = Daemon(dockerd.host, None)
        await daemon.find()
        dockerd.stop()
        with pytest.raises(RelayError) as caught:
            await daemon.ask(lambda client: client.images())
        dockerd.start()
        found = await daemon.ask(lambda client: client.images())
        daemon.close()

    assert caught.value.retryable
    assert found == []


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which dockerd may listen, and which nobody is given who asks for any."""
    with socket.socket() as holding:
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as dockerd does
        holding.bind(("127.0.0.1", 0))
        yield holding.getsockname()[1]


@pytest.mark.parametrize("ambient", [False, True])
async def test_tcp_with_tls_ignores_the_environments_certificates(
    tmp_path: Path, authority: Authority, ambient: bool, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DOCKER_HOST and friends are used when nothing is configured; CA bundles meant for the web are not."""
    certificate, key = authority.issue(f"dockerd-{ambient}")
    client, client_key = authority.issue(f"docker-client-{ambient}", client=True)
    for name, origin in (("ca.pem", authority.ca_file), ("cert.pem", client), ("key.pem", client_key)):
        (tmp_path / name).write_bytes(origin.read_bytes())
    address = f"tcp://127.0.0.1:{port}"
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_HOST", address if ambient else f"tcp://{NOWHERE}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority(tmp_path / "stranger").ca_file))
    tls = ("--tlsverify", f"--tlscacert={authority.ca_file}", f"--tlscert={certificate}", f"--tlskey={key}")
    with Dockerd(f"--host={address}", *tls):
        daemon = Daemon(None if ambient else address, None)
        await daemon.find()
        found = await daemon.ask(lambda client: client.images())
        daemon.close()

    assert found == []


@pytest.mark.parametrize("way", ["unix", "tcp"])
async def test_a_daemon_that_hangs_holds_nobody(tmp_path: Path, way: str, mute: socket.socket) -> None:
    """A daemon that takes connections and says nothing is left at once by a question that is cancelled."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as listening, ExitStack() as connections:
        if way == "unix":
            listening.bind(f"{tmp_path}/d.sock")
            listening.listen()
            listening.setblocking(False)
        host = f"unix://{tmp_path}/d.sock" if way == "unix" else "tcp://{}:{}".format(*mute.getsockname())
        asking = Daemon(host, "1.41")
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            running = group.create_task(asking.ask(lambda client: client.version()))
            for _ in range(2 if way == "unix" else 1):  # the first one only tries whether it can
                connection, _ = await loop.sock_accept(listening if way == "unix" else mute)
                connections.enter_context(connection)
            running.cancel()
        asking.close()

    assert running.cancelled()


async def test_a_question_is_broken_off_before_its_answer_begins(
    dockerd: Dockerd, daemon: APIClient, repo: str, mute: socket.socket
) -> None:
    """Cancelling breaks the connection at once; more questions than threads wait, and are just dropped."""
    asking = Daemon(dockerd.host, None)
    source = Ref("{}:{}".format(*mute.getsockname()), repo, digest=Digest.of(b""))
    async with asyncio.TaskGroup() as group:
        running = [
            group.create_task(asking.ask(lambda client: asked.pull(client, source, None, Login(), quiet), silence=1000))
            for _ in range(asked.THREADS + 2)
        ]
        connection, _ = await asyncio.get_running_loop().sock_accept(mute)
        for task in running:
            task.cancel()
    connection.close()
    asking.close()

    assert {task.cancelled() for task in running} == {True}
    assert daemon.images(all=True) == []


async def test_a_question_is_broken_off_in_the_middle_of_its_answer(
    dockerd: Dockerd, daemon: APIClient, repo: str, registry_a: DockerRegistry
) -> None:
    """A pull whose layers do not come is broken off, and the daemon gives it up."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    gate = Gate()
    asking = Daemon(dockerd.host, None)
    with RecordingProxy(registry_a.host, Fault(path="/v2/.*/blobs/", times=-1, gate=gate)) as proxy:
        source = Ref(proxy.host, repo, digest=image.digest)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(
                asking.ask(lambda client: asked.pull(client, source, None, Login(), quiet), silence=1000)
            )
            await gate.arrival()
            running.cancel()
        gate.open()
    asking.close()

    assert running.cancelled()
    assert daemon.images(all=True) == []


async def test_errors_in_a_stream_are_errors(dockerd: Dockerd, repo: str, registry_a: DockerRegistry) -> None:
    """What the daemon reports after its 200 is raised, for pulls and for pushes."""
    image = images.image(repo)
    push(registry_a.host, repo, images.index(image), "v1")
    push(registry_a.host, repo, image, "v2")
    index = Ref(registry_a.host, repo, digest=images.index(image).digest)
    asking = Daemon(dockerd.host, None)
    await asking.find()
    with pytest.raises(ImageError):
        await asking.ask(lambda client: asked.pull(client, index, Platform("linux", "s390x"), Login(), quiet))
    missing = Ref(registry_a.host, repo, digest=Digest.of(b"missing"))
    with pytest.raises(NotFound):
        await asking.ask(lambda client: asked.pull(client, missing, None, Login(), quiet))
    await asking.ask(lambda client: asked.pull(client, index, None, Login(), quiet))
    with pytest.raises(RelayError):
        await asking.ask(lambda client: asked.push(client, Ref(registry_a.host, f"{repo}/x", "y"), Login()))
    asking.close()


async def test_removing_twice_is_no_error(
    dockerd: Dockerd, daemon: APIClient, repo: str, registry_a: DockerRegistry
) -> None:
    """Something else may have removed a name before."""
    push(registry_a.host, repo, images.image(repo), "v1")
    daemon.pull(f"{registry_a.host}/{repo}", "v1")
    asking = Daemon(dockerd.host, None)
    for _ in range(2):
        await asking.ask(lambda client: asked.remove(client, f"{registry_a.host}/{repo}:v1"))
    asking.close()

    assert daemon.images(all=True) == []
