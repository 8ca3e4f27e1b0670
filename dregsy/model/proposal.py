"""What a run would copy now, written down to be looked at and then done: which images, why, and what that takes.

``forecast`` adds up what images need by the way in which the native relay brings them: a blob is sent to a registry
once, its other repositories mount it, and what is there stays. Bytes are those of blobs.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Task
from dregsy.model.ref import Ref
from dregsy.model.report import Moved, Outcome, Reason


@dataclass(frozen=True, slots=True)
class Part:
    """A blob of an image, ``size`` in bytes, and whether a target is ``there`` already.

    ``home`` is another repository of the target's registry that is known to have it.
    """

    digest: Digest
    size: int
    there: bool = False
    home: str = ""


@dataclass(frozen=True, slots=True)
class Need:
    """What an image needs at one target: ``manifests`` that are to be written, and blobs.

    ``asked`` is how many manifests a relay asks the target for on its way.
    """

    manifests: frozenset[Digest]
    asked: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image that some targets lack. ``copy`` is to them only, and has the digest that is to be copied.

    ``origin`` is what the source's tag pointed at, or the digest that the config file names. For each target there is
    a reason, the digest ``before`` that its tag has, and a need. ``fetched`` are the manifests to be read.
    """

    copy: Copy
    origin: Digest
    reasons: tuple[Reason, ...]
    before: tuple[Digest | None, ...]
    needs: tuple[Need, ...]
    fetched: frozenset[Digest]


@dataclass(frozen=True, slots=True)
class PlannedTarget:
    """One target of a copy, the place ``to`` of its registry in the task, and what is ``expected`` to move."""

    ref: Ref
    to: int
    reason: Reason
    before: Digest | None
    expected: Moved


@dataclass(frozen=True, slots=True)
class PlannedCopy:
    """One image to copy: ``source`` has the digest to be copied, ``origin`` is as in Wanted.

    ``platforms`` are those that are taken of it, for people to read.
    """

    source: Ref
    origin: Digest
    by_digest: bool
    targets: tuple[PlannedTarget, ...]
    platforms: tuple[str, ...] = ()
    where: str = ""

    @property
    def image(self) -> Ref:
        """The image as its registry knows it, as in ``Copy.origin``."""
        return self.source.with_tag(None, self.source.digest) if self.by_digest else self.source


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """What is to be copied for a task, which has the place ``position`` in the config file."""

    name: str
    position: int
    copies: tuple[PlannedCopy, ...]


@dataclass(frozen=True, slots=True)
class Mount:
    """A blob that ``repository`` at ``host`` has, from where others are to mount it."""

    host: str
    repository: str
    blob: Digest


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a registry is going to see: at most so many requests, and ``pulls``, which are manifests that are read.

    ``left`` is how many pulls it last said that it still allows; None where it does not count.
    """

    host: str
    requests: int
    pulls: int
    bytes_read: int
    bytes_written: int
    left: int | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """All that is to be copied; ``current`` targets need nothing, and ``failures`` could not be found out.

    ``unplanned`` is how many failures there were where they are not at hand, as in what was read from a file.
    """

    relay: str
    tasks: tuple[PlannedTask, ...]
    traffic: tuple[Traffic, ...] = ()
    mounts: tuple[Mount, ...] = ()
    current: int = 0
    failures: tuple[Outcome, ...] = ()
    unplanned: int = 0

    @property
    def copies(self) -> Iterator[PlannedCopy]:
        """All copies, in order."""
        return (copy for task in self.tasks for copy in task.copies)

    @property
    def reasons(self) -> Counter[Reason]:
        """How many targets are to be written for each reason."""
        return Counter(target.reason for copy in self.copies for target in copy.targets)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What copies come to, in the order in which they were given."""

    copies: tuple[PlannedCopy, ...]
    traffic: tuple[Traffic, ...]
    mounts: tuple[Mount, ...]


def forecast(wanted: Sequence[tuple[Task, Wanted]]) -> Forecast:
    """Add up what all these copies take together; none of the numbers depends on which of them goes first."""
    work = _Forecast()
    for task, one in wanted:
        work.learn(task, one)
    copies = tuple(work.add(task, one) for task, one in wanted)
    return Forecast(copies, tuple(work.traffic()), tuple(work.mounts))


