"""What a command used, by the kernel's account of it.

A child's peak memory includes that of the process it was forked from, so commands are started from a
small launcher and not from the test run.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LAUNCHER = """
import json, os, sys, time
begin = time.monotonic()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
seconds = time.monotonic() - begin
figures = [os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]
print("\\n" + json.dumps(figures))
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """How a command ended: exit code, wall and processor seconds, peak memory in MiB, and what it printed."""

    code: int
    seconds: float
    cpu: float
    peak: float
    output: str


def used_by(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> Usage:
    """Run ``command`` in ``folder`` to its end."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", _LAUNCHER, *command],
        env=dict(environ),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    output, _, figures = done.stdout.rstrip().rpartition("\n")
    code, seconds, cpu, peak = json.loads(figures)
    return Usage(code, seconds, cpu, peak, output)
