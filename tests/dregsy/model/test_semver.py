"""Versions and ranges: case by case, against upstream's own library, and against a naive implementation."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.model.semver import Range, Version, parse_tolerant

UPSTREAM: dict[str, Any] = json.loads((Path(__file__).parent / "cases" / "semver.json").read_text())
LISTED = [
    "1",
    "1.26.1-glibc",
    "1.26.1-musl",
    "1.31",
    "1.31.0",
    "1.31.1",
    "1.31.1-glibc",
    "1.35.0",
    "1.35.0-musl",
    "1.36",
    "1.36.0",
    "1.36.0-musl",
    "2.0.0-rc.1",
    "2.0.0",
    "latest",
    "v1.30.0",
]


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("1.2.3", "1.2.3"),
        ("v1.2.3", "1.2.3"),
        (" 1.2.3 ", "1.2.3"),
        ("1", "1.0.0"),
        ("1.36", "1.36.0"),
        ("01.002.0003", "1.2.3"),
        ("00.0.000", "0.0.0"),
        ("1.31.1-musl", "1.31.1-musl"),
        ("1.2.03-rc.1", "1.2.3-rc.1"),
        ("1.2.3-alpine3.8", "1.2.3-alpine3.8"),
        ("1.2.3-alpine3", "1.2.3-alpine3"),
        ("1.2.3+build.5", "1.2.3"),
        ("1.2.3-rc.1+build-5", "1.2.3-rc.1"),
        ("20230101", "20230101.0.0"),
        ("0444319", "444319.0.0"),
        ("18446744073709551615", "18446744073709551615.0.0"),
    ],
)
def test_tags_are_read_with_tolerance(tag: str, version: str) -> None:
    """A ``v``, leading zeros and missing numbers are forgiven."""
    assert version == str(parse_tolerant(tag))


@pytest.mark.parametrize(
    "tag",
    [
        *("", "v", "latest", "V1.2.3", "vv1.2.3", "1.2.3.4", "1.2.3_1", "1.2.3-01", "1.2.3-alpine3.08", "1.36-glibc"),
        *("1-rc", "1+5", "1.", ".1", "1..2", "1.2.", "1.2.3-", "1.2.3+", "1.2.3-a..b", "1.2.3-ä", "1.2.x", "-1.2.3"),
        *(
            "\u0661.\u0662.\u0663",
            "1.2.3\n4",
            "1.2.\ud800",
            "18446744073709551616",
            "1.2.3-18446744073709551616",
            "9" * 10_000,
        ),
    ],
)
def test_other_tags_are_no_versions(tag: str) -> None:
    """What is no version is None, however odd, and never an error."""
    assert parse_tolerant(tag) is None


def test_precedence_is_that_of_the_standard() -> None:
    """The order of semver.org §11, with a suffix below the plain version."""
    ordered = [
        *("0.9.9", "1.0.0-1", "1.0.0-2", "1.0.0-10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta"),
        *("1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"),
    ]

    assert ordered == [str(version) for version in sorted(map(Version.parse, reversed(ordered)))]


def test_build_metadata_makes_no_difference() -> None:
    """Two builds of one version are equal (semver.org §10)."""
    assert Version.parse("1.0.0+a") == Version.parse("1.0.0+b") == Version.parse("1.0.0")


@pytest.mark.parametrize("text", ["1.2", "v1.2.3", "01.2.3", "1.2.3 ", "1.2.3-01", ""])
def test_strict_versions_forgive_nothing(text: str) -> None:
    """Inside a range a version has to be complete."""
    with pytest.raises(ValueError, match="not a version of the form"):
        Version.parse(text)


@pytest.mark.parametrize(
    ("text", "matching"),
    [
        (">=1.31.0 <1.31.9", "1.31 1.31.0 1.31.1 1.31.1-glibc"),
        ("1.31.0", "1.31 1.31.0"),
        ("=1.31.0", "1.31 1.31.0"),
        ("==1.31.0", "1.31 1.31.0"),
        ("> 1.35.0 <=1.36.0", "1.36 1.36.0 1.36.0-musl"),
        ("1.31.x", "1.31 1.31.0 1.31.1 1.31.1-glibc"),
        (">1.31.x <2.0.0", "1.35.0 1.35.0-musl 1.36 1.36.0 1.36.0-musl 2.0.0-rc.1"),
        ("<=1.26.x", "1 1.26.1-glibc 1.26.1-musl"),
        ("<1.26.x", "1"),
        (">=2.x", "2.0.0"),
        ("2.x", "2.0.0"),
        # prereleases are plain versions: the first one of 2.0.0 is below 2.0.0, so 1.x has it
        ("1.x !=1.26.1-musl >=1.26.0 <1.31.0", "1.26.1-glibc v1.30.0"),
        (">=1.36.0 <2.0.0", "1.36 1.36.0 2.0.0-rc.1"),
        (">=2.0.0-rc.1", "2.0.0-rc.1 2.0.0"),
        ("1.31.0 || 1.35.0", "1.31 1.31.0 1.35.0"),
        (">=1.31.0 <1.31.1 || >=1.36.0 <1.37.0", "1.31 1.31.0 1.31.1-glibc 1.36 1.36.0"),
        # oddities that files may lean on, as upstream has them
        ("1.x.x", "1"),
        ("!=1.31.x", ""),
        ("! 1.31.0", "1.31 1.31.0"),
        ("1.31.0 - 1.35.0", ""),
        ("1.31.0 x", "1.31 1.31.0"),
        # upstream crashes when it comes to the empty alternative
        ("1.31.0 || || 1.35.0", "1.31 1.31.0 1.35.0"),
        ("  1.31.0   ||   1.35.0  ", "1.31 1.31.0 1.35.0"),
    ],
)
def test_ranges_match(text: str, matching: str) -> None:
    """Each form of a range matches exactly the versions it should."""
    versions = {tag: version for tag in LISTED if (version := parse_tolerant(tag))}
    wanted = Range.parse(text)

    assert matching.split() == [tag for tag, version in versions.items() if wanted.matches(version)]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("^1.2.0", "write '>=1.2.0 <2.0.0-0'"),
        ("^0.2.3", "write '>=0.2.3 <0.3.0-0'"),
        ("^0.0.3", "write '>=0.0.3 <0.0.4-0'"),
        ("^1", "write '>=1.0.0 <2.0.0-0'"),
        ("~1.2.0", "write '>=1.2.0 <1.3.0-0'"),
        ("~1", "write '>=1.0.0 <2.0.0-0'"),
        ("^1.x", "write '1.x'"),
        ("1.2", "write '1.2.x'"),
        ("12", "write '12.x'"),
        ("1", "write '1.x'"),
        (">=1.2", "write '>=1.2.0'"),
        ("v1.2.3", "write '1.2.3'"),
        (">=v1.2.3", "write '>=1.2.3'"),
        ("=>1.0.0", "write '>=1.0.0'"),
        ("1.X", "a wildcard is a small x"),
        ("1.*", "a wildcard is a small x"),
        (">=1.0.0,<2.0.0", "separate terms with a blank"),
        ("1.2.0||1.3.0", "put a blank on both sides"),
        ("|| 1.2.0", "on both sides of"),
        ("1.2.0 ||", "on both sides of"),
        ("", "write '>=0.0.0-0' for all versions"),
        ("*", "write '>=0.0.0-0' for all versions"),
        ("x", "write '>=0.0.0-0' for all versions"),
        ("latest", "not understood"),
        (">=latest", "not understood"),
        ("(1.2.0)", "not understood"),
        ("1.2.3-01", "not a version"),
        ("1.x.3", "not a version"),
        ("1.2.x.x", "not a version"),
        ("\u0661.\u0662.\u0663", "not understood"),
        ("1.2.3\ud800", "not a version"),
        ("99999999999999999999.x", "too large"),
        ("1.99999999999999999999.0", "too large"),
    ],
)
def test_what_is_no_range_says_what_to_write_instead(text: str, advice: str) -> None:
    """An error of a range tells people used to other tools what it is called here."""
    with pytest.raises(ValueError) as caught:
        Range.parse(text)

    assert advice in str(caught.value)


@pytest.mark.parametrize("text", ["^1.2.0", "~1.2", "1.2", "=>1.0.0", "v1.2.3", ">=1.2", "*", "^0.0.3", "7"])
def test_the_advice_is_itself_a_range(text: str) -> None:
    """What is written as told is accepted."""
    with pytest.raises(ValueError) as caught:
        Range.parse(text)
    advice = str(caught.value).partition(" — write '")[2].partition("'")[0]

    assert advice == Range.parse(advice).text


def test_ranges_are_compared_by_their_text() -> None:
    """Equal texts make equal ranges, so that a plan can be compared with a reloaded one."""
    assert Range.parse("1.x") == Range.parse("1.x")
    assert Range.parse("1.x") != Range.parse("1.0.x")
    assert len({Range.parse("1.x"), Range.parse("1.x")}) == 1


@pytest.mark.parametrize(("tag", "version"), UPSTREAM["tolerant"].items())
def test_tags_are_read_as_upstream_reads_them(tag: str, version: str | None) -> None:
    """What upstream's library made of a tag, or that it made nothing of it."""
    found = parse_tolerant(tag)

    assert version == (None if found is None else str(found))


