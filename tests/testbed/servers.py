"""Real registries for the tests: Debian's docker-registry as a child process, in any dress its config allows."""

import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import bcrypt

from dregsy.model.digest import Digest

PATIENCE = 60.0
"""The longest, in seconds, that a server may take to begin or to end; usual are 0.03."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def die_with_parent() -> None:
    """Have the kernel end this child process when the test run dies; to be used as ``preexec_fn``.

    What counts is the thread that starts the child, so start children from the main thread. It hears of a SIGHUP also
    where the test run itself does not, as under nohup.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port on which nobody listens at this moment."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


@contextmanager
def held_port(address: str = "127.0.0.1") -> Iterator[int]:
    """Give a port that refuses connections, and that nobody else is given meanwhile.

    A server may listen on it all the same if it sets SO_REUSEADDR, as nearly all do.
    """
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((address, 0))
        yield int(holder.getsockname()[1])


def wait_port(port: int, process: subprocess.Popen[bytes] | None = None, address: str = "127.0.0.1") -> None:
    """Return once something listens; RuntimeError when ``process`` ends before, or patience does."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the process ended with code {process.returncode} before it listened on {port}")
        try:
            socket.create_connection((address, port), 0.2).close()
        except OSError:
            time.sleep(0.005)
        else:
            return
    raise RuntimeError(f"nothing listened on port {port} within {PATIENCE} s")


def logged_port(log: Path, words: str, process: subprocess.Popen[bytes], begin: int = 0) -> int:
    """Read out of its log on which port a process listens: it ends the address that stands behind ``words``.

    The log is read from byte ``begin`` on. RuntimeError when the process ends before, or patience does.
    """
    wanted = re.compile(rf"{re.escape(words)}[^\n\",]*?:([0-9]+)[\s\",]")
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with log.open("rb") as file:
            file.seek(begin)
            found = wanted.search(file.read().decode(errors="replace"))
        if found:
            return int(found[1])
        if process.poll() is not None:
            raise RuntimeError(f"the process ended with code {process.returncode} before it listened: see {log}")
        time.sleep(0.002)
    raise RuntimeError(f"the process did not listen within {PATIENCE} s: see {log}")


def stop(process: subprocess.Popen[bytes], with_signal: signal.Signals = signal.SIGTERM) -> None:
    """End a child process and wait until it is gone; kill it when it does not want to."""
    if process.poll() is None:
        process.send_signal(with_signal)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class DockerRegistry:
    """A docker-registry 2.8 whose data, config and log live in ``folder``; runs while its ``with`` lasts.

    ``tls`` are the paths of its certificate and key, ``client_ca`` asks clients for certificates of that
    authority, ``users`` asks for Basic logins, and ``extra`` is laid over the config: see TokenServer.config.
    ``host`` is the address as references have it; it stays the same over ``stop`` and ``start``.
    ``within`` is put before its command line, as an Island asks for.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tls: tuple[Path, Path] | None = None,
        client_ca: Path | None = None,
        users: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        address: str = "127.0.0.1",
        within: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder / "data"
        self.log = folder / "log"
        self.host = ""
        self._address = address
        self._within = within
        self._file = folder / "config.yml"
        self._port = 0
        self._held = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._config: dict[str, Any] = {
            "version": "0.1",
            "log": {"formatter": "json", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.data)},
                "delete": {"enabled": True},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": {"secret": "not-so-secret"},
            "validation": {"manifests": {"urls": {"allow": [".*"]}}},
        }
        if tls is not None:
            authorities = {"clientcas": [str(client_ca)]} if client_ca else {}
            self._config["http"]["tls"] = {"certificate": str(tls[0]), "key": str(tls[1]), **authorities}
        if users is not None:
            self._config["auth"] = {"htpasswd": {"realm": "testbed", "path": str(_htpasswd(folder, users))}}
        for section, values in (extra or {}).items():
            self._config.setdefault(section, {}).update(values)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running child process, to be stopped, frozen or killed by a test."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Begin to serve; on the port of the last time if there was one, which nobody else was given meanwhile."""
        if not self._port and not self._within:  # elsewhere it finds a free one itself
            self._port = self._held.enter_context(held_port(self._address))
        self._config["http"]["addr"] = f"{_bracketed(self._address)}:{self._port}"
        self._file.write_text(json.dumps(self._config))
        begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._within, "docker-registry", "serve", str(self._file)],
                env={**os.environ, "GOGC": "400"},  # it need not look for garbage at every few MiB: a fifth of its time
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread of ours holds a lock that prctl needs
            )
        try:
            self._port = logged_port(self.log, "listening on ", self._process, begin)
        except BaseException:
            with self._held:
                stop(self._process)
            raise
        self.host = f"{_bracketed(self._address)}:{self._port}"

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """Stop serving; the data stay."""
        stop(self.process, with_signal)

    def write_tags(self, repository: str, digest: Digest, tags: Iterable[str]) -> None:
        """Give a manifest that is there many tags, straight on disk: thousands in a second."""
        folder = self.data / "docker/registry/v2/repositories" / repository / "_manifests/tags"
        for tag in tags:
            for place in (folder / tag / "current", folder / tag / "index" / digest.algorithm / digest.hex):
                place.mkdir(parents=True, exist_ok=True)
                (place / "link").write_text(str(digest))

    def blobs(self, repository: str) -> set[str]:
        """Return the digests of the blobs that a repository has, whoever heard of it."""
        folder = self.data / "docker/registry/v2/repositories" / repository / "_layers"
        return {f"{link.parent.parent.name}:{link.parent.name}" for link in folder.glob("*/*/link")}

    def blob_file(self, digest: Digest) -> Path:
        """Return the file in which a blob's or manifest's bytes are kept, for all repositories."""
        return self.data / "docker/registry/v2/blobs" / digest.algorithm / digest.hex[:2] / digest.hex / "data"

    def collect_garbage(self) -> None:
        """Have docker-registry delete what no tag of its points at, as its operators do."""
        command = [*self._within, "docker-registry", "garbage-collect", "--delete-untagged", str(self._file)]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            self.stop()


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _htpasswd(folder: Path, users: Mapping[str, str]) -> Path:
    path = folder / "htpasswd"
    lines = [f"{user}:{bcrypt.hashpw(word.encode(), bcrypt.gensalt(4)).decode()}\n" for user, word in users.items()]
    path.write_text("".join(lines))
    return path