@dataclass(slots=True)
class _Forecast:
    """The registries as they become by one copy after the other; hosts are those of references."""

    homes: dict[tuple[str, Digest], str] = field(default_factory=dict)
    brought: set[tuple[str, Digest]] = field(default_factory=set)
    placed: set[tuple[str, Digest]] = field(default_factory=set)
    mounts: dict[Mount, None] = field(default_factory=dict)
    greeted: set[Endpoint] = field(default_factory=set)
    sent: Counter[str] = field(default_factory=Counter)
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    def learn(self, task: Task, wanted: Wanted) -> None:
        """Note which repositories have blobs before anything is copied, and which registries are going to be asked."""
        for endpoint in (task.source, *(task.targets[to] for to in wanted.copy.to)):
            if endpoint.whole not in self.greeted:
                self.greeted.add(endpoint.whole)
                self._at(endpoint.ref("x").host)["requests"] += 1
        for target, need in zip(wanted.copy.targets, wanted.needs, strict=True):
            for part in need.parts:
                next_door = wanted.copy.source.repository if wanted.copy.source.host == target.host else ""
                home = target.repository if part.there else part.home or next_door
                if home:
                    self.homes.setdefault((target.host, part.digest), home)

    def add(self, task: Task, wanted: Wanted) -> PlannedCopy:
        """Count one copy."""
        copy, source = wanted.copy, self._at(wanted.copy.source.host)
        read: dict[Digest, int] = {}
        moved = [self._to(copy, target, need, read) for target, need in zip(copy.targets, wanted.needs, strict=True)]
        resolved = int(bool(copy.platforms or copy.subset))  # the index is read once more to see what it means
        source["pulls"] += len(wanted.fetched) + resolved
        reads = sum(one.blobs_moved or 0 for one in moved)  # one may do for all targets, if they lack it together
        source["requests"] += 1 + len(wanted.fetched) + resolved + reads + bool(task.source.rate_limit.least)
        source["read"] += sum(read.values())
        moved[0] = replace(moved[0], bytes_read=sum(read.values()))
        return PlannedCopy(
            copy.source,
            wanted.origin,
            copy.by_digest,
            tuple(map(PlannedTarget, copy.targets, copy.to, wanted.reasons, wanted.before, moved)),
            tuple(map(str, copy.platforms or copy.subset)),
            copy.where,
        )

    def _to(self, copy: Copy, target: Ref, need: Need, read: dict[Digest, int]) -> Moved:
        """Count one target of a copy; notes in ``read`` what the source gives for it."""
        assert copy.source.digest is not None
        at = self._at(target.host)
        at["requests"] += 2 + need.asked + len(need.manifests)  # the tag is looked up twice
        written = moved = mounted = skipped = 0
        for part in need.parts:
            here, place = (target.host, part.digest), (target.name, part.digest)
            if part.there or place in self.placed:
                at["requests"] += place not in self.placed
                skipped += 1
            elif copy.source.host == target.host or here in self.homes or here in self.brought:
                at["requests"] += 2 if copy.source.host == target.host else 1
                self._mount(copy, target, part)
                mounted += 1
            else:
                at["requests"] += 3
                self._count_sent(target)
                self.brought.add(here)
                read[part.digest] = part.size
                written += part.size
                moved += 1
            self.placed.add(place)
        at["written"] += written
        return Moved(copy.source.digest, 0, written, moved, mounted, skipped)

    def _mount(self, copy: Copy, target: Ref, part: Part) -> None:
        """Note from where a blob is to be mounted; that of an image next door needs no note, it is found there."""
        home = self.homes.get((target.host, part.digest))
        if home is None or copy.source.host == target.host:
            return
        mount = Mount(target.host, home, part.digest)
        if mount not in self.mounts:
            self.mounts[mount] = None
            self._at(target.host)["requests"] += 1

    def _count_sent(self, target: Ref) -> None:
        """The second blob that a registry gets may be the occasion to find out how it mounts."""
        self.sent[target.host] += 1
        if self.sent[target.host] == 2:
            self._at(target.host)["requests"] += 1

    def _at(self, host: str) -> Counter[str]:
        return self.counts.setdefault(host, Counter())

    def traffic(self) -> Iterable[Traffic]:
        for host, count in self.counts.items():
            yield Traffic(host, count["requests"], count["pulls"], count["read"], count["written"])
