"""The house's one kind of expressions is RE2's, and safe to hand any text to."""

import pytest

from dregsy.model.pattern import compile_search, compile_whole


@pytest.mark.parametrize(
    ("expression", "text", "expected"),
    [
        ("a|ab", "ab", True),
        ("foo|bar", "foobar", False),
        ("^a$", "a", True),
        ("a", "a\n", False),
        ("^(?i)X", "x", True),
        ("(?<name>a)+", "aa", True),
        ("", "", True),
        ("", "a", False),
        (".*", "\x00", True),
        (".*", "\ud800", False),
        (r"\pL+", "née", True),
    ],
)
def test_a_whole_text_matches_or_not(expression: str, text: str, expected: bool) -> None:
    """The expression has to match from the first to the last character; broken text matches nothing."""
    assert expected is compile_whole(expression)(text)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("(", "missing )"),
        ("a**", "bad repetition operator"),
        ("(?=a)", "invalid perl operator"),
        (r"(a)\1", "invalid escape sequence"),
        (r"\pL{900}", "pattern too large"),
        ("\\", "trailing"),
        ("\ud800", "surrogate"),
    ],
)
def test_an_invalid_expression_says_why(expression: str, reason: str) -> None:
    """What RE2 does not know is a ValueError with its reason, and nothing is printed."""
    with pytest.raises(ValueError) as caught:
        compile_search(expression)

    assert reason in str(caught.value)


def test_an_expression_made_to_explode_does_not() -> None:
    """Matching takes linear time: this one would keep a backtracking engine busy beyond all days."""
    assert compile_whole("(a+)+$")("a" * 20_000 + "b") is False


def test_searching_finds_groups_and_places() -> None:
    """Matches tell their groups and where they are, in characters."""
    matches = list(compile_search("(?P<letter>[é])(x)?").finditer("aéxbé"))

    assert [match.span() for match in matches] == [(1, 3), (4, 5)]
    assert [(match.group("letter"), match.group(2)) for match in matches] == [("é", "x"), ("é", None)]
