import asyncio
import os
from pathlib import Path

import pytest

from dregsy.errors import RelayUnavailable
from relays.daemon import Daemon
from tests.testbed.dockerd import Dockerd
from tests.testbed.processes import ends


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ssh that runs the command it is given on this machine, and notes its own and its arguments."""
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(
        f"""#!/bin/sh
echo $$ "$@" >> {tmp_path}/log
for last in "$@"; do :; done
PATH=/usr/bin:$PATH exec sh -c "exec $last"
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path


def logged(far: Path) -> list[list[str]]:
    """The process number and the arguments of each ssh."""
    return [line.split() for line in (far / "log").read_text().splitlines()]


@pytest.mark.parametrize("ambient", [False, True])
async def test_a_daemon_behind_ssh(dockerd: Dockerd, far: Path, ambient: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon answers through ssh, whether the config file or DOCKER_HOST names it, and no ssh stays behind."""
    address = f"ssh://me@far.test:2222{dockerd.folder}/d.sock"
    if ambient:
        monkeypatch.setenv("DOCKER_HOST", address)
    daemon = Daemon(None if ambient else address, None)
    await daemon.find()
    version = await daemon.ask(lambda client: client.version()["ApiVersion"])
    daemon.close()

    assert version == "1.41"
    assert [line[-8:-4] for line in logged(far)] == [["2222", "--", "far.test", "docker"]] * 2
    assert [ends(int(line[0])) for line in logged(far)] == [True, True]


@pytest.mark.parametrize(
    "said", ["me@far.test: Permission denied (publickey).", "ssh: connect to host far.test port 22: No route to host"]
)
async def test_what_ssh_complains_of_is_the_error(tmp_path: Path, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is refused, a host that is not there: ssh says it best."""
    program = tmp_path / "ssh"
    program.write_text(f"#!/bin/sh\necho '{said}' >&2; exit 255\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    daemon = Daemon("ssh://me@far.test", None)
    with pytest.raises(RelayUnavailable) as caught:
        await daemon.find()
    daemon.close()

    assert caught.value.message == f"docker: ssh: {said.removeprefix('ssh: ')}"
    assert "dockerhost" in caught.value.hint


async def test_without_ssh_the_daemon_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without ssh is told so, and a port that is none as well."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for address in ("ssh://far.test", "ssh://far.test:none"):
        daemon = Daemon(address, None)
        with pytest.raises(RelayUnavailable):
            await daemon.find()
        daemon.close()


async def test_a_question_through_ssh_is_broken_off(dockerd: Dockerd, far: Path) -> None:
    """Cancelling ends the ssh whose answer does not come, here that of a daemon that tells of events for ever."""
    daemon = Daemon(f"ssh://far.test{dockerd.folder}/d.sock", None)
    await daemon.find()
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def listen(client: object) -> None:
        stream = client.events()  # type: ignore[attr-defined]  # an SDK client
        loop.call_soon_threadsafe(begun.set)
        list(stream)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(daemon.ask(listen, silence=1000))
        await begun.wait()
        running.cancel()
    daemon.close()

    assert running.cancelled()
    assert [ends(int(line[0])) for line in logged(far)] == [True] * len(logged(far))
