"""What the user asked for (Plan, Task, Rule) and one image to move because of it (Copy)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from dregsy.model.ages import Ages
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.listen import Listen
from dregsy.model.platform import Platform
from dregsy.model.ref import Ref
from dregsy.model.rewrite import Rewrite, Selection
from dregsy.model.shard import Shard, ShardByEnd
from dregsy.model.tagnames import TagNames
from dregsy.model.tags import TagFilter, TagSet
from dregsy.model.timeouts import Timeouts


@dataclass(frozen=True, slots=True)
class Once:
    """Run a task one time, when the program starts."""


@dataclass(frozen=True, slots=True)
class Every:
    """Run a task at the start and then ``seconds`` after each start of it, never twice at a time."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Cron:
    """Run a task when a cron ``expression`` says so, in local time."""

    expression: str


Schedule = Once | Every | Cron


@dataclass(frozen=True, slots=True)
class Listing:
    """How to find a registry's repositories (dregsy's ``lister``).

    ``kind`` is catalog, dockerhub or index; ``search`` the index's search expression. ``limit`` is
    the most repositories to take, None for all. ``cache_seconds`` of 0 caches nothing.
    """

    kind: str = "catalog"
    search: str = ""
    limit: int | None = 100
    cache_seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class Rule:
    """One mapping: which repositories and tags, and what they are called at the targets.

    ``platforms`` is the one whose image is taken out of an index, empty for everything that an image has;
    ``subset`` are those of which a new index is made, instead. ``exclude`` are tags that are never taken,
    ``immutable`` those that are left alone where a target has them. ``where`` is ``file:line`` of the mapping.
    """

    source: Selection
    rewrite: Rewrite
    tags: TagFilter
    platforms: tuple[Platform, ...] = ()
    where: str = ""
    subset: tuple[Platform, ...] = ()
    exclude: TagSet = field(default=TagSet())
    ages: Ages = field(default=Ages())
    immutable: TagSet = field(default=TagSet())
    names: TagNames = field(default=TagNames())


@dataclass(frozen=True, slots=True)
class Task:
    """A named set of rules between a source and its targets, and when to run it.

    ``shard`` is the part of its repositories that is to be copied here; other replicas copy the others.
    """

    name: str
    schedule: Schedule
    source: Endpoint
    targets: tuple[Endpoint, ...]
    rules: tuple[Rule, ...]
    listing: Listing = Listing()
    verbose: bool = False
    where: str = ""
    shard: Shard = field(default=Shard())

    def share(self, rule: Rule, repositories: Iterable[str]) -> Iterator[str]:
        """Give those of a rule's repositories that belong to this shard.

        That is told by what they are called at the first target: see ``Plan.sharded``.
        """
        prefix = self.targets[0].prefix if self.targets else ""
        return (name for name in repositories if self.shard.has(f"{prefix}/{rule.rewrite.apply(name)}".lstrip("/")))


@dataclass(frozen=True, slots=True)
class RelayChoice:
    """Which relay moves the images, and its checked settings (an instance of its ``Settings``)."""

    name: str
    settings: Any


@dataclass(frozen=True, slots=True)
class State:
    """A folder for temporary files and the journal, which is believed for ``ttl`` seconds."""

    path: str
    ttl: float = 3600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """All that was asked for; building it needs no network.

    ``parallel`` copies run at once. ``retries`` rounds follow in which failed copies are tried again.
    ``timeout`` is the longest a copy may take, or a list, in seconds. ``watch`` reloads changed files. ``listen``
    is where metrics and health are served. ``timeouts`` are those of requests.
    """

    tasks: tuple[Task, ...]
    relay: RelayChoice
    parallel: int = 4
    retries: int = 2
    timeout: float = 3600.0
    state: State | None = None
    watch: bool = False
    listen: Listen | None = None
    timeouts: Timeouts = field(default=Timeouts())

    def sharded(self, shard: Shard) -> Self:
        """Return the same plan for one replica of several.

        Whatever goes to one repository is copied by one replica. Where targets of a task have different prefixes, an
        image has several names, of which the end alone is the same; then all are told by that.
        """
        varies = any(len({target.prefix for target in task.targets}) > 1 for task in self.tasks)
        shard = ShardByEnd(shard.index, shard.count) if varies else shard
        return replace(self, tasks=tuple(replace(task, shard=shard) for task in self.tasks))


@dataclass(frozen=True, slots=True)
class Copy:
    """One image to read once and write to many targets; holds no secret.

    ``source`` carries the digest that was resolved. ``targets`` stand in the order of the task's
    target endpoints that they belong to, named by ``to`` (positions in ``Task.targets``).
    ``platforms`` is empty for the whole image. ``where`` is ``file:line`` of the mapping.

    With a ``subset`` of an index's platforms, ``index`` is the digest of that index, and that of
    ``source`` is the one of the index that ``dregsy.model.subset`` makes of it. With ``by_digest`` the mapping
    names the digest, and the tag of ``source`` is only what the image is to be called.

    ``anew`` are parts of the image that targets lack or have wrong, and the manifests that lead there: they
    are written whatever a target says of them.
    """

    task: str
    source: Ref
    targets: tuple[Ref, ...]
    to: tuple[int, ...]
    platforms: tuple[Platform, ...] = ()
    where: str = ""
    subset: tuple[Platform, ...] = ()
    index: Digest | None = None
    anew: tuple[Digest, ...] = ()
    by_digest: bool = False

    @property
    def origin(self) -> Ref:
        """The image as its registry knows it: ``source``, but without a tag that the registry may not have."""
        return self.source.with_tag(None, self.source.digest) if self.by_digest else self.source

    def only(self, positions: Sequence[int]) -> Self:
        """The same copy to some of its targets."""
        return replace(
            self,
            targets=tuple(self.targets[position] for position in positions),
            to=tuple(self.to[position] for position in positions),
        )
