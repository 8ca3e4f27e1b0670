from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.model.digest import Digest
from dregsy.model.plan import Copy, Rule
from dregsy.model.ref import Ref
from dregsy.model.tagnames import TagNames
from dregsy.model.tags import TagSet
from dregsy.rivals import Rights, is_contested
from tests.testbed.copying import Workshop, rule, task

Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]
A = Digest.of(b"a")
SAME = TagNames.parse("regex:^v([0-9]+).*,v$1", "", "")


def copy(source: str, target: str) -> Copy:
    """A copy of what a tag points at now."""
    return Copy("test", Ref.parse(source).with_tag("v1", A), (Ref.parse(target),), (0,))


@pytest.mark.parametrize(
    ("rules", "number", "expected"),
    [
        ([rule("a")], 0, False),
        ([rule("a"), rule("a")], 1, False),
        ([rule("a", "x"), rule("b", "y")], 1, False),
        ([rule("a", "x"), rule("b", "x")], 0, False),
        ([rule("a", "x"), rule("b", "x")], 1, True),
        ([rule("a", "x", tags=("v2",)), rule("b", "x")], 1, False),
        ([rule("a", "x", exclude=TagSet.parse(["v1"], key="exclude")), rule("b", "x")], 1, False),
        ([rule("a", "x", platform="linux/arm64"), rule("a", "x")], 1, True),
        ([rule("regex:.*", "regex:.*,/x")], 0, True),
        ([rule("a", "x", names=SAME)], 0, True),
    ],
)
def test_what_is_contested(rules: list[Rule], number: int, expected: bool) -> None:
    """A tag that an earlier mapping, or another image of the same one, may mean."""
    of = rules[number]
    source = of.source.fixed or "a"
    work = task("a.example", ("b.example",), *rules)

    target = f"b.example/{of.rewrite.apply(source)}:v1"
    assert is_contested([work], of, copy(f"a.example/{source}:v1", target)) == expected


def test_earlier_tasks_come_first() -> None:
    """What an earlier task may mean is contested, too."""
    first, second = (task("a.example", ("b.example",), rule(name, "x")) for name in ("a", "b"))
    of = copy("a.example/b:v1", "b.example/x:v1")

    assert is_contested([first, second], second.rules[0], of)
    assert not is_contested([second], second.rules[0], of)


async def test_rights(tmp_path: Path, embedded_pair: Pair) -> None:
    """The first mapping that has an image of that tag has the tag; what no mapping selects has nothing against it."""
    source, target = embedded_pair
    await images.seed(source, "a", images.image("a"), "v1")
    await images.seed(source, "b", images.image("b"), "v1", "v2")
    work = task(source.host, (target.host,), rule("a", "x", tags=("keep: latest 5",)), rule("b", "x"))
    rights = Rights()
    async with Workshop(tmp_path) as shop:
        await rights.look([work], shop.resolver)

    refusals = [rights.refusal(copy(f"{source.host}/{name}:v1", f"{target.host}/x:v1")) for name in ("a", "b", "c")]
    assert [one.kind if one else None for one in refusals] == [None, "tag-taken", "tag-taken"]
    assert rights.refusal(copy(f"{source.host}/c:v1", f"{target.host}/y:v1")) is None
