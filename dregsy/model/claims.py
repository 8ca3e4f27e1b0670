"""Who writes which tag: two mappings that would overwrite each other's images are told apart here."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from dregsy.model.plan import Copy, Rule
from dregsy.model.ref import Place, Ref
from dregsy.model.unknown import Unknown


@dataclass(frozen=True, slots=True)
class Claim:
    """What a target's tag is to hold, and which mapping (``file:line``) of which task says so."""

    source: str
    where: str
    task: str


class _Held:
    """Who has which tag, by repository, so that what many tags have in common is kept once."""

    def __init__(self) -> None:
        self._tags: dict[tuple[str, str], dict[str | None, Claim]] = {}

    def claim(self, place: Place) -> Claim | None:
        """Return whose a tag is, or None."""
        host, repository, tag = place
        return self._tags.get((host, repository), {}).get(tag)

    def give(self, place: Place, claim: Claim) -> None:
        """Let a claim have a tag, unless another has it."""
        host, repository, tag = place
        self._tags.setdefault((host, repository), {}).setdefault(tag, claim)

    def all(self) -> Iterator[tuple[Place, Claim]]:
        """Give all tags with their claims."""
        for (host, repository), tags in self._tags.items():
            for tag, claim in tags.items():
                yield (host, repository, tag), claim


class Claims:
    """The tags that the tasks of a plan write; the first that claims one has it until its task runs again.

    What a mapping may mean that could not be listed is kept free for it, as far as the same task goes.
    """

    def __init__(self) -> None:
        self._of_task: defaultdict[str, _Held] = defaultdict(_Held)
        self._before: dict[str, _Held] = {}
        self._unknown: dict[str, list[Unknown]] = {}

    def begin(self, task: str) -> None:
        """Forget what a task claimed in its run before."""
        self._before[task] = self._of_task.pop(task, _Held())
        self._unknown[task] = []

    def keep(self, task: str, unknown: Unknown) -> None:
        """Keep free what could not be listed; what its mapping claimed in the run before it claims again."""
        self._unknown[task].append(unknown)
        for place, claim in self._before[task].all():
            if claim.where == unknown.rule.where:
                self._of_task[task].give(place, claim)

    def release(self, task: str, rule: Rule, repository: str | None) -> None:
        """Keep no longer free what is now going to be listed."""
        self._unknown[task] = [one for one in self._unknown[task] if (one.rule, one.repository) != (rule, repository)]

    def kept(self, task: str, copy: Copy, rule: Rule, repository: str) -> Unknown | None:
        """Return what a copy that ``rule`` means has to wait for, if anything."""
        source = _claim(copy).source
        holders = [(target, self._holder(target)) for target in copy.targets]
        doubtful = [target for target, holder in holders if holder is None or holder.source != source]
        for one in self._unknown[task]:
            if one.comes_before(rule, repository) and any(one.may_want(copy, target) for target in doubtful):
                return one
        return None

    def refused(self, task: str, copy: Copy) -> dict[int, Claim]:
        """Claim the targets of a copy for ``task``; return the positions of those that hold something else.

        Targets without tag are named by what they hold, and never claimed.
        """
        claim = _claim(copy)
        refused: dict[int, Claim] = {}
        for position, target in enumerate(copy.targets):
            if target.tag is None:
                continue
            holder = self._holder(target)
            if holder is None:
                self._of_task[task].give(target.place, claim)
            elif holder.source != claim.source:
                refused[position] = holder
        return refused

    def _holder(self, target: Ref) -> Claim | None:
        place = target.place
        return next((claim for held in self._of_task.values() if (claim := held.claim(place))), None)


def _claim(copy: Copy) -> Claim:
    platforms = ",".join(map(str, copy.platforms or copy.subset))
    source = f"{copy.source} ({'platforms' if copy.subset else 'platform'} {platforms})" if platforms else ""
    return Claim(source or str(copy.source), copy.where, copy.task)
