"""Who writes which tag: two mappings that would overwrite each other's images are told apart here."""

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


class Claims:
    """The tags that the tasks of a plan write; the first that claims one has it until its task runs again.

    What a mapping may mean that could not be listed is kept free for it, as far as the same task goes.
    """

    def __init__(self) -> None:
        self._of_task: dict[str, dict[Place, Claim]] = {}
        self._before: dict[str, dict[Place, Claim]] = {}
        self._unknown: dict[str, list[Unknown]] = {}

    def begin(self, task: str) -> None:
        """Forget what a task claimed in its run before."""
        self._before[task] = self._of_task.pop(task, {})
        self._of_task[task] = {}
        self._unknown[task] = []

    def keep(self, task: str, unknown: Unknown) -> None:
        """Keep free what could not be listed; what its mapping claimed in the run before it claims again."""
        self._unknown[task].append(unknown)
        for place, claim in self._before[task].items():
            if claim.where == unknown.rule.where:
                self._of_task[task].setdefault(place, claim)

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
                self._of_task.setdefault(task, {})[target.place] = claim
            elif holder.source != claim.source:
                refused[position] = holder
        return refused

    def _holder(self, target: Ref) -> Claim | None:
        return next((held[target.place] for held in self._of_task.values() if target.place in held), None)


def _claim(copy: Copy) -> Claim:
    platforms = ",".join(map(str, copy.platforms or copy.subset))
    source = f"{copy.source} ({'platforms' if copy.subset else 'platform'} {platforms})" if platforms else ""
    return Claim(source or str(copy.source), copy.where, copy.task)