@pytest.mark.parametrize(("text", "matches"), UPSTREAM["ranges"].items())
def test_ranges_select_what_upstream_does(text: str, matches: str | None) -> None:
    """Which versions upstream's library found in a range (+), or that it refused it."""
    if matches is None:
        with pytest.raises(ValueError):
            Range.parse(text)
        return
    wanted, probes = Range.parse(text), map(parse_tolerant, UPSTREAM["probes"])

    assert matches == "".join("+" if probe and wanted.matches(probe) else "-" for probe in probes)


# The naive twin: comparisons spelled out, one step at a time.

numbers = st.integers(0, 12)
labels = st.lists(st.one_of(numbers.map(str), st.from_regex(r"\A[a-c][a-c0-9-]{0,3}\Z")), min_size=1, max_size=3)
triples = st.tuples(numbers, numbers, numbers)
versions = st.builds(
    lambda triple, pre: ".".join(map(str, triple)) + (f"-{'.'.join(pre)}" if pre else ""),
    triples,
    st.one_of(st.none(), labels),
)
signs = st.sampled_from(["", "=", "==", "!", "!=", "<", "<=", ">", ">="])


def naive_compare(one: str, other: str) -> int:
    """Compare two complete versions by reading the standard aloud."""
    one_core, _, one_pre = one.partition("-")
    other_core, _, other_pre = other.partition("-")
    for a, b in zip(one_core.split("."), other_core.split("."), strict=True):
        if int(a) != int(b):
            return 1 if int(a) > int(b) else -1
    if not one_pre or not other_pre:
        return bool(other_pre) - bool(one_pre)
    a_labels, b_labels = one_pre.split("."), other_pre.split(".")
    for a, b in zip(a_labels, b_labels, strict=False):
        if a == b:
            continue
        if a.isdigit() and b.isdigit():
            return 1 if int(a) > int(b) else -1
        if a.isdigit() != b.isdigit():
            return -1 if a.isdigit() else 1
        return 1 if a > b else -1
    return (len(a_labels) > len(b_labels)) - (len(a_labels) < len(b_labels))


