"""Podman's service, which speaks docker's API: a real one as a child process, with folders of its own."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

from docker import APIClient

from tests.testbed.servers import PATIENCE, die_with_parent, stop

_REGISTRIES = """
unqualified-search-registries = []
[[registry]]
location = "127.0.0.1"  # whatever the port; unlike docker, podman knows no rule of its own for this machine
insecure = true
"""


class Podman:
    """A ``podman system service`` that runs while its ``with`` lasts; ``host`` is what DOCKER_HOST would say."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise RuntimeError("podman's service needs root here: run the tests as root, in a container if you like")
        self.folder = Path(tempfile.mkdtemp(prefix="podman-"))
        self.host = f"unix://{self.folder}/p.sock"
        self._log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._version: str | None = None
        """Of the API; podman takes 0.3 s to tell, so it is asked once."""

    def client(self) -> APIClient:
        """Return a client for looking at podman's images; to be closed by who asks."""
        return APIClient(base_url=self.host, version=self._version, timeout=int(PATIENCE))

    def __enter__(self) -> Self:
        (self.folder / "registries.conf").write_text(_REGISTRIES)
        command = [
            "podman", f"--root={self.folder}/root", f"--runroot={self.folder}/run", f"--tmpdir={self.folder}/t",
            "--storage-driver=overlay", "--cgroup-manager=cgroupfs", "--events-backend=file",
            "system", "service", "--time=0", self.host,
        ]  # fmt: skip
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "CONTAINERS_REGISTRIES_CONF": str(self.folder / "registries.conf"),
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environ,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread of ours holds a lock that prctl needs
            )
        try:
            self._wait(self._process)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if process.poll() is not None:
                raise RuntimeError(f"podman ended: {self._log.read_text()[-2000:]}")
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(f"{self.folder}/p.sock") == 0:
                    with closing(self.client()) as client:  # waits until the version is told
                        self._version = client.api_version
                    return
            time.sleep(0.01)
        raise RuntimeError(f"podman did not answer within {PATIENCE} s: {self._log.read_text()[-2000:]}")

    def _close(self) -> None:
        """Stop and remove everything, mounts included."""
        if self._process is not None:
            stop(self._process)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if mount.startswith(f"{self.folder}/")]):
            subprocess.run(["umount", "-l", mount], check=True)
        shutil.rmtree(self.folder)
