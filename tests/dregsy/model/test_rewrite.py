"""Names at the source and at the target: case by case, against Go itself, and against a naive implementation."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dregsy.model.rewrite import Replacement, Rewrite, Selection

FOLDER = Path(__file__).parent / "cases"
GO: list[list[str]] = json.loads((FOLDER / "replace.json").read_text())["cases"]
CASES: list[dict[str, str | None]] = yaml.safe_load((FOLDER / "paths.yaml").read_text())


def target(source: str, to: str, name: str) -> str | None:
    """The path at the target as dregsy writes it, or None where ``name`` is not selected."""
    selection = Selection.parse(source)
    if not selection.matches(name.removeprefix("/")):
        return None
    return f"/{Rewrite.parse(to, selection=selection).apply(name)}"


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_paths(case: dict[str, str | None]) -> None:
    """Each pair of ``from`` and ``to`` makes exactly this of a name."""
    source, to, name = (case[key] or "" for key in ("from", "to", "repository"))
    assert case["becomes"] == target(source, to, name)


@pytest.mark.parametrize(
    ("expression", "replacement", "path", "expected"),
    [
        ("(a)(b)", "$2$1", "ab", "ba"),
        ("(a)(b)", "${2}x${1}", "ab", "bxa"),
        ("(a)(b)", "$1_x", "ab", ""),
        ("(a)(b)", "${1}_x", "ab", "a_x"),
        ("(a)", "$0$0", "a", "aa"),
        ("(?P<name>a)", "$name-${name}", "a", "a-a"),
        ("(?P<name>a)", "$names", "a", ""),
        ("(a)", "$2$10$99999999999999999999", "a", ""),
        ("(a)", "$01", "a", ""),
        ("(a)|b", "<$1>", "ab", "<a><>"),
        ("a", "$$1", "a", "$1"),
        ("(a)", "$$$1", "a", "$a"),
        ("(a)", "x$", "a", "x$"),
        ("(a)", "$-$ ${1 ${} $1", "a", "$-$ ${1 ${} a"),
        ("(a)", r"\1", "a", r"\1"),
        ("(a)", "$é$1", "a", "a"),
        ("(a)", "\u0661$\u0661", "a", "\u0661"),
        ("a*", "-", "baac", "-/-b-c-"),
        ("", "-", "ab", "-/-a-b-"),
        ("x?$", "!", "ab", "ab!"),
        (r"\b", "|", "a/b", "/|a|/|b|"),
        ("é", "e", "né", "ne"),
    ],
)
def test_replacements_follow_the_rules_of_go(expression: str, replacement: str, path: str, expected: str) -> None:
    """Groups, dollar signs and empty matches are what Go's regexp package makes of them."""
    rewrite = Rewrite.parse(f"regex:{expression},{replacement}", selection=Selection.parse("any"))

    assert expected.removeprefix("/") == rewrite.apply(path)


def test_replacements_are_those_of_go() -> None:
    """What Go's regexp package itself made of an expression, a template and a path."""
    for expression, template, path, expected in GO:
        replacement = Replacement.parse(f"regex:{expression},{template}", key="to")

        assert replacement is not None
        assert expected == replacement.apply(path), (expression, template, path)


@pytest.mark.parametrize(
    ("text", "fixed"),
    [("a/b", "a/b"), ("/a/b", "a/b"), ("//a", "/a"), ("a/b/", "a/b/"), ("Regex:a", "Regex:a"), ("regex:a", None)],
)
def test_a_plain_from_is_one_repository(text: str, fixed: str | None) -> None:
    """Its name has no leading slash, and is otherwise as it was given."""
    assert fixed == Selection.parse(text).fixed


def test_a_plain_from_matches_itself_only() -> None:
    """A path is no expression."""
    selection = Selection.parse("/a.b")

    assert [selection.matches(name) for name in ("a.b", "axb", "a.b/c")] == [True, False, False]


