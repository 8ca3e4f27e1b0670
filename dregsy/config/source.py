"""YAML text becomes data that keeps every scalar as it was written, and the line of everything.

YAML's own types would turn the tag ``1.30`` into 1.3. Only the first document is read; aliases and
merge keys are resolved, and limits keep a small file from growing into a large one.
"""

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn, TextIO

import yaml

from dregsy.config.files import Files
from dregsy.errors import ConfigError, Problem
from dregsy.model import pattern

FILE_LIMIT = 8 * 2**20
"""The most bytes a file may have."""
NODE_LIMIT = 200_000
"""The most values a file may hold once its aliases are resolved."""
DEPTH_LIMIT = 64
"""How deep values may be nested."""

STDIN = "-"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UNPRINTABLE = pattern.compile_search(
    r"[^\t\n\r\x20-\x7e\x{85}\x{a0}-\x{d7ff}\x{e000}-\x{fffd}\x{10000}-\x{10ffff}]",
)
_CORE = "tag:yaml.org,2002:"
_VERBATIM_TAGS = {None, "!", *(_CORE + kind for kind in ("str", "int", "float", "bool", "null", "timestamp", "merge"))}
_REASONS = {
    errno.ENOENT: ("there is no such file", "check the path"),
    errno.EISDIR: ("is a folder, not a file", "name the YAML file in it"),
    errno.EACCES: ("may not be read", "check its owner and mode"),
}


class Scalar(str):
    """A scalar as it stands in the file; ``plain`` without quotes, ``written`` before anything was replaced in it."""

    __slots__ = ("plain", "written")
    plain: bool
    written: str

    @classmethod
    def of(cls, text: str, *, plain: bool = True, written: str | None = None) -> "Scalar":
        """Make one; ``written`` is the text itself unless told otherwise."""
        scalar = cls(text)
        scalar.plain = plain
        scalar.written = text if written is None else written
        return scalar

    @property
    def is_null(self) -> bool:
        """Whether YAML takes this for no value at all."""
        return self.plain and self in {"", "~", "null", "Null", "NULL"}


class Table(dict[str, "Data"]):
    """A mapping: its line, and those of its keys."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


class Items(list["Data"]):
    """A list: its line, and those of its items."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []


Data = Scalar | Table | Items | None
"""What a value can be; None is YAML's null."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A scalar of the file."""

    text: Scalar
    line: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of the file."""

    items: tuple["Node", ...]
    line: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping of the file: keys and values as they stand, with merge keys and duplicates."""

    pairs: tuple[tuple[Leaf, "Node"], ...]
    line: int


Node = Leaf | Sequence | Mapping


@dataclass(slots=True)
class Source:
    """A file that was read: what to call it, and its root, which is None for an empty file."""

    file: str
    root: Node | None
    problems: list[Problem] = field(default_factory=list)


