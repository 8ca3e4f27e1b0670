"""Resolves what a YAML file leaves open: aliases, merge keys and ``${…}``; every value then stands on its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dregsy.config import environment, source
from dregsy.config.files import Files
from dregsy.config.problems import Loc
from dregsy.config.source import Data, Items, Leaf, Node, Scalar, Sequence, Table
from dregsy.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class Document:
    """The data of a file, and where a ``${…}`` in it could not be replaced (such values are None)."""

    file: str
    data: Data
    unresolved: Mapping[Loc, environment.Unresolved]


def resolve(
    read: source.Source,
    environ: Mapping[str, str],
    verbatim: frozenset[str] = frozenset(),
    files: Files | None = None,
    but: frozenset[str] = frozenset(),
) -> Document:
    """Build the document of a file; nothing is replaced in values below keys named in ``verbatim``.

    ``but`` are top-level keys below which these are keys like any other.
    ``files`` notes the files that ``${file:…}`` names.
    Raises ConfigError when it grows beyond ``source.NODE_LIMIT`` or ``source.FILE_LIMIT``, or for a wrong merge key.
    """
    resolution = _Resolution(read.file, environ, verbatim, files or Files(), but)
    data = None if read.root is None else resolution.value(read.root, (), replaced=True)
    return Document(read.file, data, resolution.unresolved)


def as_written(read: source.Source) -> Data:
    """Return the data of a file that was resolved before, with every ``${…}`` as it stands there."""
    nothing = _Resolution(read.file, {}, frozenset(), Files())
    return None if read.root is None else nothing.value(read.root, (), replaced=False)


@dataclass(slots=True)
class _Resolution:
    file: str
    environ: Mapping[str, str]
    verbatim: frozenset[str]
    files: Files
    but: frozenset[str] = frozenset()
    unresolved: dict[Loc, environment.Unresolved] = field(default_factory=dict)
    count: int = 0
    room: int = source.FILE_LIMIT

    def value(self, node: Node, loc: Loc, *, replaced: bool) -> Data:
        self._count(node, len(loc))
        if isinstance(node, Leaf):
            return self._scalar(node.text, node.line, loc) if replaced else _null_or(node.text)
        if isinstance(node, Sequence):
            items = Items(node.line)
            for position, item in enumerate(node.items):
                items.lines.append(item.line)
                items.append(self.value(item, (*loc, position), replaced=replaced))
            return items
        table = Table(node.line)
        verbatim = frozenset[str]() if self.but.intersection(loc[:1]) else self.verbatim
        for key, value in self._pairs(node, len(loc)):
            name = str(key.text)
            table.lines[name] = key.line
            table[name] = self.value(value, (*loc, name), replaced=replaced and name not in verbatim)
        return table

    def _count(self, node: Node, depth: int) -> None:
        self.count += 1
        if self.count > source.NODE_LIMIT or depth > source.DEPTH_LIMIT:
            message = f"holds more than {source.NODE_LIMIT} values, or is nested too deep"
            hint = "an alias ('*') counts as all that it stands for"
            raise ConfigError([Problem(self.file, node.line, "", message, hint)])

    def _pairs(self, node: source.Mapping, depth: int) -> Iterator[tuple[Leaf, Node]]:
        """Yield each key once, in the order of the file: its own keys win over merged ones, the last of equals."""
        pairs: dict[str, tuple[Leaf, Node]] = {}
        for key, value in node.pairs:
            if source.is_merge(key):
                for merged_key, merged in self._merged(value, depth):
                    pairs.setdefault(merged_key.text, (merged_key, merged))
        pairs.update({key.text: (key, value) for key, value in node.pairs if not source.is_merge(key)})
        yield from pairs.values()

    def _merged(self, node: Node, depth: int) -> Iterator[tuple[Leaf, Node]]:
        for one in node.items if isinstance(node, Sequence) else (node,):
            self._count(one, depth)
            if not isinstance(one, source.Mapping):
                message = "'<<' merges something that is not a mapping"
                raise ConfigError([Problem(self.file, one.line, "", message, "write '<<: *anchor' of a mapping")])
            yield from self._pairs(one, depth + 1)

    def _scalar(self, text: Scalar, line: int, loc: Loc) -> Data:
        if "${" not in text:
            return _null_or(text)
        try:
            value = environment.replace(text, self.environ, self.files, self.room)
        except environment.TooLong:
            message = f"grows beyond {source.FILE_LIMIT // 2**20} MiB by what is put in for '${{…}}'"
            hint = "an alias ('*') counts as all that it stands for"
            raise ConfigError([Problem(self.file, line, "", message, hint)]) from None
        except environment.Unresolved as error:
            self.unresolved[loc] = error
            return None
        self.room -= len(value)
        return Scalar.of(value, written=text) if value else None


def _null_or(text: Scalar) -> Scalar | None:
    return None if text.is_null else text
