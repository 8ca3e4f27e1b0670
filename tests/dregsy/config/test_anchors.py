import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.config.anchors import upstream_reading


@pytest.mark.parametrize(
    ("expression", "upstream"),
    [
        ("1.31|latest", "1.31.*|.*latest"),
        ("a|b|c", "a.*|.*b.*|.*c"),
        ("^a|b$", "^a.*|.*b$"),
        (r"a\$|b", r"a\$.*|.*b"),
        ("(?i)a|b", "(?i)a.*|.*b"),
        (r"[|]\||b", r"[|]\|.*|.*b"),
    ],
)
def test_other_meaning(expression: str, upstream: str) -> None:
    """Where upstream selects something else, the rewrite that selects it here is given."""
    assert upstream == upstream_reading(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "a",
        "(a|b)",
        "^a$|^b$",
        "a.*|.*b",
        r"a\|b",
        "[a|b]",
        "[]|]",
        "[^]|]",
        "[[:alpha:]|]",
        r"\Qa|b\E",
        r"\Q|",
        "[",
    ],
)
def test_same_meaning(expression: str) -> None:
    """Where both agree, nothing is said."""
    assert upstream_reading(expression) is None


def naive(expression: str) -> str:
    """Anchor as upstream does, by the text."""
    before = "" if expression.startswith("^") else "^"
    return before + expression + ("" if expression.endswith("$") else "$")


PARTS = st.sampled_from(["a", "b", "|", "(a|b)", ".*", "[|b]", r"\|", "^a", "b$"])


@given(st.lists(PARTS, min_size=1, max_size=5).map("".join), st.text("ab|", max_size=5))
def test_the_rewrite_selects_what_upstream_does(expression: str, text: str) -> None:
    """Matched as a whole, the rewrite (or where there is none, the expression) takes what upstream takes."""
    ours = upstream_reading(expression) or expression

    assert bool(re.search(naive(expression), text)) == bool(re.fullmatch(ours, text))
