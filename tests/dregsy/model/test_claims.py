from dregsy.model.claims import Claim, Claims
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Once, Rule, Task
from dregsy.model.platform import Platform
from dregsy.model.ref import Ref
from dregsy.model.rewrite import Rewrite, Selection
from dregsy.model.tags import TagFilter
from dregsy.model.unknown import Unknown

AMD64, ARM64 = (Platform("linux", one) for one in ("amd64", "arm64"))


def copy(
    source: str,
    *targets: str,
    where: str = "f:1",
    platforms: tuple[Platform, ...] = (),
    subset: tuple[Platform, ...] = (),
) -> Copy:
    """Build a copy from its references."""
    refs = tuple(map(Ref.parse, targets))
    return Copy("t", Ref.parse(source), refs, tuple(range(len(refs))), platforms, where, subset)


def test_the_first_has_the_tag() -> None:
    """Another image for a claimed tag is refused, and told what holds it and by which line; the same one is not."""
    claims = Claims()

    assert claims.refused("a", copy("a.io/x:1", "b.io/x:1", where="f:7")) == {}
    assert claims.refused("a", copy("a.io/x:1", "b.io/x:1", where="f:8")) == {}
    assert claims.refused("a", copy("a.io/y:1", "b.io/y:1", "b.io/x:1", where="f:9")) == {
        1: Claim("a.io/x:1", "f:7", "t")
    }
    assert claims.refused("a", copy("a.io/z:1", "b.io/y:1", where="f:9")) == {0: Claim("a.io/y:1", "f:9", "t")}


def test_platforms_make_another_image() -> None:
    """Two platforms of one image overwrite each other as two images do; a subset is another image than its one part."""
    claims = Claims()
    claims.refused("a", copy("a.io/x:1", "b.io/x:1", platforms=(AMD64,)))

    assert list(claims.refused("a", copy("a.io/x:1", "b.io/x:1", platforms=(AMD64,)))) == []
    for other in (copy("a.io/x:1", "b.io/x:1", platforms=(ARM64,)), copy("a.io/x:1", "b.io/x:1", subset=(AMD64,))):
        assert list(claims.refused("a", other)) == [0]
    assert list(claims.refused("a", copy("a.io/x:1", "b.io/x:1"))) == [0]


def test_digests_are_not_claimed() -> None:
    """A target that is named by its content cannot be overwritten with another."""
    target = Ref("b.io", "x", digest=Digest.of(b""))
    claims = Claims()

    for source in ("a.io/x", "a.io/y"):
        one = Copy("t", Ref.parse(source).with_tag(None, target.digest), (target,), (0,))
        assert claims.refused("a", one) == {}


def test_tasks_share_the_claims() -> None:
    """A tag belongs to a task until that task runs again and no longer means it."""
    claims = Claims()
    claims.refused("a", copy("a.io/x:1", "b.io/x:1"))

    claims.begin("b")
    assert list(claims.refused("b", copy("a.io/y:1", "b.io/x:1"))) == [0]
    claims.begin("a")
    assert claims.refused("b", copy("a.io/y:1", "b.io/x:1")) == {}
    assert list(claims.refused("a", copy("a.io/x:1", "b.io/x:1"))) == [0]


def unlisted(where: str) -> tuple[Unknown, Rule]:
    """Build a mapping that could not be listed, and a later one."""
    rules = []
    for source, line in (("x", where), ("y", "f:9")):
        selection = Selection.parse(source)
        rules.append(Rule(selection, Rewrite.parse("m", selection=selection), TagFilter.parse([]), where=line))
    task = Task("t", Once(), Endpoint("a.io"), (Endpoint("b.io"),), tuple(rules))
    return Unknown(task, rules[0], "x", retryable=True), rules[1]


def test_what_could_not_be_listed_is_kept() -> None:
    """Later mappings wait for what may be meant for their tags, unless these are theirs already, until it is listed."""
    unknown, later = unlisted("f:1")
    claims = Claims()
    claims.begin("a")
    claims.refused("a", copy("a.io/y:1", "b.io/m:1"))
    claims.keep("a", unknown)

    assert claims.kept("a", copy("a.io/y:1", "b.io/m:1"), later, "y") is None
    assert claims.kept("a", copy("a.io/y:2", "b.io/m:2"), later, "y") == unknown
    assert claims.kept("a", copy("a.io/y:2", "b.io/n:2"), later, "y") is None
    assert claims.kept("a", copy("a.io/x:2", "b.io/m:2"), unknown.rule, "x") is None
    claims.release("a", unknown.rule, "x")
    assert claims.kept("a", copy("a.io/y:2", "b.io/m:2"), later, "y") is None


def test_what_could_not_be_listed_keeps_what_it_had() -> None:
    """A task does not lose its tags to another one in a run in which it cannot tell what it means."""
    unknown, _ = unlisted("f:1")
    claims = Claims()
    claims.begin("a")
    claims.refused("a", copy("a.io/x:1", "b.io/m:1", where="f:1"))
    claims.refused("a", copy("a.io/z:2", "b.io/m:2", where="f:2"))
    claims.begin("a")
    claims.keep("a", unknown)

    assert list(claims.refused("b", copy("a.io/y:1", "b.io/m:1"))) == [0]
    assert list(claims.refused("b", copy("a.io/y:2", "b.io/m:2"))) == []
