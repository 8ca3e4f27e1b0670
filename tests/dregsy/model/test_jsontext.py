import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.model.jsontext import DEPTH, parse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='[]{}"\\,: a\x00ü'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='[]{}"\\'), inner),
)


@given(VALUES, st.booleans())
def test_everything_that_is_not_deep(value: Any, ascii_only: bool) -> None:
    """Whatever stands in texts, JSON is read as it is meant."""
    assert parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@pytest.mark.parametrize("one", ["[%s]", '{"a": %s}', '[1, {"]}": %s}, "["]'])
def test_the_depth_is_counted_exactly(one: str) -> None:
    """So many levels are read and no more."""
    levels = one.replace("%s", "").count("[") - one.count('"["') + one.count("{")
    text = "1"
    for _ in range(DEPTH // levels):
        text = one % text

    assert isinstance(parse(text.encode()), list | dict)
    with pytest.raises(ValueError, match=f"nested more deeply than {DEPTH} levels"):
        parse(f"[{text}]".encode())


@pytest.mark.parametrize(
    "text", [b"[" * 10**6, b'{"a":' * 10**6, b"[" * 10**6 + b"]" * 10**6, b'"\\"' + b"[" * 10**6, b"[{" * 10**6]
)
def test_no_text_is_too_deep_for_us(text: bytes) -> None:
    """What would take more stack than there is ends as any other wrong text does."""
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize("text", [b"", b"\xff", b"{", "{}".encode("utf-16"), b"nonsense", b"1" * 5000, b"]" * 99])
def test_what_is_no_json(text: bytes) -> None:
    """Other encodings and other texts are refused."""
    with pytest.raises(ValueError):
        parse(text)


def test_a_mark_of_order() -> None:
    """The mark that some editors put in front is no part of the text."""
    assert parse(b"\xef\xbb\xbf[]") == []
