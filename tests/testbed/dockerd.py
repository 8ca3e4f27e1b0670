"""A real docker daemon as a child process, with folders of its own and no network of its own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from docker import APIClient

from tests.testbed.servers import PATIENCE, die_with_parent, stop


class Dockerd:
    """A dockerd that runs while its ``with`` lasts; ``host`` is what DOCKER_HOST would say.

    ``options`` are more command-line options, such as another ``--host``. Images stay over ``stop`` and ``start``.
    ``within`` is put before its command line, as an Island asks for.
    """

    def __init__(self, *options: str, within: Sequence[str] = ()) -> None:
        if os.geteuid() != 0:
            raise RuntimeError("a docker daemon needs root: run the tests as root, in a container if you like")
        # Not below pytest's folders: the path of a socket may have 107 bytes, and dockerd makes longer ones.
        self.folder = Path(tempfile.mkdtemp(prefix="dockerd-"))
        self.host = f"unix://{self.folder}/d.sock"
        self.log = self.folder / "log"
        self._options = options
        self._within = within
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running child process."""
        assert self._process is not None
        return self._process

    def client(self) -> APIClient:
        """Return a client for looking at the daemon's images; to be closed by who asks."""
        return APIClient(base_url=self.host, timeout=int(PATIENCE))

    def start(self) -> None:
        """Begin to serve; returns when the daemon answers."""
        # A daemon that was killed leaves the number of its containerd, which PID 1 of a container may never reap.
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)
        (self.folder / "pid").unlink(missing_ok=True)
        command = [
            *self._within,
            "dockerd", "--storage-driver=overlay2", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
            "--ip-masq=false", "--userland-proxy=false", "--bridge=none", "--shutdown-timeout=3",
            f"--host={self.host}", f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec",
            f"--pidfile={self.folder}/pid", *self._options,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread of ours holds a lock that prctl needs
            )
        self._wait()

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """Stop serving; the images stay."""
        stop(self.process, with_signal)

    def close(self) -> None:
        """Stop and remove everything, mounts included."""
        try:
            if self._process is not None:
                stop(self._process)
        finally:
            below = f"{self.folder}/"
            mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
            for mount in reversed([mount for mount in mounts if mount.startswith(below)]):
                subprocess.run(["umount", "-l", mount], check=True)
            shutil.rmtree(self.folder)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"dockerd ended: {self.log.read_text()[-2000:]}")
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(f"{self.folder}/d.sock") == 0:
                    self.client().close()  # asks for the version, and waits until it is told
                    return
            time.sleep(0.01)
        raise RuntimeError(f"dockerd did not answer within {PATIENCE} s: {self.log.read_text()[-2000:]}")
