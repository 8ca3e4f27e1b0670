"""The part of a config file that failed: its tasks with mappings that mean nothing but what did not reach a target.

Locations, and all else that a mapping says, stay as they were written: what is to be put in for ``${…}`` is not put
in here. Where it cannot be told which images failed, as when a registry gives no list, the mapping stays whole.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dregsy.config.document import as_written
from dregsy.config.source import Data, Items, Source, Table
from dregsy.config.written import quoted, text
from dregsy.errors import TagTaken
from dregsy.model.plan import Plan, Rule, Task
from dregsy.model.ref import DOCKER_HUB, is_repository
from dregsy.model.report import Outcome, Report, Status
from dregsy.model.shard import Shard

_LEFT_OUT = frozenset({"tasks", "watch", "listen", "notify"})
"""What a file says of going on and of being heard: what is replayed runs once, and beside what goes on."""
_TIMES = frozenset({"interval", "schedule"})
_HEAD = """\
# Written by dregsy: what failed when the tasks of {file} last ran. 'dregsy -config' with this file copies it.
"""
_NOTHING = "# Nothing did.\n"
_TAKEN = """\
# {images} not in here: the tag at the target belongs to another mapping, whose image a replay would overwrite.
# Change 'to', 'tags' or the tags' names in {file}, as the report says.
"""
_CUT = "# A run was cut short: what it did not look at is not in here.\n"
_SHARD = """\
# Some repositories could not be listed, and only those of one shard are meant: run it with '--shard {shard}'.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """What of a mapping is to be done again: of one repository, or of all with None; of one tag, or of all."""

    rule: int
    names: tuple[str, str] | None = None
    """What the repository is called at the source and at the targets, where the mapping does not say it."""
    repository: str = ""
    tag: str | None = None


def config(
    read: Source, tasks: Iterable[Table], *, cut: bool = False, taken: int = 0, shard: Shard | None = None
) -> str:
    """Return a config with these tasks, and all else that the file ``read`` says and counts for one run.

    Comments say that a run was ``cut``, how many images are left out because their tags are ``taken``, and which
    ``shard`` the tasks are for, where they do not say that themselves.
    """
    data = as_written(read)
    table = _copied(data if isinstance(data, Table) else Table(1), without=_LEFT_OUT)
    for key in [key for key in table if key.startswith("x-")]:
        del table[key]  # they hold anchors, which are resolved
    table["tasks"] = _items(tasks)
    file, images = ascii(read.file), "1 image is" if taken == 1 else f"{taken} images are"
    comments = [
        _HEAD.format(file=file),
        _CUT if cut else "",
        _TAKEN.format(file=file, images=images) if taken else "",
        _SHARD.format(shard=f"{shard.index}/{shard.count}") if shard else "",
        "" if table["tasks"] or taken else _NOTHING,
    ]
    return "".join(comments) + text(table)


def taken(report: Report) -> int:
    """Say how many outcomes of a run are about tags that other mappings have: no replay is going to change that."""
    return sum(map(_is_taken, report.outcomes))


def shard_of(report: Report) -> Shard | None:
    """Return the shard that a replay is for; None where all that it replays has a name, or is everybody's."""
    task = report.task
    is_wide = any(_is_unlisted(task, one) for one in report.outcomes if one.status is not Status.CURRENT)
    return task.shard if is_wide and task.shard.count > 1 else None


def _is_taken(outcome: Outcome) -> bool:
    return outcome.failure is not None and outcome.failure.kind == TagTaken.kind


def replayed(read: Source, plan: Plan, report: Report) -> list[Table]:
    """Return the tasks that copy what failed or was cancelled in a run, to where it did not get: one as a rule.

    Images that failed at some targets only need a task for each such set of targets. ``read`` is the file that
    ``plan`` was made of.
    """
    lost = [one for one in report.outcomes if one.status in {Status.FAILED, Status.CANCELLED} and not _is_taken(one)]
    data = as_written(read)
    written = data.get("tasks") if isinstance(data, Table) else None
    at = next((number for number, task in enumerate(plan.tasks) if task is report.task), None)
    if not lost or at is None or not isinstance(written, Items):
        return []
    task = written[at]
    assert isinstance(task, Table)
    parts: dict[Part, set[int]] = {}
    for outcome in lost:
        for part in _parts(report.task, outcome):
            parts.setdefault(part, set()).update(_targets(report.task, outcome))
    groups: dict[tuple[int, ...], list[Part]] = {}
    for part, targets in parts.items():
        groups.setdefault(tuple(sorted(targets)), []).append(part)
    several = len(groups) > 1
    return [
        _task(task, targets, _mappings(task, wanted), number if several else 0)
        for number, (targets, wanted) in enumerate(groups.items(), 1)
    ]


