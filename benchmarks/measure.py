"""Lets tools do the same job in turn and takes what the kernel and the proxies say about each."""

import math
import shutil
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bed import Bed, Hosts
from benchmarks.images import Stock
from benchmarks.link import inside
from benchmarks.peers import Job, Peer, clean_environ, one_command
from benchmarks.proxy import Tally
from tests.testbed.usage import Usage, used_by

MIB = 2**20
Prepare = Callable[["Contest", Peer, Hosts], None]


@dataclass(slots=True)
class Entry:
    """What one tool needed: its timed runs, and what it asked of source and targets in the run that was counted.

    ``served`` are the processor seconds that the registries needed for each timed run.
    """

    peer: str
    runs: list[Usage] = field(default_factory=list)
    served: list[float] = field(default_factory=list)
    source: Tally | None = None
    target: Tally | None = None
    failure: str = ""

    @property
    def seconds(self) -> float:
        """The median of the wall time."""
        return _median(run.seconds for run in self.runs)

    @property
    def cpu(self) -> float:
        """The median of the processor time of the tool with its child processes."""
        return _median(run.cpu for run in self.runs)

    @property
    def peak(self) -> float:
        """The median of the peak memory, in MiB, of the largest of its processes."""
        return _median(run.peak for run in self.runs)

    @property
    def registries(self) -> float:
        """The median of the processor time that the registries needed for it."""
        return _median(self.served)


class Contest:
    """Some tools that do one job on one bed; ``prepare`` puts everything in its place before each run.

    One run of each is counted through proxies; then each runs ``times`` times straight, in turn (A B A B), so
    that a drifting machine is unfair to none. Each run must leave the targets with the source's tags.
    """

    def __init__(self, bed: Bed, stock: Stock, folder: Path, prepare: Prepare) -> None:
        self.bed = bed
        self.stock = stock
        self.folder = folder
        self._prepare = prepare
        self._run_number = 0

    def entries(self, peers: Sequence[Peer], times: int, *, count: bool = True) -> list[Entry]:
        """Let ``peers`` do the job and return what each needed; one that fails is out from then on."""
        entries = {peer: Entry(peer.name) for peer in peers}
        if count:
            with self.bed.counted() as hosts:
                for peer, entry in entries.items():
                    self._attempt(peer, entry, hosts)
                    if not entry.failure:
                        entry.source, entry.target = hosts.take()
                        entry.runs.clear()
                        entry.served.clear()
        for number in range(times):
            print(f"    round {number + 1} of {times}", file=sys.stderr, flush=True)
            for peer, entry in entries.items():
                if not entry.failure:
                    self._attempt(peer, entry, self.bed.hosts)
        return list(entries.values())

    def run(self, peer: Peer, hosts: Hosts) -> Usage:
        """Let one tool do the job; RuntimeError with what it printed when it does not."""
        self._run_number += 1
        folder = self.folder / f"run{self._run_number}"
        job = self.job(peer, hosts, folder)
        command = one_command(job, peer.commands(job))
        try:
            with inside(self.bed.tool_namespace):
                usage = used_by(command, clean_environ(folder / "home", self.bed.ca_file), Path.cwd())
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if usage.code:
            raise RuntimeError(f"{peer.name} ended with {usage.code}: {usage.output[-1000:]}")
        return usage

    def job(self, peer: Peer, hosts: Hosts, folder: Path) -> Job:
        """Describe the job to a tool; what it may keep for later is its own, for each pair of registries."""
        state = self.folder / "state" / f"{peer.name}-{hosts.source}".replace(" ", "-").replace(":", "-")
        tags = {name: list(tags) for name, tags in self.stock.tags().items()}
        return Job(folder, hosts, tags, state, tls=self.bed.ca_file is not None)

    def forget(self) -> None:
        """Throw away what tools kept for their next runs."""
        shutil.rmtree(self.folder / "state", ignore_errors=True)

    def _attempt(self, peer: Peer, entry: Entry, hosts: Hosts) -> None:
        try:
            self._prepare(self, peer, hosts)
            hosts.take()
            before = self.bed.processor_seconds()
            entry.runs.append(self.run(peer, hosts))
            entry.served.append(self.bed.processor_seconds() - before)
            self._check()
        except RuntimeError as error:
            entry.failure = str(error)
            entry.runs.clear()
            entry.served.clear()
            print(f"    {error}", file=sys.stderr, flush=True)

    def _check(self) -> None:
        """Nobody is fast by not doing the work."""
        wanted = self.stock.tags()
        for target in self.bed.stocks:
            if target.tags() != wanted:
                raise RuntimeError("it said that all is well, and the target has not what the source has")


def _median(figures: Iterable[float]) -> float:
    """The median; no number where there are no figures."""
    known = list(figures)
    return statistics.median(known) if known else math.nan


def cold(contest: Contest, peer: Peer, hosts: Hosts) -> None:  # noqa: ARG001 - a Prepare
    """Prepare a run that nothing makes easier: the targets are as before, and nobody remembers anything."""
    contest.forget()
    contest.bed.reset()


def warm(contest: Contest, peer: Peer, hosts: Hosts) -> None:
    """Prepare a run after others: a tool that keeps something between runs has done so."""
    state = contest.job(peer, hosts, contest.folder).state
    if peer.keeps and state is not None and not state.exists():
        state.mkdir(parents=True)
        contest.run(peer, hosts)
