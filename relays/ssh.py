"""Connections to a docker daemon on another machine: behind each is an ssh that runs ``docker system dial-stdio``.

The docker SDK's own need paramiko, can neither be broken off nor time out, and leave processes behind.
"""

import os
import socket
import subprocess  # noqa: TID251 - the SDK makes its connections on threads, where there is no loop
from collections.abc import Sequence
from typing import Any

from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool

_SECONDS = 1.0
_SAID_LIMIT = 4096


class Connection(UnixHTTPConnection):
    """A connection through a program's input and output."""

    def __init__(self, command: Sequence[str], said: int, seconds: int) -> None:
        super().__init__("http+docker://ssh", "", seconds)
        self._command = command
        self._said = said
        self._process: subprocess.Popen[bytes] | None = None

    def connect(self) -> None:
        """Start the program; a failure shows as soon as something is read."""
        ours, theirs = socket.socketpair()
        ours.settimeout(self.timeout)
        self.sock = ours
        with theirs:
            end = theirs.fileno()
            self._process = subprocess.Popen(  # noqa: S603 - no shell, and a fixed program
                self._command, stdin=end, stdout=end, stderr=self._said, start_new_session=True
            )

    def close(self) -> None:
        """Close, and end the program."""
        super().close()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


class Pool(UnixHTTPConnectionPool):
    """Makes such connections."""

    def __init__(self, url: str, command: Sequence[str], said: int, seconds: int) -> None:
        super().__init__(url, "", seconds)
        self._made_with = command, said, seconds

    def _new_conn(self) -> Any:  # what urllib3's types have here is a protocol that its own class does not follow
        return Connection(*self._made_with)


class Adapter(UnixHTTPAdapter):
    """Lets the SDK use such connections, made with ``command``, that may be silent for ``seconds``."""

    def __init__(self, command: Sequence[str], seconds: int) -> None:
        super().__init__("http+unix:///", seconds)
        self._said = os.memfd_create("said")
        self._pool = Pool("http+docker://ssh", command, self._said, seconds)

    def get_connection(self, url: str | bytes, proxies: Any = None) -> Pool:
        """Return the one pool of connections."""
        del url, proxies
        return self._pool

    def said(self) -> str:
        """The last line that the program complained with; empty for none."""
        text = os.pread(self._said, _SAID_LIMIT, 0).decode(errors="replace")
        return next((line for line in reversed(text.splitlines()) if line.strip()), "")

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self._pool.close()
        os.close(self._said)
