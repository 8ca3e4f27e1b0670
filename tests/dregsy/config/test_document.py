"""Aliases, merge keys and ``${…}``: what a file's data are once nothing is left open."""

from collections.abc import Mapping
from io import StringIO
from types import MappingProxyType

import pytest

from dregsy.config import document, source
from dregsy.config.document import Document
from dregsy.config.source import Data, Items, Scalar, Table
from dregsy.errors import ConfigError


def resolved(text: str, environ: Mapping[str, str] = MappingProxyType({}), *verbatim: str) -> Document:
    """Read and resolve a text; nothing is replaced below the keys ``verbatim``."""
    return document.resolve(source.read("-", StringIO(text)), environ, frozenset(verbatim))


def table(data: Data) -> Table:
    """Narrow data to a mapping."""
    assert isinstance(data, Table)
    return data


def test_empty() -> None:
    """An empty file has no data."""
    assert resolved("").data is None


def test_nulls_and_texts() -> None:
    """Nulls become None where they stand, all else stays text."""
    assert resolved("a:\nb: [~, '', 'null']\nc: 1").data == {"a": None, "b": [None, "", "null"], "c": "1"}


def test_lines() -> None:
    """Keys and items know their lines, those behind aliases and merge keys where they are written."""
    data = table(resolved("a: &a\n  x: 1\nb:\n  <<: *a\n  y:\n    - 1\n    - 2\n").data)
    inner = table(data["b"])
    items = inner["y"]
    assert isinstance(items, Items)
    assert data.lines == {"a": 1, "b": 3}
    assert inner.lines == {"x": 2, "y": 5}
    assert items.lines == [6, 7]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2", {"a": "2"}),
        ("<<: {a: 1, b: 1}\na: 2", {"a": "2", "b": "1"}),
        ("a: 2\n<<: {a: 1, b: 1}", {"a": "2", "b": "1"}),
        ("<<: [{a: 1}, {a: 2, b: 2}]", {"a": "1", "b": "2"}),
        ("<<: {<<: {a: 1}, b: 1}\n", {"a": "1", "b": "1"}),
        ("<<: {a: {x: 1}}\na: {y: 2}", {"a": {"y": "2"}}),
        ("'<<': 1", {"<<": "1"}),
    ],
)
def test_merge_keys(text: str, expected: object) -> None:
    """A mapping's own keys win over merged ones wherever they stand, and values are not merged with each other."""
    assert expected == resolved(text).data


@pytest.mark.parametrize("text", ["<<: 1", "<<:", "<<: [1]", "a: &a [1]\nb:\n  <<: *a"])
def test_wrong_merge_keys(text: str) -> None:
    """Only mappings can be merged."""
    with pytest.raises(ConfigError, match="'<<' merges something that is not a mapping"):
        resolved(text)


def test_replacement() -> None:
    """Values are replaced, keys are not; what was replaced counts as unquoted and remembers how it was written."""
    data = table(resolved("a${X}: '${X}'", {"X": "5"}).data)
    [(key, value)] = data.items()
    assert isinstance(value, Scalar)
    assert (key, value, value.plain, value.written) == ("a${X}", "5", True, "${X}")


def test_replaced_values_are_texts() -> None:
    """A value that was replaced is never YAML: not a null unless it is empty, not a mapping, not an alias."""
    environ = {"N": "null", "M": "{a: b}", "A": "*a", "E": ""}
    expected = {"n": "null", "m": "{a: b}", "a": "*a", "e": None}
    assert expected == resolved("n: ${N}\nm: ${M}\na: ${A}\ne: ${E}", environ).data


def test_verbatim_keys() -> None:
    """Nothing is replaced below the keys of expressions, however deep, nor where an alias leads there."""
    text = "to: &to '${1}'\ntags: ['${X}', {y: '${X}'}]\nother: *to\n"
    read = resolved(text, {}, "to", "tags")
    assert read.data == {"to": "${1}", "tags": ["${X}", {"y": "${X}"}], "other": None}
    assert list(read.unresolved) == [("other",)]


def test_verbatim_keys_elsewhere() -> None:
    """Below other keys at the top the same names mean something else, and their values are replaced."""
    read = source.read("-", StringIO("a: {to: '${X}'}\nb: [{to: '${X}', c: {to: '${X}'}}]"))

    data = document.resolve(read, {"X": "5"}, frozenset({"to"}), but=frozenset({"b"})).data

    assert data == {"a": {"to": "${X}"}, "b": [{"to": "5", "c": {"to": "5"}}]}


def test_as_written() -> None:
    """A file can be had with all ``${…}`` in it, but with aliases and merge keys resolved."""
    read = source.read("-", StringIO("a: &a {x: '${X}'}\nb: {<<: *a, y: '${file:/z}'}\nc: ~"))

    assert document.as_written(read) == {"a": {"x": "${X}"}, "b": {"x": "${X}", "y": "${file:/z}"}, "c": None}


def test_unresolved() -> None:
    """All that cannot be replaced is told, with its place."""
    read = resolved("a: ${X}\nb: [ok, '${Y}']")
    assert {("a",), ("b", 1)} == set(read.unresolved)


BOMBS = {
    "laughs": "\n".join(["a0: &a0 x", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10))]),
    "merges": "\n".join(["a0: &a0 {k: v}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 50))]),
    "chain": "\n".join(["a0: &a0 x", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 100))]),
    "many": "[" + "x, " * source.NODE_LIMIT + "x]",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs(bomb: str) -> None:
    """A small file that would grow into a huge or very deep one is refused at once."""
    with pytest.raises(ConfigError, match="holds more than 200000 values"):
        resolved(BOMBS[bomb])


@pytest.mark.parametrize("text", ["[" + "*a, " * 9000 + "*a]", "'" + "${X}" * 9000 + "'"])
def test_growth_by_what_is_put_in(text: str) -> None:
    """A large value that is put in often is refused before it has filled the memory."""
    with pytest.raises(ConfigError, match="grows beyond 8 MiB"):
        resolved(f"a: &a '${{X}}'\nb: {text}", {"X": "x" * 2**20})
