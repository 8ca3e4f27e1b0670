"""Which repositories a mapping takes (``from``) and what they are called at the target (``to``).

Inside, a path has a leading slash, as dregsy's expressions expect it; outside, a repository name has none.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

from dregsy.model import pattern

_REGEX = "regex:"
_GROUP = pattern.compile_search(r"\$(?:\$|([\pL\p{Nd}_]+)|\{([\pL\p{Nd}_]+)\})")


@dataclass(frozen=True, slots=True)
class Selection:
    """A mapping's ``from``: one repository, or an expression that a repository's whole name has to match."""

    text: str
    _expression: Callable[[str], bool] | None = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a path or ``regex:EXPRESSION``; ValueError when it is empty or no valid expression.

        Nothing is trimmed: a blank after ``regex:`` belongs to the expression.
        """
        if not text:
            raise ValueError("mapping without 'From' path")
        if not text.startswith(_REGEX):
            return cls(text, None)
        try:
            return cls(text, pattern.compile_whole(text.removeprefix(_REGEX)))
        except ValueError as error:
            raise ValueError(f"'from' uses invalid regular expression: {error}") from None

    @property
    def fixed(self) -> str | None:
        """The one repository, without its leading slash; None where an expression selects from a listing."""
        return self.text.removeprefix("/") if self._expression is None else None

    def matches(self, name: str) -> bool:
        """Tell whether the repository ``name``, written without leading slash, is selected."""
        return name == self.fixed if self._expression is None else self._expression(name)


@dataclass(frozen=True, slots=True)
class Replacement:
    """``regex:EXPRESSION,REPLACEMENT``: replaces every match within a text."""

    text: str
    _pattern: pattern.Pattern = field(compare=False, repr=False)
    _template: tuple[str | int, ...] = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str, *, key: str) -> Self | None:
        """Read it; None for a text of another form, ValueError, which names ``key``, when it is not valid.

        The first comma ends the expression. ``$1``, ``${1}`` and ``$name`` in the replacement are
        groups, ``$$`` is a dollar sign, as in Go; groups that do not exist are empty.
        """
        if not text.startswith(_REGEX):
            return None
        expression, comma, replacement = text.removeprefix(_REGEX).partition(",")
        if not comma:
            raise ValueError(f"replacement expression missing in '{key}' — write 'regex:EXPRESSION,REPLACEMENT'")
        try:
            compiled = pattern.compile_search(expression)
            return cls(text, compiled, tuple(_template(replacement, compiled)))
        except ValueError as error:
            raise ValueError(f"'{key}' uses invalid regular expression: {error}") from None

    @property
    def start(self) -> str:
        """What everything begins with that is changed: known where only the start of a text can match."""
        expression = self.text.removeprefix(_REGEX).partition(",")[0]
        first = next(iter(self._template), "")
        return first if isinstance(first, str) and expression[:1] == "^" and "|" not in expression else ""

    def apply(self, text: str) -> str:
        """Return ``text`` with every match replaced; unchanged where there is none."""
        return "".join(_replaced(text, self._pattern, self._template))


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A mapping's ``to``: keeps, prefixes, replaces or rewrites the name of a repository."""

    text: str
    selection: Selection
    _replacement: Replacement | None = field(compare=False, repr=False)

    @classmethod
    def parse(cls, to: str, *, selection: Selection) -> Self:
        """Read nothing, a path, or a Replacement; ValueError when that is not valid."""
        return cls(to, selection, Replacement.parse(to, key="to"))

    def apply(self, name: str) -> str:
        """Return what the repository ``name`` is called at the target, both without leading slash.

        A plain ``to`` is the name itself for a fixed ``from``, and a prefix where an expression selects.
        Whether the result is a legal name is not checked.
        """
        path = _path(name)
        if self._replacement is not None:
            path = self._replacement.apply(path)
        elif self.text:
            path = _path(self.text) + (path if self.selection.fixed is None else "")
        return path.removeprefix("/")

    def origins(self, name: str) -> tuple[str, ...] | None:
        """Return the selected repositories that are called ``name`` at the target; None where that cannot be told."""
        if self._replacement is not None and _path(name).startswith(self._replacement.start):
            return None
        front = _path(self.text) if self.text and self._replacement is None and self.selection.fixed is None else ""
        origin = self.selection.fixed or _path(name).removeprefix(front).removeprefix("/")
        return (origin,) if self.selection.matches(origin) and self.apply(origin) == name else ()


def _path(name: str) -> str:
    return name if name.startswith("/") else f"/{name}"


def _template(text: str, expression: pattern.Pattern) -> Iterator[str | int]:
    """Split a replacement into texts and the numbers of groups, by the rules of Go's ``Regexp.Expand``."""
    done = 0
    for match in _GROUP.finditer(text):
        start, end = match.span()
        yield text[done:start]
        done = end
        name = match.group(1) or match.group(2)
        if name is None:
            yield "$"
        elif (number := _group(name, expression)) is not None:
            yield number
    yield text[done:]


def _group(name: str, expression: pattern.Pattern) -> int | None:
    """Return the number of a group, or None when there is none; ``01`` is a name and no number."""
    if name.isascii() and name.isdigit() and len(name) < 9 and (name == "0" or name[0] != "0"):
        return int(name) if int(name) <= expression.groups else None
    return expression.groupindex.get(name)


def _replaced(path: str, expression: pattern.Pattern, template: tuple[str | int, ...]) -> Iterator[str]:
    """Replace all matches, as Go does: but not an empty match right behind another one."""
    done = 0
    for match in expression.finditer(path):
        start, end = match.span()
        yield path[done:start]
        if end > done or start == 0:
            yield from (part if isinstance(part, str) else match.group(part) or "" for part in template)
        done = end
    yield path[done:]
