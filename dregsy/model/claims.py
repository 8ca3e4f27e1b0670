"""Who writes which tag: two mappings that would overwrite each other's images are told apart here."""

from dataclasses import dataclass

from dregsy.model.plan import Copy
from dregsy.model.ref import Ref


@dataclass(frozen=True, slots=True)
class Claim:
    """What a target's tag is to hold, and which mapping says so (``file:line``)."""

    source: str
    where: str


class Claims:
    """The tags that the tasks of a plan write; the first that claims one has it until its task runs again."""

    def __init__(self) -> None:
        self._of_task: dict[str, dict[Ref, Claim]] = {}

    def begin(self, task: str) -> None:
        """Forget what a task claimed in its run before."""
        self._of_task[task] = {}

    def refused(self, task: str, copy: Copy) -> dict[int, Claim]:
        """Claim the targets of a copy for ``task``; return the positions of those that hold something else.

        Targets without tag are named by what they hold, and never claimed.
        """
        platforms = ",".join(map(str, copy.platforms or copy.subset))
        source = f"{copy.source} ({'platforms' if copy.subset else 'platform'} {platforms})" if platforms else ""
        claim = Claim(source or str(copy.source), copy.where)
        refused: dict[int, Claim] = {}
        for position, target in enumerate(copy.targets):
            if target.tag is None:
                continue
            holder = next((held[target] for held in self._of_task.values() if target in held), None)
            if holder is None:
                self._of_task.setdefault(task, {})[target] = claim
            elif holder.source != claim.source:
                refused[position] = holder
        return refused
