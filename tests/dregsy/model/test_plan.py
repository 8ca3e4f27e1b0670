"""A plan is plain data: comparable, hashable, changed only by making another one."""

from dataclasses import FrozenInstanceError, asdict, replace
from json import dumps

import pytest

from dregsy.model.endpoint import Endpoint, Given, Login, Secret
from dregsy.model.plan import Copy, Every, Once, Plan, RelayChoice, Rule, Task
from dregsy.model.ref import Ref
from dregsy.model.rewrite import Rewrite, Selection
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
