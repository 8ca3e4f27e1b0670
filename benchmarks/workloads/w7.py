"""W7, the daemon: it checks 500 tags every 30 s for ten minutes; requests, processor time, memory growth."""

import time

import psutil

from benchmarks.bed import Bed
from benchmarks.daemon import started
from benchmarks.measure import MIB
from benchmarks.peers import Dregsy, Job
from benchmarks.proxy import Tally
from benchmarks.result import Goal, Result, at_most
from benchmarks.session import Session
from benchmarks.workloads import w3

TAGS, INTERVAL, SECONDS = 500, 30, 600
GROWTH = 2.0
"""MiB that the daemon may grow after its second round; an allocator is not exact to the page."""
_SAMPLE = INTERVAL / 2
_SETTLED = 3


def run(session: Session) -> list[Result]:
    """Let the daemon run without a journal, then with one."""
    tags = session.many(TAGS, 10)
    session.stock("w7", lambda stock: w3.images(stock, tags, 1))
    return [_watched(session, peer, tags) for peer in (Dregsy(), w3.JOURNAL)]


def _watched(session: Session, peer: Dregsy, tags: int) -> Result:
    folder, data = session.folder / "w7", session.data("w7")
    samples = max(_SETTLED + 2, round(SECONDS * session.scale / _SAMPLE))
    session.say(f"{peer.name}: {samples * _SAMPLE:.0f} s")
    with Bed(folder / "bed", data, before=data) as bed, bed.counted() as hosts:
        names = {name: list(found) for name, found in bed.stocks[0].tags().items()}
        job = Job(folder / "run", hosts, names, folder / "run/state", interval=INTERVAL)
        sizes = []
        with started(peer, job) as daemon:
            process = psutil.Process(daemon.pid)
            for _ in range(samples):
                time.sleep(_SAMPLE)
                sizes.append(process.memory_info().rss / MIB)
            used = process.cpu_times()
        goals = _goals(sizes, used.user + used.system, Tally.of(hosts.take()), tags)
    minutes = samples * _SAMPLE / 60
    return Result(f"W7: {peer.name} checks {tags} tags every {INTERVAL} s for {minutes:.1f} minutes", goals=goals)


def _goals(sizes: list[float], cpu: float, tally: Tally, tags: int) -> list[Goal]:
    rounds = tally.requests("tags")
    settled, last = sizes[_SETTLED - 1], sizes[-1]
    text = f"flat memory: at most {GROWTH:.0f} MiB more at the end ({settled:.1f} MiB at first, {last:.1f} at last)"
    asked = len(tally.exchanges)
    return [
        Goal("requests", f"{asked} in {rounds} rounds, {asked / tags / max(1, rounds):.3f} a tag and round", None),
        Goal("processor time", f"{cpu:.2f} s in all, {cpu / max(1, rounds):.2f} s a round", None),
        at_most(text, last - settled, GROWTH, " MiB"),
    ]
