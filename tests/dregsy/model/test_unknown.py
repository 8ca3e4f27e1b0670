from typing import Any

import pytest

from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Once, Rule, Task
from dregsy.model.platform import Platform
from dregsy.model.ref import Ref
from dregsy.model.rewrite import Rewrite, Selection
from dregsy.model.tagnames import TagNames
from dregsy.model.tags import TagFilter, TagSet
from dregsy.model.unknown import Unknown

AMD64 = (Platform.parse("linux/amd64"),)


def rule(source: str, to: str = "", *tags: str, **more: Any) -> Rule:
    """Build a mapping from its texts."""
    selection = Selection.parse(source)
    return Rule(selection, Rewrite.parse(to, selection=selection), TagFilter.parse(tags), **more)


def unknown(of: Rule, repository: str | None = None, *, below: str = "") -> Unknown:
    """Build what could not be listed of a.io, for b.io and a folder of it."""
    task = Task("t", Once(), Endpoint("a.io", below), (Endpoint("b.io"), Endpoint("b.io", "team")), (of,))
    return Unknown(task, of, repository, retryable=True)


def wants(one: Unknown, source: str, target: str, **more: Any) -> bool:
    """Whether ``target`` may be wanted for another image than ``source``."""
    to = Ref.parse(target)
    return one.may_want(Copy("t", Ref.parse(source), (to,), (0,), **more), to)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("a.io/two:v1", "b.io/m:v1", True),
        ("a.io/two:v1", "b.io/team/m:v1", True),
        ("a.io/one:v1", "b.io/m:v1", False),
        ("a.io/one:v2", "b.io/m:v1", True),
        ("a.io/two:v1", "b.io/m:w1", False),
        ("a.io/two:v1", "b.io/m:v9", False),
        ("a.io/two:v1", "b.io/n:v1", False),
        ("a.io/two:v1", "c.io/m:v1", False),
    ],
)
def test_a_repository(source: str, target: str, expected: bool) -> None:
    """What its tags may be called is wanted, at each target, but for the very image that it would be."""
    of = rule("one", "m", "regex: v.*", exclude=TagSet.parse(["v9"], key="exclude"))

    assert expected == wants(unknown(of, "one"), source, target)


@pytest.mark.parametrize(
    ("to", "source", "target", "expected"),
    [
        ("m", "a.io/below/x:v1", "b.io/m/lib/x:v1", True),
        ("m", "a.io/below/lib/x:v1", "b.io/m/lib/x:v1", False),
        ("m", "a.io/below/x:v1", "b.io/team/m/lib/x:v1", True),
        ("m", "a.io/below/x:v1", "b.io/m/x:v1", False),
        ("m", "a.io/below/x:v1", "b.io/x:v1", False),
        ("m", "a.io/below/x:v1", "c.io/m/lib/x:v1", False),
        ("regex:^/lib,/m", "a.io/below/x:v1", "b.io/m/x:v1", True),
        ("regex:^/lib,/m", "a.io/below/x:v1", "b.io/x:v1", False),
        ("regex:lib,m", "a.io/below/x:v1", "b.io/x:v1", True),
    ],
)
def test_repositories(to: str, source: str, target: str, expected: bool) -> None:
    """Where not even the repositories are known, all counts that 'to' can make of what 'from' selects."""
    assert expected == wants(unknown(rule("regex:lib/.*", to), below="below"), source, target)


def test_names_of_tags() -> None:
    """Renamed tags are looked at by what they are called; where that cannot be told, all are wanted."""
    fixed = unknown(rule("one", "m", "v1", "regex: x", names=TagNames(prefix="n-")), "one")
    free = unknown(rule("one", "m", "v1", names=TagNames.parse("regex:v,w")), "one")

    assert wants(fixed, "a.io/two:v1", "b.io/m:n-v1")
    assert not wants(fixed, "a.io/one:v1", "b.io/m:n-v1")
    assert not wants(fixed, "a.io/two:v1", "b.io/m:v1")
    assert wants(free, "a.io/one:v1", "b.io/m:any")


def test_other_parts_of_an_image() -> None:
    """One platform of an image is another image; what has no tag is wanted by nobody; impossible names are none."""
    one = unknown(rule("one", "m", platforms=AMD64), "one")
    digest = f"sha256:{'0' * 64}"

    assert not wants(one, "a.io/one:v1", "b.io/m:v1", platforms=AMD64)
    assert wants(one, "a.io/one:v1", "b.io/m:v1")
    assert not wants(one, "a.io/two", f"b.io/m@{digest}")
    assert not wants(unknown(rule("regex:.*"), below="x" * 200), "a.io/two:v1", f"b.io/{'y' * 100}:v1")


def test_the_order() -> None:
    """Mappings count in the order of the file, and repositories of one by their names."""
    first, second = rule("regex:.*", "m"), rule("regex:.*", "n")
    task = Task("t", Once(), Endpoint("a.io"), (Endpoint("b.io"),), (first, second))

    assert Unknown(task, first, "z", retryable=True).comes_before(second, "a")
    assert not Unknown(task, second, None, retryable=True).comes_before(first, "z")
    assert Unknown(task, first, None, retryable=True).comes_before(first, "a")
    assert [Unknown(task, first, "b", retryable=True).comes_before(first, one) for one in "abc"] == [False, False, True]