@pytest.mark.parametrize("name", ["", "\ud800", "a\nb", "\x00"])
def test_names_that_are_none_select_nothing(name: str) -> None:
    """Whatever a registry lists, asking about it is no error."""
    assert Selection.parse("regex:[a-z]+").matches(name) is False


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "mapping without 'From' path"),
        ("regex:(", "'from' uses invalid regular expression: missing )"),
        ("regex:a(?!b)", "'from' uses invalid regular expression: invalid perl operator"),
        ("regex:\ud800", "'from' uses invalid regular expression: it contains half of a surrogate pair"),
        ("regex:(?:a{1000}){1000}", "'from' uses invalid regular expression: invalid repetition size"),
    ],
)
def test_an_invalid_from_says_why(text: str, reason: str) -> None:
    """Empty and invalid expressions are errors with a reason."""
    with pytest.raises(ValueError) as caught:
        Selection.parse(text)

    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("regex:abc", "replacement expression missing in 'to'"),
        ("regex:", "replacement expression missing in 'to'"),
        ("regex:(,x", "'to' uses invalid regular expression: missing )"),
        ("regex:a,\ud800", "'to' uses invalid regular expression: "),
    ],
)
def test_an_invalid_to_says_why(text: str, reason: str) -> None:
    """A missing replacement and an invalid expression are errors with a reason."""
    with pytest.raises(ValueError) as caught:
        Rewrite.parse(text, selection=Selection.parse("a"))

    assert str(caught.value).startswith(reason)


def test_both_are_compared_by_their_text() -> None:
    """Equal texts make equal objects, so that a plan can be compared with a reloaded one."""
    one, same, other = (Selection.parse(text) for text in ("regex:a", "regex:a", "a"))

    assert one == same != other
    assert Rewrite.parse("regex:a,b", selection=one) == Rewrite.parse("regex:a,b", selection=same)
    assert Rewrite.parse("regex:a,b", selection=one) != Rewrite.parse("regex:a,b", selection=other)
    assert len({one, same, other}) == 2
    assert repr(one) == "Selection(text='regex:a')"


# The naive twin: a replacement is read one character after the other, matches are made by Python's own expressions.


def naive_expand(template: str, match: re.Match[str]) -> str:
    """Expand a template as the documentation of Go's Regexp.Expand says."""
    result = ""
    position = 0
    while position < len(template):
        character = template[position]
        position += 1
        if character != "$":
            result += character
            continue
        if template[position : position + 1] == "$":
            result += "$"
            position += 1
            continue
        braces = template[position : position + 1] == "{"
        start = end = position + braces
        while end < len(template) and (template[end].isalnum() or template[end] == "_"):
            end += 1
        if start == end or (braces and template[end : end + 1] != "}"):
            result += "$"
            continue
        name = template[start:end]
        position = end + braces
        if name.isdigit() and str(int(name)) == name and int(name) <= match.re.groups:
            result += match[int(name)] or ""
        elif name in match.re.groupindex:
            result += match[name] or ""
    return result


@given(
    template=st.text(alphabet="$${}12_nx-", max_size=10),
    expression=st.sampled_from(["(a)(b)?", "(?P<n>a+)", "a|(b)", "(/)", "(?P<n1>b)(?P<n_>/)?", "b+", "zzz"]),
    name=st.text(alphabet="ab/", min_size=1, max_size=8),
)
def test_replacing_agrees_with_a_naive_reading_of_the_rules(template: str, expression: str, name: str) -> None:
    """All matches of the path with its leading slash are replaced, and the template is expanded for each."""
    path = name if name.startswith("/") else f"/{name}"
    expected = re.sub(expression, lambda match: naive_expand(template, match), path)
    rewrite = Rewrite.parse(f"regex:{expression},{template}", selection=Selection.parse("any"))

    assert expected.removeprefix("/") == rewrite.apply(name)