def naive_matches(sign: str, bound: str, version: str) -> bool:
    """Evaluate one term."""
    order = naive_compare(version, bound)
    return {
        "<": order < 0,
        "<=": order <= 0,
        ">": order > 0,
        ">=": order >= 0,
        "!": order != 0,
        "!=": order != 0,
    }.get(sign, order == 0)


@given(versions, versions)
def test_comparing_agrees_with_a_naive_reading_of_the_standard(one: str, other: str) -> None:
    """The order of any two versions is that of the naive twin."""
    a, b = Version.parse(one), Version.parse(other)

    assert naive_compare(one, other) == (a > b) - (a < b)


@given(st.lists(st.lists(st.tuples(signs, versions), min_size=1, max_size=3), min_size=1, max_size=3), versions)
def test_ranges_agree_with_a_naive_evaluation(alternatives: list[list[tuple[str, str]]], version: str) -> None:
    """And binds tighter than or, whatever the terms."""
    text = " || ".join(" ".join(f"{sign}{bound}" for sign, bound in terms) for terms in alternatives)
    expected = any(all(naive_matches(sign, bound, version) for sign, bound in terms) for terms in alternatives)

    assert expected == Range.parse(text).matches(Version.parse(version))


@given(numbers, numbers, versions)
def test_wildcards_agree_with_comparing_the_numbers(major: int, minor: int, version: str) -> None:
    """``1.2.x`` lies between 1.2.0 and 1.3.0, without the latter."""
    bounds = f">={major}.{minor}.0 <{major}.{minor + 1}.0"

    assert Range.parse(bounds).matches(Version.parse(version)) == Range.parse(f"{major}.{minor}.x").matches(
        Version.parse(version)
    )


@given(st.text(alphabet="0123456789.x<>=!|^~v -+a*,\ud800", max_size=24))
def test_any_text_is_a_range_or_a_value_error(text: str) -> None:
    """Nothing but ValueError leaves the parser, and nothing at all leaves a match."""
    try:
        wanted = Range.parse(text)
    except ValueError:
        return

    assert wanted.matches(Version(1, 2, 3)) in {True, False}


@given(st.text(max_size=24))
def test_any_text_is_a_version_or_none(text: str) -> None:
    """Reading a tag never fails, and what it yields reads as itself."""
    version = parse_tolerant(text)

    assert version is None or version == Version.parse(str(version))
