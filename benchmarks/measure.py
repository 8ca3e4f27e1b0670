"""Runs a command and takes what the kernel says about it: seconds, processor seconds, peak memory."""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
DREGSY = str(Path(__file__).resolve().parent.parent / ".venv/bin/dregsy")


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run of a command took: wall and processor seconds, and peak memory in MiB."""

    seconds: float
    cpu: float
    peak: float


def run(command: Sequence[str], environ: dict[str, str]) -> Figures:
    """Run ``command`` to its end; RuntimeError with its output when it fails."""
    begin = time.monotonic()
    child = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert child.stdout is not None
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - begin
    child.stdout.close()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{command[0]} ended with {child.returncode}: {output.decode(errors='replace')[-2000:]}")
    return Figures(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def median(runs: Sequence[Figures]) -> Figures:
    """The median of each figure on its own."""
    return Figures(
        statistics.median(one.seconds for one in runs),
        statistics.median(one.cpu for one in runs),
        statistics.median(one.peak for one in runs),
    )


def in_turn(times: int, *contenders: Callable[[int], Figures]) -> list[Figures]:
    """Let contenders run in turn, so that a drifting machine is unfair to none; the median of each."""
    rounds = [[contender(number) for contender in contenders] for number in range(times)]
    return [median([one[position] for one in rounds]) for position in range(len(contenders))]


def clean_environ(home: Path) -> dict[str, str]:
    """An environment without anyone's logins, proxies or caches."""
    home.mkdir(parents=True, exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "LANG": "C.UTF-8"}


def requests_in(log: Path, begin: int = 0) -> int:
    """Count the requests in the access log of a docker-registry from an offset on."""
    text = log.read_bytes()[begin:]
    return sum(text.count(f'"{method} /v2/'.encode()) for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"))