@given(
    source=st.sampled_from(["a", "/a", "a/b", "regex:a/.*", "regex:.*", "regex:a|a/b", "regex: a"]),
    to=st.sampled_from(["", "m", "/m", "m/n", "/m/"]),
    name=st.sampled_from(["a", "a/b", "b/a", "a/b/c", "m/a"]),
)
def test_paths_agree_with_a_naive_reading_of_the_rules(source: str, to: str, name: str) -> None:
    """A plain ``to`` replaces a plain ``from`` and is put in front of what an expression takes; nothing keeps names."""
    kind, colon, expression = source.partition(":")
    if colon:
        expected = f"{to}/{name}" if re.fullmatch(f"(?:{expression})", name) else None
    else:
        expected = (to or name) if name == kind.removeprefix("/") else None
    if expected is not None:
        expected = "/" + expected.removeprefix("/")

    assert expected == target(source, to, name)


@given(
    source=st.sampled_from(["a", "/a", "a/b", "regex:a/.*", "regex:.*", "regex:a|a/b"]),
    to=st.sampled_from(
        ["", "m", "/m", "m/n", "/m/", "regex:^/a,/m", "regex:a,b", "regex:^/a|b,/m", "regex:^/(.*),$1/x"]
    ),
    name=st.sampled_from(["a", "a/b", "b/a", "a/b/c", "m/a", "m/b"]),
    other=st.sampled_from(["a", "b", "m/a", "m/a/b", "m/n/a", "m", "b/b"]),
)
def test_origins_leave_nothing_out(source: str, to: str, name: str, other: str) -> None:
    """What is selected is among the origins of what it is called, unless these cannot be told; all of them are such."""
    rewrite = Rewrite.parse(to, selection=Selection.parse(source))

    if rewrite.selection.matches(name):
        origins = rewrite.origins(rewrite.apply(name))
        assert origins is None or name in origins
    assert all(rewrite.apply(one) == other and rewrite.selection.matches(one) for one in rewrite.origins(other) or ())


@pytest.mark.parametrize(
    ("source", "to", "name", "expected"),
    [
        ("regex:team/.*", "mirror", "mirror/team/x", ("team/x",)),
        ("regex:team/.*", "mirror", "mirror/other/x", ()),
        ("regex:team/.*", "regex:^/team/(.*),/mirror/$1", "mirror/x", None),
        ("regex:team/.*", "regex:^/team/(.*),/mirror/$1", "base/x", ()),
        ("regex:team/.*", "regex:^/team/(.*),$1/x", "base/x", None),
        ("regex:team/.*", "regex:^/no,/mirror/", "team/x", ("team/x",)),
        ("regex:team/.*", "regex:^/team|x,/mirror", "base", None),
    ],
)
def test_origins(source: str, to: str, name: str, expected: tuple[str, ...] | None) -> None:
    """A path in front can be taken off again; what an expression makes may have a known start."""
    assert expected == Rewrite.parse(to, selection=Selection.parse(source)).origins(name)


@given(st.text(max_size=20), st.text(max_size=20), st.text(alphabet="ab/-.", min_size=1, max_size=10))
def test_any_text_works_or_is_a_value_error(source: str, to: str, name: str) -> None:
    """Nothing but ValueError leaves the parsers, and nothing at all leaves what they make."""
    try:
        selection = Selection.parse(source)
        rewrite = Rewrite.parse(to, selection=selection)
    except ValueError:
        return

    assert selection.matches(name) in {True, False}
    assert isinstance(rewrite.apply(name), str)


def test_a_replacement_is_one_or_none() -> None:
    """Other texts are none; errors name the key that they are for."""
    replacement = Replacement.parse("regex:a(.),$1", key="k")

    assert replacement is not None
    assert replacement.apply("abxac") == "bxc"
    assert Replacement.parse("a,b", key="k") is None
    with pytest.raises(ValueError, match="'k'"):
        Replacement.parse("regex:a", key="k")
