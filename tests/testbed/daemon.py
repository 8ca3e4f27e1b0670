"""A command that goes on until it is stopped: signals go in, and what it says comes out."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

from tests.testbed.command import Dregsy

PATIENCE = 60.0


class Daemon:
    """A command that goes on until it is stopped."""

    def __init__(self, folder: Path) -> None:
        self.dregsy = Dregsy(folder)
        self.process: Popen[str] | None = None

    def start(self, *arguments: str) -> None:
        """Start it."""
        self.process = self.dregsy.start(*arguments)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        assert self.process is not None
        self.signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def said(self, text: str, times: int = 1) -> str:
        """Wait until it has said something so many times; return all that it said."""
        until = time.monotonic() + PATIENCE
        while (out := (self.dregsy.folder / "out").read_text()).count(text) < times:
            assert self.process is not None
            assert self.process.poll() is None, f"{out}{(self.dregsy.folder / 'err').read_text()}"
            assert time.monotonic() < until, f"{text!r} did not come {times} times: {out}"
            time.sleep(0.02)
        return out


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
