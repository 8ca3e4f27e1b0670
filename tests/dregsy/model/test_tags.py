"""What a ``tags:`` list selects, case by case and against a second, deliberately naive implementation."""

import random
import re
from functools import cmp_to_key
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dregsy.model.digest import Digest
from dregsy.model.tags import Pick, TagFilter, TagSet

CASES: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "cases" / "tags.yaml").read_text())
LISTED: list[str] = CASES["listed"]
HEX = "0123456789abcdef" * 4
OTHER_HEX = "f" * 64


def selected(items: list[str], listed: list[str] | None = None) -> list[str]:
    """The texts of what is selected."""
    return [str(pick) for pick in TagFilter.parse(items).select(LISTED if listed is None else listed)]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES["cases"]])
def test_selects(case: dict[str, Any]) -> None:
    """Each list of items selects exactly these of the listed tags, sorted."""
    assert case["selected"].split() == selected(case["tags"], CASES[case.get("of", "listed")])


@pytest.mark.parametrize(
    ("items", "needed"),
    [
        ([], True),
        (["keep: latest 3"], True),
        (["keep: .*"], True),
        (["regex: a"], True),
        (["semver: 1.x", "latest"], True),
        (["latest"], False),
        (["latest", "keep: latest 3"], False),
        ([f"sha256:{HEX}"], False),
    ],
)
def test_a_listing_is_needed_only_where_tags_are_to_be_found(items: list[str], needed: bool) -> None:
    """Lists of verbatim items never ask the registry for its tags."""
    assert needed == TagFilter.parse(items).needs_listing


def test_verbatim_items_stand_for_themselves_whatever_is_listed() -> None:
    """A listing that is there anyway adds nothing to verbatim items, and ``keep: latest`` counts them."""
    expected = ["1.3", "x"]

    assert expected == selected(["1.1", "1.3", "x", "keep: latest 1"])


def test_digests_are_picked_with_and_without_a_tag() -> None:
    """``sha256:…`` is an image without a tag, ``tag@sha256:…`` an image and the tag that it gets."""
    items = [f"v1@sha256:{HEX}", f"sha256:{OTHER_HEX}", "v2"]
    expected = (
        Pick(None, Digest("sha256", OTHER_HEX)),
        Pick("v1", Digest("sha256", HEX)),
        Pick("v2"),
    )

    assert expected == TagFilter.parse(items).select([])


@pytest.mark.parametrize(("item", "counts"), [("keep: latest 1", True), ("keep: newest 1", True), ("keep: a", False)])
def test_counts(item: str, counts: bool) -> None:
    """It can be told whether numbers of tags are limited."""
    assert counts == TagFilter.parse(["a", item]).counts


def test_digests_are_not_counted_as_newest() -> None:
    """``keep: latest`` never drops what is pinned by digest."""
    items = [f"1.9.9@sha256:{HEX}", f"sha256:{OTHER_HEX}", "1.1", "1.2", "keep: latest 1"]

    expected = ["1.2", f"1.9.9@sha256:{HEX}", f"sha256:{OTHER_HEX}"]

    assert expected == selected(items)


def test_one_tag_gets_one_content() -> None:
    """A tag that is given twice is copied once; the item that is last in byte order counts."""
    items = ["v1", f"v1@sha256:{HEX}", f"v1@sha256:{OTHER_HEX}", f"v1@sha256:{HEX}"]

    expected = [f"v1@sha256:{OTHER_HEX}"]

    assert expected == selected(items)


@pytest.mark.parametrize("order", [1, -1])
def test_ties_are_broken_by_the_text(order: int) -> None:
    """Of equal versions the greater text is the newer one, in whatever order tags are listed."""
    expected = ["v1.36.0"]

    assert expected == selected(["keep: latest 1"], ["1.36", "1.36.0", "v1.36.0"][::order])


