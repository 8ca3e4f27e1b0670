"""Reading YAML: scalars as they were written, lines, and one clear problem for what is no config."""

import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import TextIO

import pytest

from dregsy.config import source
from dregsy.config.source import Leaf, Mapping, Scalar, Sequence
from dregsy.errors import ConfigError


def written(tmp_path: Path, data: bytes | str) -> str:
    """Write a file and return its name."""
    path = tmp_path / "sync.yaml"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def refused(file: str) -> tuple[int, str]:
    """Read a file that is none, and return the line and the message of its one problem."""
    with pytest.raises(ConfigError) as caught:
        source.read(file)
    [problem] = caught.value.problems
    assert file in {problem.file, "-"}
    return problem.line, problem.message


def scalars(tmp_path: Path, text: str) -> list[tuple[str, bool]]:
    """Write a list of scalars and read it."""
    return scalars_of(written(tmp_path, text))


def test_scalars_stay_as_written(tmp_path: Path) -> None:
    """No scalar is turned into a number, a date or a boolean; whether it was quoted is kept."""
    items = [
        "1.30",
        "012",
        "on",
        "2023-01-01",
        "'60'",
        '"a\\tb"',
        "!!str 60",
        "!!int '60'",
        "|\n  block",
        "! 5",
        "!own x",
    ]
    text = "".join(f"- {item}\n" for item in items)
    expected = [
        ("1.30", True),
        ("012", True),
        ("on", True),
        ("2023-01-01", True),
        ("60", False),
        ("a\tb", False),
        ("60", False),
        ("60", True),
        ("block\n", False),
        ("5", False),
        ("x", True),
    ]
    assert expected == scalars(tmp_path, text)


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_null(text: str) -> None:
    """YAML's nulls are told from texts by their quotes."""
    assert Scalar.of(text).is_null
    assert not Scalar.of(text, plain=False).is_null


def test_lines_and_aliases(tmp_path: Path) -> None:
    """Everything knows its line; an alias is what its anchor names, and an anchor may be set again."""
    root = source.read(written(tmp_path, "a: &x\n  - 1\nb: *x\nc: &x 2\nd: *x\n")).root
    assert isinstance(root, Mapping)
    assert [(key.text, key.line) for key, _ in root.pairs] == [("a", 1), ("b", 3), ("c", 4), ("d", 5)]
    values = [value for _, value in root.pairs]
    assert values[0] is values[1]
    assert values[2] is values[3]
    assert [value.line for value in values] == [1, 1, 4, 4]


def test_only_the_first_document_counts(tmp_path: Path) -> None:
    """What stands behind the first document is not even parsed."""
    assert scalars(tmp_path, "- a\n---\n- [b\n") == [("a", True)]


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "\ufeff"])
def test_empty(tmp_path: Path, text: str) -> None:
    """A file without content is a file without content, and no mistake."""
    assert source.read(written(tmp_path, text)).root is None


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(tmp_path: Path, encoding: str) -> None:
    """Files that start with a byte order mark are read as it says."""
    assert scalars_of(written(tmp_path, "- ä\n".encode(encoding))) == [("ä", True)]


def scalars_of(file: str) -> list[tuple[str, bool]]:
    """Return a list's scalars, and whether they are plain."""
    root = source.read(file).root
    assert isinstance(root, Sequence)
    return [(str(leaf.text), leaf.text.plain) for leaf in root.items if isinstance(leaf, Leaf)]


def test_duplicate_keys_are_told(tmp_path: Path) -> None:
    """A key that is given twice is a warning in the line of the second one; merge keys may repeat."""
    read = source.read(written(tmp_path, "a: 1\nb: &b {}\na: 2\n<<: *b\n<<: *b\n"))
    assert [(one.line, one.field, one.warning) for one in read.problems] == [(3, "a", True)]


BAD = {
    "nul": (b"a: 1\nb: \0\n", (2, "is not a text file: it has control characters")),
    "binary": (b"\x7fELF\x02\x01\x01\x00\xff\xfe", (1, "is not a text in UTF-8")),
    "latin": (b"a: 1\nb: \xe4\n", (2, "is not a text in UTF-8")),
    "odd utf-16": (b"\xff\xfea", (1, "is not a text in UTF-8")),
    "undefined alias": (b"a: *b\n", (1, "there is no anchor '&b' above")),
    "alias to itself": (b"a: &a [*a]\n", (1, "there is no anchor '&a' above")),
    "complex key": (b"a: 1\n? [b]\n: 2\n", (2, "a key is a list or a mapping")),
    "binary tag": (b"a: !!binary aGk=\n", (1, "uses a YAML tag that has no meaning here")),
    "deep": (b"[" * 100_000, (1, "is nested deeper than 64 levels")),
    "deep mappings": (b"{a: " * 100_000, (1, "is nested deeper than 64 levels")),
    "large": (b"#" * (source.FILE_LIMIT + 1), (0, "is larger than 8 MiB")),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_config(tmp_path: Path, case: str) -> None:
    """What cannot be a config gives one problem, with its line."""
    data, expected = BAD[case]
    assert expected == refused(written(tmp_path, data))


@pytest.mark.parametrize(
    "text", ["a: [1", "a: 'b", "a: b: c", "- a\nb", "%YAML 3.0\n---\na", 'a: "\\q"', "\ta: 1", "@"]
)
def test_wrong_yaml(tmp_path: Path, text: str) -> None:
    """What is no YAML is told as such, with a line."""
    line, message = refused(written(tmp_path, text))
    assert message.startswith("is not valid YAML: ")
    assert line > 0


def test_tabs_get_their_own_hint(tmp_path: Path) -> None:
    """Whoever indents with tabs is told that this is the reason."""
    with pytest.raises(ConfigError) as caught:
        source.read(written(tmp_path, "tasks:\n\t- name: a\n"))
    assert caught.value.problems[0].hint == "YAML is indented with blanks, not with tabs"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a folder and impossible names are told without a traceback."""
    assert refused(str(tmp_path / "missing.yaml")) == (0, "there is no such file")
    assert refused(str(tmp_path)) == (0, "is a folder, not a file")
    assert refused(written(tmp_path, "") + "/x") == (0, "cannot be read: Not a directory")
    assert refused("x" * 5000) == (0, "cannot be read: File name too long")
    with pytest.raises(ConfigError, match="is no legal file name"):
        source.read("a\0b")


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """``-`` is standard input: the one given, or the process's own."""
    read = source.read("-", StringIO("a: 1"))
    assert (read.file, isinstance(read.root, Mapping)) == ("stdin", True)
    monkeypatch.setattr(sys, "stdin", StringIO("- a"))
    assert isinstance(source.read("-").root, Sequence)


def test_stdin_that_cannot_be_read() -> None:
    """Standard input may be binary, endless or closed."""
    closed = StringIO()
    closed.close()
    streams: dict[str, TextIO] = {
        "is not a text in UTF-8": TextIOWrapper(BytesIO(b"\xff\xff"), encoding="utf-8"),
        "cannot be read": closed,
        "is larger than 8 MiB": StringIO("#" * (source.FILE_LIMIT + 1)),
    }
    for message, stream in streams.items():
        with pytest.raises(ConfigError, match=message):
            source.read("-", stream)
    with pytest.raises(ConfigError, match="is not a text in UTF-8"):
        source.read("-", StringIO("a: \udcff"))


def test_shown() -> None:
    """A text from a file cannot colour a terminal or fill a screen."""
    assert (
        source.shown("a b"),
        source.shown("\x1b[31m\n"),
        source.shown("x" * 100),
    ) == ("a b", "\\x1b[31m\\n", "x" * 60 + "…")