def _targets(task: Task, outcome: Outcome) -> Iterable[int]:
    """Return the positions of the targets that lack the image: all where it is not known to have any."""
    target = outcome.target
    if target is None or target not in outcome.copy.targets:
        return range(len(task.targets))
    return (outcome.copy.to[outcome.copy.targets.index(target)],)


def _parts(task: Task, outcome: Outcome) -> Iterator[Part]:
    """Find the mapping that an outcome belongs to, and what of it is meant.

    Several mappings may stand in one line; of those that mean the same image any will do.
    """
    copy, unlisted = outcome.copy, _is_unlisted(task, outcome)
    near = [
        (number, rule)
        for number, rule in enumerate(task.rules)
        if (rule.where, rule.platforms, rule.subset) == (copy.where, copy.platforms, copy.subset)
    ]
    for number, rule in near:
        name = None if unlisted else _name(task, rule, outcome)
        if unlisted and rule.source.fixed is None:
            yield Part(number)
        elif name is not None:
            yield _part(number, rule, name, outcome)
            return
    if not unlisted and near:
        yield Part(near[0][0])


def _is_unlisted(task: Task, outcome: Outcome) -> bool:
    """Whether it is not even known which repositories there are."""
    source = outcome.copy.source
    return outcome.target is None and source.tag is None and source.repository in {task.source.prefix, "*"}


def _name(task: Task, rule: Rule, outcome: Outcome) -> str | None:
    """Return what the mapping calls the repository of an outcome; None when it does not mean it."""
    copy = outcome.copy
    name = copy.source.repository.removeprefix(f"{task.source.prefix}/" if task.source.prefix else "")
    short = [name.removeprefix("library/")] if copy.source.host == DOCKER_HUB else []
    for one in (name, *short):
        if rule.source.matches(one) and _leads_there(task, rule, one, outcome):
            return one
    return None


def _leads_there(task: Task, rule: Rule, name: str, outcome: Outcome) -> bool:
    """Whether the mapping gives the repository and the tag the names that the outcome's target has."""
    target, tag = outcome.target, outcome.copy.source.tag
    if target is None or target not in outcome.copy.targets:
        return True
    position = outcome.copy.to[outcome.copy.targets.index(target)]
    try:
        there = task.targets[position].ref(rule.rewrite.apply(name))
        renamed = None if tag is None else rule.names.apply(tag)
    except ValueError:
        return False
    return there.repository == target.repository and (renamed is None or renamed == target.tag)


def _part(number: int, rule: Rule, name: str, outcome: Outcome) -> Part:
    there = rule.rewrite.apply(name)
    names = None if rule.source.fixed is not None else (name, there)
    if names and not (is_repository(name) and is_repository(there)):
        return Part(number)  # that name is what failed, and no mapping could be made of it
    return Part(number, names, name, _tag(rule, outcome))


def _tag(rule: Rule, outcome: Outcome) -> str | None:
    """Return the item of ``tags`` that means the image alone; None where all items are needed to say what is meant."""
    source = outcome.copy.source
    if outcome.copy.by_digest:
        wanted = source.tag or str(source.digest)
        return next((item for item in rule.tags.items if item.partition("@")[0] == wanted and item != source.tag), None)
    if outcome.target is None and rule.tags.newest:
        return None  # its date is not known: it may be none of the newest
    return source.tag


def _mappings(task: Table, parts: Sequence[Part]) -> list[Table]:
    """Narrow the mappings of a task, in their order; parts of one mapping and repository make one."""
    written = task["mappings"]
    assert isinstance(written, Items)
    tags: dict[tuple[int, tuple[str, str] | None, str], list[str | None]] = {}
    for part in parts:
        tags.setdefault((part.rule, part.names, part.repository), []).append(part.tag)
    made: list[Table] = []
    for (rule, names, _), wanted in sorted(tags.items(), key=lambda one: one[0][0]):
        mapping = written[rule]
        assert isinstance(mapping, Table)
        mapping = _copied(mapping)
        if names is not None:
            mapping["from"], mapping["to"] = map(quoted, names)
        exact = [tag for tag in wanted if tag is not None]
        if len(exact) == len(wanted):
            mapping["tags"] = _items(map(quoted, exact))
        made.append(mapping)
    return made


def _task(task: Table, targets: Sequence[int], mappings: Sequence[Table], number: int) -> Table:
    """Return a task with other mappings, and with some of its targets; it runs once."""
    made = _copied(task, without=_TIMES)
    if number:
        made["name"] = quoted(f"{task['name']} ({number})")
    places = made.get("targets")
    if isinstance(places, Items):
        made["targets"] = _items(places[position] for position in targets)
    made["mappings"] = _items(mappings)
    return made


def _items(values: Iterable[Data]) -> Items:
    items = Items(1)
    items.extend(values)
    return items


def _copied(table: Table, *, without: frozenset[str] = frozenset()) -> Table:
    copied = Table(table.line)
    copied.update({key: value for key, value in table.items() if key not in without})
    return copied
