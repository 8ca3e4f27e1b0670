"""Tags that several mappings may mean: who has the first right to one is found out anew before a plan is applied.

A plan says which images were to get there when it was made, or what somebody made of it since: a run is the judge.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from dregsy.errors import TagTaken
from dregsy.model.plan import Copy, Rule, Task
from dregsy.model.platform import Platform
from dregsy.model.ref import Place, Ref
from dregsy.model.report import Failure, Outcome, Unlisted
from dregsy.model.unknown import Unknown
from dregsy.resolve import Resolver

_Image = tuple[Ref, tuple[Platform, ...], tuple[Platform, ...]]
"""What a tag is to hold, whatever digest that has now."""


def is_contested(tasks: Sequence[Task], rule: Rule, copy: Copy) -> bool:
    """Tell whether anything may have a right to a tag of ``copy`` before ``rule``, which is one of the last task's.

    That may be another mapping, or another image that the same one means; earlier tasks come first.
    """
    named = replace(copy, source=_image(copy)[0])
    first = (Unknown(task, one, None, retryable=False) for task, one in _until(tasks, rule))
    return any(one.may_want(named, target) for one in first for target in copy.targets)


def _until(tasks: Sequence[Task], rule: Rule) -> Iterator[tuple[Task, Rule]]:
    for task in tasks:
        for one in task.rules:
            yield task, one
            if one is rule and task is tasks[-1]:
                return


def _image(copy: Copy) -> _Image:
    source = copy.source if copy.by_digest else copy.source.with_tag(copy.source.tag)
    return source, copy.platforms, copy.subset


@dataclass(slots=True)
class Rights:
    """What the tags of targets are to hold by what a run would find now, and why images may not get there."""

    _held: dict[Place, _Image] = field(default_factory=dict)
    _refused: dict[tuple[Place, _Image], Failure] = field(default_factory=dict)

    async def look(self, tasks: Sequence[Task], resolver: Resolver) -> None:
        """See what the tasks mean, in the order in which they run."""
        for task in tasks:
            async for item in resolver.copies(task):
                match item:
                    case Copy():
                        self._hold(item, item.targets)
                    case Outcome():
                        self._note(item)
                    case Unlisted(outcomes):
                        for one in outcomes:
                            self._note(one)
            await resolver.finish()

    def _hold(self, copy: Copy, targets: Sequence[Ref]) -> None:
        for target in targets:
            self._held.setdefault(target.place, _image(copy))

    def _note(self, outcome: Outcome) -> None:
        if outcome.target is None:
            return  # what has to wait for that is told on its own
        if outcome.failure is None:
            self._hold(outcome.copy, [outcome.target])
        else:
            self._refused[outcome.target.place, _image(outcome.copy)] = outcome.failure

    def refusal(self, copy: Copy) -> Failure | None:
        """Return why a copy may not be made, if there is a reason; what is no longer selected has none."""
        image = _image(copy)
        for target in copy.targets:
            if failure := self._refused.get((target.place, image)):
                return failure
            holder = self._held.get(target.place, image)
            if holder != image:
                text = f"{target} is to hold {holder[0]}, and not {image[0]}, as the config is"
                return Failure.of(TagTaken(text, hint="make a new plan"))
        return None
