import pytest

from dregsy.model.digest import Digest
from dregsy.model.ref import is_tag
from dregsy.model.tagnames import TagNames, tag_for


@pytest.mark.parametrize(
    ("names", "tag", "expected"),
    [
        (TagNames(), "v1", "v1"),
        (TagNames.parse("regex:^v,"), "v1.2", "1.2"),
        (TagNames.parse("regex:v([0-9]+).*,$1-x"), "v1.2", "1-x"),
        (TagNames.parse("regex:a,b"), "banana", "bbnbnb"),
        (TagNames.parse("regex:nope,b"), "v1", "v1"),
        (TagNames.parse("regex:^v,", "hub-", "-mirrored"), "v1", "hub-1-mirrored"),
    ],
)
def test_names(names: TagNames, tag: str, expected: str) -> None:
    """Matches are replaced as in ``to``, then prefix and suffix are put around."""
    assert expected == names.apply(tag)


@pytest.mark.parametrize(
    ("names", "tag"),
    [(TagNames.parse("regex:.*,"), "v1"), (TagNames.parse("regex:v,/"), "v1"), (TagNames(prefix="x" * 127), "v1")],
)
def test_illegal_names(names: TagNames, tag: str) -> None:
    """What comes out as no legal tag is an error that shows it."""
    with pytest.raises(ValueError, match="not a legal tag"):
        names.apply(tag)


@pytest.mark.parametrize("to", ["stable", "regex:(,x", "regex:v"])
def test_invalid(to: str) -> None:
    """Only a replacement by a valid expression renames; errors name the key."""
    with pytest.raises(ValueError, match="'to-tag'"):
        TagNames.parse(to)


@pytest.mark.parametrize(
    ("names", "named", "expected"),
    [
        (TagNames(), "v1", ("v1",)),
        (TagNames(prefix="a-", suffix="-b"), "a-v1-b", ("v1",)),
        (TagNames(prefix="a-", suffix="-b"), "a-v1", ()),
        (TagNames(prefix="aa", suffix="aa"), "aaa", ()),
        (TagNames.parse("regex:x,y", "a-"), "a-v1", None),
        (TagNames.parse("regex:x,y", "a-"), "b-v1", ()),
    ],
)
def test_origins(names: TagNames, named: str, expected: tuple[str, ...] | None) -> None:
    """What was put around a name can be taken off again; an expression cannot be turned round."""
    assert expected == names.origins(named)


def test_equality() -> None:
    """Equal texts make equal names."""
    assert TagNames.parse("regex:a,b", "x") == TagNames.parse("regex:a,b", "x") != TagNames.parse("regex:a,c", "x")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_digest_has_a_tag(algorithm: str) -> None:
    """Also a long one stands for itself, in a legal tag."""
    digest = Digest.of(b"", algorithm)

    assert tag_for(digest).startswith(f"dregsy-{digest.hex[:64]}")
    assert is_tag(tag_for(digest))