def test_what_is_listed_but_no_tag_is_left_out() -> None:
    """A registry cannot smuggle a path, a line end or broken text in as a tag."""
    expected = ["ok"]

    assert expected == selected([], ["../../x", "a/b", "", "ok", "ok\n", "\ud800", "x" * 129, ".a", "a?b", "a@b", "ä"])


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("semver: ^1.2.0", "write '>=1.2.0 <2.0.0-0'"),
        ("semver: 1.2", "write '1.2.x'"),
        ("semver:", "no version"),
        ("regex: (", "missing )"),
        ("regex: a(?=b)", "invalid perl operator"),
        ("keep: [", "missing ]"),
        ("keep: latest 99999999999999999999", "digits"),
        (f"keep: latest {'9' * 5000}", "digits"),
        ("", "empty"),
        ("  ", "empty"),
        ("not a tag", "no legal tag"),
        ("Semver: 1.x", "no legal tag"),
        ("semver : 1.x", "no legal tag"),
        ("-x", "no legal tag"),
        ("a" * 129, "no legal tag"),
        ("a/b", "no legal tag"),
        ("*", "no legal tag"),
        ("ü", "no legal tag"),
        ("\ud800", "surrogate"),
        ("regex: \ud800", "surrogate"),
        ("sha256:abc", "not a sha256 or sha512 digest"),
        (f"sha256:{HEX.upper()}", "lower case"),
        (f"@sha256:{HEX}", "no legal tag"),
        ("v1@", "not a sha256 or sha512 digest"),
        (f"v1@md5:{HEX}", "not a sha256 or sha512 digest"),
        (f"v1@sha256:{HEX}@sha256:{HEX}", "not a sha256 or sha512 digest"),
    ],
)
def test_invalid_items_are_named(item: str, reason: str) -> None:
    """An item that cannot be used is an error with the item and the reason."""
    with pytest.raises(ValueError) as caught:
        TagFilter.parse(["latest", item])

    assert str(caught.value).startswith(f"'tags' uses invalid format: {item.strip()[:200]!r}: ")
    assert reason in str(caught.value)


def test_filters_are_compared_by_their_items() -> None:
    """Equal items make equal filters, whose repr is short."""
    one, same, other = (TagFilter.parse(items) for items in (["a", "regex: b"], ["a ", "regex: b"], ["a"]))

    assert one == same
    assert one != other
    assert len({one, same, other}) == 2
    assert repr(one) == "TagFilter(items=('a', 'regex: b'))"


# The naive twin: one rule after the other, versions read by Python's own expressions.


def naive_version(tag: str) -> tuple[tuple[int, int, int], list[str]] | None:
    """Read a tag as a version, tolerantly."""
    short = re.fullmatch(r"v?(\d+)(?:\.(\d+))?", tag, re.ASCII)
    if short:
        return (int(short[1]), int(short[2] or 0), 0), []
    label = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
    full = re.fullmatch(rf"v?(\d+)\.(\d+)\.(\d+)(?:-({label}(?:\.{label})*))?", tag, re.ASCII)
    if full:
        return (int(full[1]), int(full[2]), int(full[3])), full[4].split(".") if full[4] else []
    return None


def naive_newer(one: str, other: str) -> int:
    """Compare two tags that are versions."""
    one_version, other_version = naive_version(one), naive_version(other)
    assert one_version
    assert other_version
    (a, a_labels), (b, b_labels) = one_version, other_version
    if a != b:
        return 1 if a > b else -1
    if a_labels == b_labels:
        return (one > other) - (one < other)
    if not a_labels or not b_labels:
        return -1 if a_labels else 1
    for x, y in zip(a_labels, b_labels, strict=False):
        if x != y:
            if x.isdigit() and y.isdigit():
                return 1 if int(x) > int(y) else -1
            if x.isdigit() or y.isdigit():
                return -1 if x.isdigit() else 1
            return 1 if x > y else -1
    return 1 if len(a_labels) > len(b_labels) else -1


def naive_includes(item: str, tag: str) -> bool:
    """Tell whether an item means a tag; of ranges those are known that ``ranges`` below gives."""
    kind, _, text = item.partition(": ")
    if kind == "regex":
        return re.fullmatch(f"(?:{text})", tag) is not None
    version = naive_version(tag)
    if version is None:
        return False
    core, is_release = version[0], not version[1]
    return {
        ">=1.31.0": core >= (1, 31, 0) and (is_release or core > (1, 31, 0)),
        "<1.31.0": core < (1, 31, 0) or (core == (1, 31, 0) and not is_release),
        "1.x": (core[0] == 1 and (is_release or core != (1, 0, 0))) or (core == (2, 0, 0) and not is_release),
        "1.31.0 || >2.0.0": (core == (1, 31, 0) and is_release) or core > (2, 0, 0),
    }[text]


def naive_select(
    verbatim: list[str], includes: list[str], keeps: list[tuple[bool, str]], newest: int, listed: list[str]
) -> list[str]:
    """Do what the rules say, in their order."""
    chosen = []
    if includes or not verbatim:
        chosen = [tag for tag in listed if not includes or any(naive_includes(include, tag) for include in includes)]
    for inverted, expression in keeps:
        chosen = [tag for tag in chosen if bool(re.fullmatch(f"(?:{expression})", tag)) != inverted]
    chosen = sorted({*chosen, *verbatim})
    if newest and any(naive_version(tag) for tag in chosen):
        versions = sorted((tag for tag in chosen if naive_version(tag)), key=cmp_to_key(naive_newer))
        chosen = [tag for tag in chosen if not naive_version(tag) or tag in versions[-newest:]]
    elif newest:
        chosen = chosen[-newest:]
    return chosen


