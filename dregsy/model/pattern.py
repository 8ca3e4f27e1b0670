"""The one place where regular expressions are compiled: RE2 syntax, linear time, as in Go."""

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import re2


class Match(Protocol):
    """What a pattern found in a text."""

    def group(self, group: int | str = 0) -> str | None:
        """Return the text of a group, or None when the group took no part."""

    def span(self) -> tuple[int, int]:
        """Return where the match starts and ends."""


class Pattern(Protocol):
    """A compiled expression."""

    groups: int
    groupindex: dict[str, int]

    def search(self, text: str) -> Match | None:
        """Find the first match anywhere in ``text``."""

    def fullmatch(self, text: str) -> Match | None:
        """Match the whole of ``text``."""

    def finditer(self, text: str) -> Sequence[Match]:
        """Find all matches that do not overlap, from left to right."""


def compile_search(expression: str) -> Pattern:
    """Compile ``expression`` for searching; ValueError with RE2's reason when it is not valid."""
    options = re2.Options()
    options.log_errors = False
    try:
        return cast("Pattern", re2.compile(expression, options=options))
    except UnicodeEncodeError:
        raise ValueError("it contains half of a surrogate pair, which is no character") from None
    except re2.error as error:
        reason = error.args[0] if error.args else "unknown reason"
        raise ValueError(reason.decode(errors="replace") if isinstance(reason, bytes) else reason) from None


def compile_whole(expression: str) -> Callable[[str], bool]:
    """Return a test whether a text matches ``expression`` as a whole; ValueError when it is not valid."""
    compiled = compile_search(expression)

    def matches(text: str) -> bool:
        try:
            return compiled.fullmatch(text) is not None
        except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write: no expression means that
            return False

    return matches
