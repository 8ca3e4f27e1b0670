"""A private network and a private /etc, for programs that read /etc or treat loopback addresses as special."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.testbed.servers import die_with_parent, stop

ADDRESS = "192.0.2.1"
"""The address of everything on an island: one of those that are meant for examples, and no loopback address."""

_SETTLE = """
set -eu
busybox ip link set lo up
busybox ip addr add "$1/32" dev lo
mount -t tmpfs none "$2"
mkdir "$2/upper" "$2/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$2/upper,workdir=$2/work" none /etc
printf '%b' "$3" > /etc/hosts
echo settled
exec sleep infinity
"""


class Island:
    """Namespaces that last while its ``with`` does; ``within`` begins the command lines of what is to live there.

    ``hosts`` are names and their addresses. What is written to /etc there is gone afterwards; all other
    folders are those of the machine.
    """

    def __init__(self, folder: Path, hosts: Mapping[str, str]) -> None:
        folder.mkdir(parents=True)
        names = "".join(f"{address} {name}\\n" for name, address in {"localhost": "127.0.0.1", **hosts}.items())
        self._command = ["sh", "-c", _SETTLE, "sh", ADDRESS, str(folder), names]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def within(self) -> tuple[str, ...]:
        """What to put before a command line; its working directory is then the root folder."""
        assert self._process is not None
        return ("nsenter", f"--target={self._process.pid}", "--mount", "--net", "--")

    def run(self, *command: str) -> None:
        """Run a command there; it must succeed."""
        subprocess.run([*self.within, *command], check=True, capture_output=True)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--net", "--propagation=private", *self._command],
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread of ours holds a lock that prctl needs
        )
        assert self._process.stdout is not None
        with self._process.stdout as said:
            settled = said.readline()
        if settled != b"settled\n":
            stop(self._process)
            raise RuntimeError("no private network and /etc could be made: run the tests as root")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        stop(self._process)