tags = st.one_of(
    st.sampled_from(LISTED),
    st.from_regex(r"\Av?[0-2]{1,2}(\.[0-2]{1,2}){0,3}(-[ab0-2]{1,2}(\.[ab0-2]{1,2})?)?\Z"),
    st.from_regex(r"\A[ab1][ab1._-]{0,4}\Z"),
)
ranges = st.sampled_from([">=1.31.0", "<1.31.0", "1.x", "1.31.0 || >2.0.0"])
expressions = st.sampled_from([".*", "1.*", ".*-musl", "[a-z]+", "a|b", "1|1.31|v.*", "(a|b)+", ".+-.+", "lat.*|", "x"])


@given(
    verbatim=st.lists(tags, max_size=3),
    includes=st.lists(
        st.one_of(expressions.map(lambda text: f"regex: {text}"), ranges.map(lambda text: f"semver: {text}")),
        max_size=2,
    ),
    keeps=st.lists(st.tuples(st.booleans(), expressions), max_size=2),
    newest=st.integers(0, 4),
    listed=st.lists(tags, max_size=12),
    order=st.randoms(),
)
def test_selecting_agrees_with_a_naive_reading_of_the_rules(
    verbatim: list[str],
    includes: list[str],
    keeps: list[tuple[bool, str]],
    newest: int,
    listed: list[str],
    order: random.Random,
) -> None:
    """Whatever is asked for and listed, in whatever order, the naive twin selects the same."""
    items = [
        *verbatim,
        *includes,
        *(f"keep: {'!' if inverted else ''}{keep}" for inverted, keep in keeps),
        *([f"keep: latest {newest}"] if newest else []),
    ]
    order.shuffle(items)

    assert naive_select(verbatim, includes, keeps, newest, listed) == selected(items, listed)


@given(st.lists(st.text(max_size=20), max_size=3))
def test_any_text_is_a_filter_or_a_value_error(items: list[str]) -> None:
    """Nothing but ValueError leaves the parser, and selecting gives legal picks only."""
    try:
        wanted = TagFilter.parse(items)
    except ValueError:
        return

    assert all(pick.tag or pick.digest for pick in wanted.select(["a", "1.2.3"]))


@pytest.mark.parametrize(
    ("items", "count"),
    [([], 0), (["keep: newest 3"], 3), (["keep: newest 3", "a", "keep:  newest 2"], 2), (["keep: latest 3"], 0)],
)
def test_newest_is_counted_by_others(items: list[str], count: int) -> None:
    """``keep: newest N`` is a number; the last one counts."""
    assert count == TagFilter.parse(items).newest


def test_what_is_taken_away_makes_room() -> None:
    """``keep: latest`` counts what is left of the candidates."""
    wanted = TagFilter.parse(["semver: 1.x", "keep: latest 1"])
    candidates = wanted.candidates(["1.1", "1.3", "1.2", "x"])

    assert [str(pick) for pick in candidates] == ["1.1", "1.2", "1.3"]
    assert (Pick("1.2"),) == wanted.latest(candidates[:2])


@given(
    items=st.lists(st.one_of(tags, expressions.map(lambda text: f"regex: {text}")), max_size=4),
    tag=tags,
)
def test_a_set_of_tags_agrees_with_a_naive_reading(items: list[str], tag: str) -> None:
    """A tag is in a set if one of the items names or matches it."""
    expected = any(
        bool(re.fullmatch(f"(?:{item.removeprefix('regex: ')})", tag)) if item.startswith("regex: ") else item == tag
        for item in items
    )

    assert expected == (tag in TagSet.parse(items, key="k"))


@pytest.mark.parametrize(
    "item", ["", "keep: a", "keep: latest 1", "regex: (", f"sha256:{HEX}", f"a@sha256:{HEX}", "a b"]
)
def test_what_is_no_set_of_tags(item: str) -> None:
    """A set has tags, versions and expressions; errors name its key."""
    with pytest.raises(ValueError, match="'k' uses invalid format"):
        TagSet.parse([item], key="k")


def test_sets_of_tags_are_compared_by_their_items() -> None:
    """Equal items make equal sets."""
    assert TagSet.parse(["regex: a"], key="k") == TagSet.parse(["regex: a"], key="l") != TagSet()
