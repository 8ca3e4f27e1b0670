from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dregsy.config import document, source, written
from dregsy.config.source import Data, Items, Scalar, Table

TEXTS = [
    "a: 1",
    "a: '1'",
    'a: "on"\nb: on',
    "a: ~\nb:\nc: 'null'\nd: ''",
    "a: 'it''s'\nb: \"tab\\tand\\u00e9\"",
    "a: ${X}\nb: '${file:/x}'\nc: $${Y}",
    "a: [x, 'y', [1, '2'], {k: v}]\nb: {}\nc: []",
    "a: |\n  two\n  lines\nb: >\n  folded\n  lines\n",
    "a: 012\nb: 1_000\nc: 0x3c\nd: 2020-01-01\ne: '2020-01-01'\nf: =\ng: y",
    "a: &x {k: 1}\nb: *x\nc: {<<: *x, l: 2}",
    "'on': 1\n'1': 2\n'null': 3\n? |\n  key\n: 4",
    f"a: {'word ' * 60}",
    "a: semver: >=1".replace("semver: ", "semver:"),
    "a: '# no comment'\nb: '- x'\nc: '*x'\nd: '!t'",
]


def signs(data: Data) -> object:
    """Return data in a form that is equal only where all is: texts, quotes, order."""
    if isinstance(data, Table):
        return [(key, signs(value)) for key, value in data.items()]
    if isinstance(data, Items):
        return [signs(value) for value in data]
    return (str(data), data.plain) if isinstance(data, Scalar) else data


def read(text: str) -> Data:
    """Read a text as it is written."""
    return document.as_written(source.read("-", StringIO(text)))


@pytest.mark.parametrize("text", TEXTS)
def test_the_same_again(text: str) -> None:
    """What was written is read as the same data, with quotes where there were some, and nothing put in."""
    data = read(text)

    assert signs(read(written.text(data))) == signs(data)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)))
def test_any_text_in_quotes(texts: list[str]) -> None:
    """A text stays a text, whatever YAML would take it for."""
    items = Items(1)
    items.extend(map(written.quoted, texts))
    table = Table(1)
    table["a"] = items

    assert signs(read(written.text(table))) == signs(table)
