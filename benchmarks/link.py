"""A slow road: two network namespaces joined by a wire in user space that delays each packet, for every tool alike.

Needs root, iproute2 and /dev/net/tun; the kernel's own netem is not everywhere. The wire runs as a process
of its own (``python -m benchmarks.link``), so that it does not share an interpreter with who measures.
"""

import ctypes
import fcntl
import os
import random
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

TOOL_ADDRESS, REGISTRY_ADDRESS = "10.77.0.1", "10.77.0.2"

_MTU = 9000
_QUEUE = 20_000
_SET_INTERFACE = 0x400454CA  # TUNSETIFF, see linux/if_tun.h
_TUN_WITHOUT_HEADER = 0x1001
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET, see sched.h
_LIBC = ctypes.CDLL(None, use_errno=True)


class Link:
    """Two namespaces, ``tools`` and ``registries``, ``seconds`` apart each way, while its ``with`` lasts.

    Of all packets the share ``lost`` (0 to 1) is, in both directions.
    """

    def __init__(self, seconds: float, lost: float = 0.0) -> None:
        self.tools, self.registries = f"bench{os.getpid()}a", f"bench{os.getpid()}b"
        self._settings = str(seconds), str(lost)
        self._wire: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.link", self.tools, self.registries, *self._settings]
        self._wire = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._wire.stdout is not None
        if self._wire.stdout.readline() != "ready\n":
            self.__exit__(None, None, None)
            raise RuntimeError("the link between two network namespaces could not be made")
        return self

    def cut(self) -> None:
        """Lose all packets from now on, in both directions; returns when that is so."""
        self._tell("cut")

    def mend(self) -> None:
        """Carry packets again."""
        self._tell("mend")

    def _tell(self, order: str) -> None:
        assert self._wire is not None
        assert self._wire.stdin is not None
        assert self._wire.stdout is not None
        self._wire.stdin.write(f"{order}\n")
        self._wire.stdin.flush()
        if self._wire.stdout.readline() != f"{order}\n":
            raise RuntimeError("the link between two network namespaces has broken down")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._wire is not None
        self._wire.communicate()  # the end of its input is its end, and that of the namespaces


def missing() -> str:
    """What a link needs and this machine lacks; empty when nothing is missing."""
    if os.geteuid() != 0:
        return "root"
    if shutil.which("ip") is None:
        return "iproute2"
    return "" if Path("/dev/net/tun").exists() else "/dev/net/tun"


@contextmanager
def inside(namespace: str | None) -> Iterator[None]:
    """Have this thread, and the processes and threads that it starts, in a network namespace meanwhile."""
    if namespace is None:
        yield
        return
    with Path("/proc/self/ns/net").open("rb") as home, Path(f"/run/netns/{namespace}").open("rb") as away:
        _enter(away.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "cannot enter a network namespace")


def _end(namespace: str, address: str, peer: str) -> int:
    """Make a namespace with one end of the wire in it, and return the file that its packets go through."""
    name = f"tun{namespace[5:]}"
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, _SET_INTERFACE, struct.pack("16sH", name.encode(), _TUN_WITHOUT_HEADER))
    for arguments in (
        ["netns", "add", namespace],
        ["-n", namespace, "link", "set", "lo", "up"],
        ["link", "set", name, "netns", namespace],
        ["-n", namespace, "addr", "add", address, "peer", peer, "dev", name],
        ["-n", namespace, "link", "set", name, "up", "mtu", str(_MTU), "txqueuelen", str(_QUEUE)],
    ):
        subprocess.run(["ip", *arguments], check=True)
    return file


class _Wire:
    """Carries packets between two files; each leaves ``seconds`` after it came, or is ``lost``: always the same."""

    def __init__(self, files: tuple[int, int], seconds: float, lost: float) -> None:
        self._chance = random.Random(1)  # noqa: S311 - keeps no secret
        self._lost = lost
        self._files = files
        self._seconds = seconds
        self._waiting: tuple[deque[tuple[float, bytes]], ...] = (deque(), deque())
        self._is_cut = False

    def run(self, until: int) -> None:
        """Carry packets until the file ``until`` ends; what it says before is ``cut`` or ``mend``."""
        poll = select.poll()
        for file in (*self._files, until):
            poll.register(file, select.POLLIN | select.POLLHUP)
        while True:
            ready = [file for file, _ in poll.poll(self._patience())]
            if until in ready and not self._obey(os.read(until, 100).decode().strip()):
                return
            for side, file in enumerate(self._files):
                if file in ready:
                    self._take(side)
            for side in (0, 1):
                self._give(side)

    def _obey(self, order: str) -> bool:
        """Begin or cease to lose packets, those under way too; False for the end."""
        self._is_cut = order == "cut"
        for queue in self._waiting if self._is_cut else ():
            queue.clear()
        if order:
            print(order, flush=True)
        return bool(order)

    def _patience(self) -> float | None:
        """Milliseconds until the next packet is due; None when none is on its way."""
        due = [queue[0][0] for queue in self._waiting if queue]
        return max(0.0, min(due) - time.monotonic()) * 1000 if due else None

    def _take(self, side: int) -> None:
        due = time.monotonic() + self._seconds
        for _ in range(64):
            try:
                packet = os.read(self._files[side], 65536)
            except BlockingIOError:
                return
            if not self._is_cut and (not self._lost or self._chance.random() >= self._lost):
                self._waiting[side].append((due, packet))

    def _give(self, side: int) -> None:
        queue, now = self._waiting[side], time.monotonic()
        while queue and queue[0][0] <= now:
            try:
                os.write(self._files[1 - side], queue[0][1])
            except BlockingIOError:
                return
            except OSError:
                pass  # the other end takes no packets at this moment: lost, as on any road
            queue.popleft()


def main(tools: str, registries: str, seconds: str, lost: str) -> None:
    """Make the namespaces and carry packets until the standard input ends, however whoever holds it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who measures ends this process when everything else has ended
    try:
        files = _end(tools, TOOL_ADDRESS, REGISTRY_ADDRESS), _end(registries, REGISTRY_ADDRESS, TOOL_ADDRESS)
        print("ready", flush=True)
        _Wire(files, float(seconds), float(lost)).run(sys.stdin.fileno())
    finally:
        for name in (tools, registries):
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main(*sys.argv[1:])
