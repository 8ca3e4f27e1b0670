"""Beginnings: how long the shortest command and one unchanged tag take, and what the idle daemon holds."""

import statistics
import time
from pathlib import Path

import psutil

from benchmarks.bed import Bed
from benchmarks.daemon import started
from benchmarks.measure import MIB, Contest, Entry, warm
from benchmarks.peers import OTHERS, OURS, Dregsy, Job, clean_environ
from benchmarks.result import Result, at_most
from benchmarks.session import Session
from benchmarks.workloads import w3
from tests.testbed.usage import used_by

RUNS = 3
"""These take moments: each is run this many times as often as the rest."""
_SETTLE = 5.0


def run(session: Session) -> list[Result]:
    """Run the small things."""
    session.stock("start", lambda stock: w3.images(stock, 1, 1))
    return [_version(session), _one_tag(session), _idle(session)]


def _version(session: Session) -> Result:
    peers = session.peers(OURS[0], *OTHERS)
    entries = [Entry(Path(peer.program).name) for peer in peers]
    environ = clean_environ(session.folder / "home", None)
    for _ in range(session.times * RUNS):
        for peer, entry in zip(peers, entries, strict=True):
            entry.runs.append(used_by([peer.program, *peer.version], environ, Path.cwd()))
    goal = at_most("at most 150 ms", entries[0].seconds * 1000, 150, " ms")
    return Result("Telling the version", entries, [goal])


def _one_tag(session: Session) -> Result:
    folder, data = session.folder / "start", session.data("start")
    with Bed(folder / "bed", data, before=data) as bed:
        contest = Contest(bed, bed.stocks[0], folder, warm)
        contest.forget()
        entries = contest.entries(session.peers(*w3.PEERS), session.times * RUNS)
    goal = at_most("at most 400 ms", entries[0].seconds * 1000, 400, " ms")
    return Result("One unchanged tag", entries, [goal])


def _idle(session: Session) -> Result:
    """Memory of a daemon that has done its first run and waits for the next."""
    folder, data = session.folder / "idle", session.data("start")
    sizes = []
    with Bed(folder / "bed", data, before=data) as bed:
        names = {name: list(found) for name, found in bed.stocks[0].tags().items()}
        for number in range(session.times):
            with started(Dregsy(), Job(folder / f"run{number}", bed.hosts, names, interval=3600)) as daemon:
                time.sleep(_SETTLE)
                sizes.append(psutil.Process(daemon.pid).memory_info().rss / MIB)
    return Result(
        "Idle daemon after its first run", goals=[at_most("at most 60 MiB", statistics.median(sizes), 60, " MiB")]
    )
