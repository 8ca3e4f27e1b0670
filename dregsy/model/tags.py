"""Which tags of a repository a mapping means: dregsy's ``tags:`` lists, and what they select."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from dregsy.model import pattern, semver
from dregsy.model.digest import HEX_LENGTH, Digest
from dregsy.model.ref import is_tag

_NEWEST = pattern.compile_search(r"keep:\s+latest\s+([0-9]+)")
_COUNT_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Pick:
    """One image of a repository: by tag, by digest, or by digest with the tag that it gets at the target."""

    tag: str | None
    digest: Digest | None = None

    def __str__(self) -> str:
        return "@".join(str(part) for part in (self.tag, self.digest) if part is not None)


@dataclass(frozen=True, slots=True)
class _Include:
    """A ``semver:`` or ``regex:`` item: listed tags that it matches are selected."""

    matches: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class _Keep:
    """A ``keep:`` item: listed tags that it does not match are dropped again."""

    matches: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class _Newest:
    """A ``keep: latest N`` item; 0 sets no limit."""

    count: int


_Part = _Include | _Keep | _Newest | Pick


@dataclass(frozen=True, slots=True)
class TagFilter:
    """A mapping's ``tags:`` list; two are equal when their items are."""

    items: tuple[str, ...]
    _parts: tuple[_Part, ...] = field(compare=False, repr=False)

    @classmethod
    def parse(cls, items: Sequence[str]) -> Self:
        """Read ``semver:``, ``regex:``, ``keep:`` and verbatim items; ValueError names the item and says why."""
        texts = tuple(item.strip() for item in items)
        return cls(texts, tuple(map(_part, texts)))

    @property
    def needs_listing(self) -> bool:
        """Whether the repository's tags have to be listed: not where all items are verbatim ones."""
        kinds = {type(part) for part in self._parts}
        return _Include in kinds or Pick not in kinds

    def select(self, listed: Iterable[str]) -> tuple[Pick, ...]:
        """Return what is meant, given the tags that the repository has; sorted, and each name once.

        What is listed but no legal tag is left out. Of several items that give one tag different
        contents the last in byte order counts. Digests are not counted by ``keep: latest``.
        """
        named = [part for part in self._parts if isinstance(part, Pick)]
        tags = self._listed(listed) if self.needs_listing else set()
        tags.update(pick.tag for pick in named if pick.tag is not None and pick.digest is None)
        picks = {*map(Pick, self._newest(tags)), *(pick for pick in named if pick.digest is not None)}
        return tuple({pick.tag or str(pick): pick for pick in sorted(picks, key=str)}.values())

    def _listed(self, listed: Iterable[str]) -> set[str]:
        include = [part.matches for part in self._parts if isinstance(part, _Include)]
        keep = [part.matches for part in self._parts if isinstance(part, _Keep)]
        return {
            tag
            for tag in listed
            if is_tag(tag)
            and (not include or any(matches(tag) for matches in include))
            and all(matches(tag) for matches in keep)
        }

    def _newest(self, tags: set[str]) -> set[str]:
        """Apply ``keep: latest``: to the versions if there are any, else to all tags in byte order."""
        counts = [part.count for part in self._parts if isinstance(part, _Newest)]
        if not counts or not counts[-1]:
            return tags
        versions = {tag: version for tag in tags if (version := semver.parse_tolerant(tag)) is not None}
        if not versions:
            return set(sorted(tags)[-counts[-1] :])
        # of equal versions, such as 1.36 and 1.36.0, the greater text is the newer one
        ranked = sorted(versions, key=lambda tag: (versions[tag], tag))
        return tags.difference(ranked[: -counts[-1]])


def _part(item: str) -> _Part:
    try:
        if item.startswith("semver:"):
            return _Include(_in_range(semver.Range.parse(item.removeprefix("semver:"))))
        if item.startswith("regex:"):
            return _Include(_expression(item.removeprefix("regex:")))
        if newest := _NEWEST.fullmatch(item):
            return _newest(newest.group(1) or "")
        if item.startswith("keep:"):
            return _Keep(_expression(item.removeprefix("keep:")))
        return _pick(item)
    except ValueError as error:
        raise ValueError(f"'tags' uses invalid format: {item[:200]!r}: {error}") from None


def _in_range(versions: semver.Range) -> Callable[[str], bool]:
    def matches(tag: str) -> bool:
        version = semver.parse_tolerant(tag)
        return version is not None and versions.matches(version)

    return matches


def _expression(text: str) -> Callable[[str], bool]:
    """Compile an expression for whole tags; a leading ``!`` inverts it."""
    text = text.strip()
    matches = pattern.compile_whole(text.removeprefix("!"))
    return (lambda tag: not matches(tag)) if text.startswith("!") else matches


def _newest(digits: str) -> _Newest:
    if len(digits) > _COUNT_DIGITS:
        raise ValueError(f"the number has more than {_COUNT_DIGITS} digits")
    return _Newest(int(digits))


def _pick(item: str) -> Pick:
    if not item:
        raise ValueError("it is empty — remove the item, or remove 'tags' to select all tags")
    if item.partition(":")[0] in HEX_LENGTH:
        return Pick(None, Digest.parse(item))
    tag, at, digest = item.partition("@")
    if not is_tag(tag):
        raise ValueError("it is no legal tag — for expressions write 'semver:', 'regex:' or 'keep:' in front")
    return Pick(tag, Digest.parse(digest) if at else None)
