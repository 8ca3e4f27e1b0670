"""Versions and version ranges of dregsy's ``semver:`` filters (semver.org 2.0.0, and a small grammar of ranges).

Tags are read with tolerance: ``v1.36`` is 1.36.0. Ranges are read strictly, and prereleases in
them are plain versions: ``<2.0.0`` includes 2.0.0-rc1.
"""

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Self

from dregsy.model import pattern

_NUMBER = r"(?:0|[1-9][0-9]*)"
_LABEL = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = pattern.compile_search(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_LABEL}(?:\.{_LABEL})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_WILDCARD = pattern.compile_search(rf"({_NUMBER})(?:\.({_NUMBER}))?((?:\.x){{1,2}})")
_DIGITS = frozenset("0123456789")
_HIGHEST = 2**64 - 1  # a number beyond this, a very long one of digits only say, makes no version

_COMPARISONS: dict[str, Callable[["Version", "Version"], bool]] = {
    "": operator.eq,
    "=": operator.eq,
    "==": operator.eq,
    "!": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A version; build metadata is not kept, for it has no precedence (semver.org §10, §11).

    ``labels`` are the prerelease's identifiers, each as (is it a text, its number, its text), so
    that comparing field by field is the precedence of the standard.
    """

    major: int
    minor: int
    patch: int
    is_release: bool = True
    labels: tuple[tuple[bool, int, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``X.Y.Z[-prerelease][+build]`` to the letter of the standard; ValueError for anything else."""
        match = _VERSION.fullmatch(text) if text.isascii() else None
        if match is None:
            raise ValueError(f"not a version of the form X.Y.Z: {text[:100]!r}")
        major, minor, patch = (_number(match.group(place) or "") for place in (1, 2, 3))
        prerelease = match.group(4)
        labels = tuple(map(_label, prerelease.split("."))) if prerelease else ()
        return cls(major, minor, patch, not labels, labels)

    def __str__(self) -> str:
        labels = ".".join(text if is_text else str(number) for is_text, number, text in self.labels)
        return f"{self.major}.{self.minor}.{self.patch}" + (f"-{labels}" if labels else "")


def parse_tolerant(text: str) -> Version | None:
    """Read a tag as a version, or return None when it is none.

    One ``v`` in front is dropped, leading zeros of the three numbers too, and missing numbers are
    0; but only a version with all three may carry a prerelease.
    """
    parts = text.strip().removeprefix("v").split(".", 2)
    if len(parts) < 3 and not _DIGITS.issuperset(parts[-1]):
        return None
    try:
        return Version.parse(".".join([*map(_without_zeros, parts), "0", "0"][:3]))
    except ValueError:
        return None


def _without_zeros(part: str) -> str:
    if len(part) < 2:
        return part
    rest = part.lstrip("0")
    return rest if rest[:1] in _DIGITS else f"0{rest}"


def _number(digits: str) -> int:
    if len(digits) > 20 or int(digits) > _HIGHEST:
        raise ValueError(f"a number too large for a version: {digits[:100]}")
    return int(digits)


def _label(text: str) -> tuple[bool, int, str]:
    return (False, _number(text), "") if _DIGITS.issuperset(text) else (True, 0, text)


@dataclass(frozen=True, slots=True)
class _Term:
    """One comparison of a range, such as ``>=1.2.0``."""

    sign: str
    version: Version

    def matches(self, version: Version) -> bool:
        return _COMPARISONS[self.sign](version, self.version)


@dataclass(frozen=True, slots=True)
class Range:
    """Alternatives, each a list of comparisons that must all hold; compared by its text."""

    text: str
    _alternatives: tuple[tuple[_Term, ...], ...] = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``>=1.2.0 <2.0.0 || 3.x``: a blank means and, ``||`` between blanks means or.

        As in dregsy, terms of one character count for nothing, and a negated wildcard (``!=1.2.x``)
        matches nothing. ValueError says what to write instead of what is not understood.
        """
        words = list(_words(text))
        if not words:
            meant = f"'{text.strip()}.x'" if text.strip() in _DIGITS else "'>=0.0.0-0' for all versions"
            raise ValueError(f"there is no version in it — write {meant}")
        if "||" in (words[0], words[-1]):
            raise ValueError("it starts or ends with '||' — write versions on both sides of '||'")
        groups = (list(group) for is_or, group in groupby(words, "||".__eq__) if not is_or)
        return cls(text, tuple(tuple(term for word in group for term in _terms(word)) for group in groups))

    def matches(self, version: Version) -> bool:
        """Tell whether ``version`` lies in the range."""
        return any(all(term.matches(version) for term in terms) for terms in self._alternatives)


def _words(text: str) -> Iterator[str]:
    """Split at blanks, but not at those that follow a ``<``, ``>`` or ``=``."""
    word = ""
    for piece in text.split(" "):
        word += piece
        if not word.endswith(("<", ">", "=")):
            if len(word) > 1:
                yield word
            word = ""
    if len(word) > 1:
        yield word


def _terms(word: str) -> tuple[_Term, ...]:
    """Read one term; a wildcard makes two comparisons of it where it stands for a span of versions."""
    start = next((place for place, character in enumerate(word) if character in _DIGITS), len(word))
    sign, version = word[:start], word[start:]
    if sign not in _COMPARISONS or not version:
        raise ValueError(f"{word[:100]!r} is not understood{_advice(sign, version)}")
    span = _span(version)
    if span is not None:
        return _wildcard(sign, *span)
    try:
        return (_Term(sign, Version.parse(version)),)
    except ValueError as error:
        raise ValueError(f"{error}{_advice(sign, version)}") from None


def _span(text: str) -> tuple[Version, Version] | None:
    """Return the first version that a wildcard stands for and the first one after; None for no wildcard."""
    match = _WILDCARD.fullmatch(text) if text.isascii() else None
    if match is None or text.count(".") > 2:
        return None
    major, minor = _number(match.group(1) or ""), _number(match.group(2) or "0")
    if text.count(".") == 2:  # upstream's 1.x.x is 1.0.x, too
        return Version(major, minor, 0), Version(major, minor + 1, 0)
    return Version(major, 0, 0), Version(major + 1, 0, 0)


def _wildcard(sign: str, first: Version, after: Version) -> tuple[_Term, ...]:
    if sign in {">=", "<"}:
        return (_Term(sign, first),)
    if sign == ">":
        return (_Term(">=", after),)
    if sign == "<=":
        return (_Term("<", after),)
    if sign.startswith("!"):
        return (_Term("<", first), _Term(">=", after))
    return (_Term(">=", first), _Term("<", after))


def _advice(sign: str, text: str) -> str:
    """Say what to write instead of what other tools know: ``^``, ``~``, short versions, commas …."""
    if "," in text:
        return " — separate terms with a blank, not with a comma"
    if "||" in text:
        return " — put a blank on both sides of '||'"
    if text.endswith((".X", ".*")):
        return " — a wildcard is a small x, as in '1.2.x'"
    sign = sign.removesuffix("v")
    meant = _meant(sign, text)
    return f" — write {meant}" if meant else ""


def _meant(sign: str, text: str) -> str:
    version = parse_tolerant(text)
    dots = text.count(".")
    if version is None:
        return f"'{text}'" if _span(text) else ""
    if sign in {"^", "~", "~>"}:
        return f"'>={version} <{_next(sign, version, dots)}-0'"
    if sign in {"=>", "=<"}:
        return f"'{sign[::-1]}{version}'"
    if sign in {"", "=", "=="} and dots < 2:
        return f"'{version.major}.{version.minor}.x'" if dots else f"'{version.major}.x'"
    return f"'{sign if sign in _COMPARISONS else ''}{version}'"


def _next(sign: str, version: Version, dots: int) -> Version:
    """Return the release after the span that other tools mean by ``^`` and ``~``; its prereleases are out, too."""
    if not dots or (sign == "^" and version.major):
        return Version(version.major + 1, 0, 0)
    if sign == "^" and not version.minor and dots == 2:
        return Version(0, 0, version.patch + 1)
    return Version(version.major, version.minor + 1, 0)
