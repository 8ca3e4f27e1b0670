"""Runs a command and takes what the kernel says about it: seconds, processor seconds, peak memory."""

import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.testbed.usage import Usage, used_by

MIB = 2**20
DREGSY = str(Path(__file__).resolve().parent.parent / ".venv/bin/dregsy")


def run(command: Sequence[str], environ: dict[str, str]) -> Usage:
    """Run ``command`` to its end; RuntimeError with its output when it fails."""
    usage = used_by(command, environ, Path.cwd())
    if usage.code:
        raise RuntimeError(f"{command[0]} ended with {usage.code}: {usage.output[-2000:]}")
    return usage


def median(runs: Sequence[Usage]) -> Usage:
    """The median of each figure on its own."""
    return Usage(
        0,
        statistics.median(one.seconds for one in runs),
        statistics.median(one.cpu for one in runs),
        statistics.median(one.peak for one in runs),
        "",
    )


def in_turn(times: int, *contenders: Callable[[int], Usage]) -> list[Usage]:
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