def read(file: str, stdin: TextIO | None = None, files: Files | None = None) -> Source:
    """Read the first YAML document of ``file``, or of standard input for ``-``; ConfigError when it is none.

    ``files`` notes the file that is read.
    """
    name = "stdin" if file == STDIN else file
    is_stdin = file == STDIN
    text = _checked(name, _stdin_text(name, stdin or sys.stdin) if is_stdin else _file_text(name, files or Files()))
    composer = _Composer(name, yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    try:
        root = composer.document()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        _refuse(name, f"is not valid YAML: {error.problem or 'it ends too early'}", _yaml_hint(text, line), line=line)
    except yaml.YAMLError:
        _refuse(name, "is not valid YAML", "check that it is a text file")
    return Source(name, root, composer.problems)


def _refuse(file: str, message: str, hint: str = "", *, line: int = 0) -> NoReturn:
    """Stop with the one problem that leaves nothing else to find."""
    raise ConfigError([Problem(file, line, "", message, hint)])


def _file_text(name: str, files: Files) -> str:
    try:
        data = files.read(name, FILE_LIMIT + 1)
    except OSError as error:
        message, hint = _REASONS.get(error.errno or 0, (f"cannot be read: {os.strerror(error.errno or 0)}", ""))
        _refuse(name, message, hint)
    except ValueError:
        _refuse(ascii(name), "is no legal file name", "check the path")
    if len(data) > FILE_LIMIT:
        _refuse_size(name)
    try:
        return data.decode("utf-16" if data[:2] in _UTF16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        _refuse(name, "is not a text in UTF-8", "save it as UTF-8; a config is a YAML file", line=line)


def _stdin_text(name: str, stdin: TextIO) -> str:
    try:
        text = stdin.read(FILE_LIMIT + 1)
        text.encode()
    except UnicodeError:
        _refuse(name, "is not a text in UTF-8", "a config is a YAML file")
    except (OSError, ValueError):
        _refuse(name, "cannot be read", "is it open?")
    if len(text) > FILE_LIMIT:
        _refuse_size(name)
    return text.removeprefix("\ufeff")


def _refuse_size(name: str) -> NoReturn:
    _refuse(name, f"is larger than {FILE_LIMIT // 2**20} MiB", "is this really the config?")


def _checked(name: str, text: str) -> str:
    if (found := _UNPRINTABLE.search(text)) is not None:
        line = text.count("\n", 0, found.span()[0]) + 1
        _refuse(name, "is not a text file: it has control characters", "a config is a YAML file", line=line)
    return text


def _yaml_hint(text: str, line: int) -> str:
    around = text.split("\n")[max(line - 2, 0) : line]
    if any("\t" in one[: len(one) - len(one.lstrip())] for one in around):
        return "YAML is indented with blanks, not with tabs"
    return "check the indentation and the quotes of this line and of those above"


class _Composer:
    """Builds the nodes of one document out of YAML events; an alias is the very node that its anchor names."""

    def __init__(self, file: str, events: Iterable[Any]) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._events: Iterator[Any] = iter(events)
        self._anchors: dict[str, Node] = {}

    def document(self) -> Node | None:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                return self._node(next(self._events), 0)
        return None

    def _node(self, event: Any, depth: int) -> Node:
        line = event.start_mark.line + 1
        if depth > DEPTH_LIMIT:
            _refuse(self._file, f"is nested deeper than {DEPTH_LIMIT} levels", line=line)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                _refuse(self._file, f"there is no anchor '&{event.anchor}' above", "define it before '*'", line=line)
            return self._anchors[event.anchor]
        node = self._built(event, line, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _built(self, event: Any, line: int, depth: int) -> Node:
        if isinstance(event, yaml.SequenceStartEvent):
            return Sequence(tuple(self._node(one, depth + 1) for one in self._until(yaml.SequenceEndEvent)), line)
        if isinstance(event, yaml.MappingStartEvent):
            return Mapping(tuple(self._pairs(depth + 1)), line)
        if event.tag not in _VERBATIM_TAGS and event.tag.startswith(_CORE):
            _refuse(self._file, "uses a YAML tag that has no meaning here", "write the value as plain text", line=line)
        quoted = event.style in {"'", '"', "|", ">"} and event.tag in {None, "!"}
        return Leaf(Scalar.of(event.value, plain=not quoted and event.tag not in {"!", _CORE + "str"}), line)

    def _until(self, end: type) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _pairs(self, depth: int) -> Iterator[tuple[Leaf, Node]]:
        seen: dict[str, int] = {}
        for event in self._until(yaml.MappingEndEvent):
            key = self._node(event, depth)
            if not isinstance(key, Leaf):
                _refuse(self._file, "a key is a list or a mapping", "keys are plain words", line=key.line)
            if key.text in seen and not is_merge(key):
                message = f"is given twice, first in line {seen[key.text]}; the last one counts"
                self.problems.append(Problem(self._file, key.line, shown(key.text), message, warning=True))
            seen.setdefault(key.text, key.line)
            yield key, self._node(next(self._events), depth)


def is_merge(key: Leaf) -> bool:
    """Whether this is YAML's merge key."""
    return key.text.plain and key.text == "<<"


def shown(text: str, limit: int = 60) -> str:
    """A text from the file, fit for a message: printable and short."""
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= limit else f"{text[:limit]}…"
