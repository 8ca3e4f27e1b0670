"""A plan is plain data: comparable, hashable, changed only by making another one."""

from dataclasses import FrozenInstanceError, asdict, replace
from json import dumps

import pytest

from dregsy.model.endpoint import Endpoint, Given, Login, Secret
from dregsy.model.plan import Copy, Every, Once, Plan, RelayChoice, Rule, Task
from dregsy.model.ref import Ref
from dregsy.model.rewrite import Rewrite, Selection
from dregsy.model.shard import Shard
from dregsy.model.tags import TagFilter


def plan(*, to: str = "mirror", password: str = "pa55") -> Plan:
    """A plan as a config file makes it."""
    source = Selection.parse("regex:team/.*")
    rule = Rule(source, Rewrite.parse(to, selection=source), TagFilter.parse(["semver: 1.x", "keep: latest 3"]))
    task = Task(
        "t",
        Every(60),
        Endpoint("a.io", credentials=Given(Login("me", Secret(password)))),
        (Endpoint("b.io"),),
        (rule,),
    )
    return Plan((task,), RelayChoice("native", None))


def test_plans_of_one_text_are_equal() -> None:
    """A reload can tell whether anything changed, a password included."""
    assert plan() == plan()
    assert hash(plan()) == hash(plan())
    assert plan() != plan(to="other")
    assert plan() != plan(password="other")


def test_a_plan_shows_no_secret() -> None:
    """Logging a whole plan is safe."""
    assert "pa55" not in f"{plan()!r}{asdict(plan())}"


def test_a_plan_is_not_changed_but_replaced() -> None:
    """What runs holds on to what it was given."""
    task = plan().tasks[0]

    with pytest.raises(FrozenInstanceError):
        task.name = "other"  # type: ignore[misc]  # the very thing that must not work
    assert replace(task, schedule=Once()) != task


def test_the_origin_of_a_copy() -> None:
    """An image that is named by its digest has no tag at the source; another one is known by its tag."""
    digest = f"sha256:{'0' * 64}"
    copy = Copy("t", Ref.parse(f"a.io/x:1@{digest}"), (Ref.parse("b.io/x:1"),), (0,))

    assert str(copy.origin) == f"a.io/x:1@{digest}"
    assert str(replace(copy, by_digest=True).origin) == f"a.io/x@{digest}"


def test_a_copy_can_be_written_down() -> None:
    """A copy holds no secret and nothing that JSON does not know."""
    copy = Copy("t", Ref.parse("a.io/x:1"), (Ref.parse("b.io/x:1"),), (0,), where="sync.yaml:8")

    assert '"host": "b.io"' in dumps(asdict(copy))


def test_a_share_is_told_by_the_name_at_the_target() -> None:
    """Two mappings, or two tasks, that write to one repository do so in the same replica."""
    names = [f"team/{number}" for number in range(20)]
    one, two = plan(to="mirror"), plan(to="regex:^/,/mirror/")
    three = plan(to="regex:^/,/")
    deep = replace(three, tasks=(replace(three.tasks[0], targets=(Endpoint("b.io", prefix="mirror"),)),))

    shares = [
        [[*task.share(task.rules[0], names)] for index in range(3) for task in what.sharded(Shard(index, 3)).tasks]
        for what in (one, two, deep, three)
    ]

    assert shares[0] == shares[1] == shares[2] != shares[3]
    assert names == sorted((name for share in shares[0] for name in share), key=names.index)


def test_a_share_with_targets_below_different_paths() -> None:
    """A repository that one task writes to as its second target, and another one as its only one, has one replica."""
    names = [f"team/{number}" for number in range(20)]
    task = plan(to="regex:^/team/,/").tasks[0]
    several = replace(task, targets=(Endpoint("b.io", prefix="deep/alpha"), Endpoint("b.io", prefix="mirror")))
    single = plan(to="regex:^/team/,/mirror/").tasks[0]

    for index in range(3):
        one, two = replace(plan(), tasks=(several, single)).sharded(Shard(index, 3)).tasks
        assert [*one.share(one.rules[0], names)] == [*two.share(two.rules[0], names)]


def test_a_plan_for_all() -> None:
    """Without shards, a task has all repositories, whatever their names."""
    task = plan().tasks[0]

    assert [*task.share(task.rules[0], ["a", "b", "", "//"])] == ["a", "b", "", "//"]
    assert replace(plan(), tasks=()).sharded(Shard(1, 2)).tasks == ()
