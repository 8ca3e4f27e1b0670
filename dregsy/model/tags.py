"""Which tags of a repository a mapping means: dregsy's ``tags:`` lists, and what they select."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from dregsy.model import pattern, semver
from dregsy.model.digest import HEX_LENGTH, Digest
from dregsy.model.ref import is_tag

_COUNTED = pattern.compile_search(r"keep:\s+(latest|newest)\s+([0-9]+)")
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
class _Latest:
    """A ``keep: latest N`` item, which counts versions; 0 sets no limit."""

    count: int


@dataclass(frozen=True, slots=True)
class _Newest:
    """A ``keep: newest N`` item, which counts by the images' dates; 0 sets no limit."""

    count: int


_Part = _Include | _Keep | _Latest | _Newest | Pick


@dataclass(frozen=True, slots=True)
class TagSet:
    """A list of tags by name, ``semver:`` and ``regex:`` items, as in ``exclude``; equal when the items are."""

    items: tuple[str, ...] = ()
    _matches: tuple[Callable[[str], bool], ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def parse(cls, items: Sequence[str], *, key: str) -> Self:
        """Read the items; ValueError names ``key`` and the item, and says why."""
        texts = tuple(item.strip() for item in items)
        return cls(texts, tuple(_member(text, key) for text in texts))

    def __contains__(self, tag: str) -> bool:
        return any(matches(tag) for matches in self._matches)


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

    @property
    def counts(self) -> bool:
        """Whether there is a ``keep: latest`` or ``keep: newest`` item."""
        return any(isinstance(part, _Latest | _Newest) for part in self._parts)

    @property
    def newest(self) -> int:
        """How many images ``keep: newest`` leaves; 0 sets no limit."""
        return next((part.count for part in reversed(self._parts) if isinstance(part, _Newest)), 0)

    def select(self, listed: Iterable[str]) -> tuple[Pick, ...]:
        """Return what is meant, given the tags that the repository has; sorted, and each name once.

        What is listed but no legal tag is left out. Of several items that give one tag different
        contents the last in byte order counts. Digests are not counted by ``keep: latest``.
        ``keep: newest`` needs to know the images' dates: see ``dregsy.model.ages``.
        """
        return self.latest(self.candidates(listed))

    def candidates(self, listed: Iterable[str]) -> tuple[Pick, ...]:
        """Return what is meant before ``keep: latest`` counts and each name is made to stand there once; sorted."""
        tags = self._listed(listed) if self.needs_listing else set()
        return tuple(sorted({*map(Pick, tags), *(part for part in self._parts if isinstance(part, Pick))}, key=str))

    def latest(self, candidates: Sequence[Pick]) -> tuple[Pick, ...]:
        """Return what ``select`` does, given all or some of the candidates in their order."""
        tags = self._latest({pick.tag for pick in candidates if pick.tag is not None and pick.digest is None})
        picks = (pick for pick in candidates if pick.digest is not None or pick.tag in tags)
        return tuple({pick.tag or str(pick): pick for pick in picks}.values())

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

    def _latest(self, tags: set[str]) -> set[str]:
        """Apply ``keep: latest``: to the versions if there are any, else to all tags in byte order."""
        counts = [part.count for part in self._parts if isinstance(part, _Latest)]
        if not counts or not counts[-1]:
            return tags
        versions = {tag: version for tag in tags if (version := semver.parse_tolerant(tag)) is not None}
        if not versions:
            return set(sorted(tags)[-counts[-1] :])
        # of equal versions, such as 1.36 and 1.36.0, the greater text is the newer one
        ranked = sorted(versions, key=lambda tag: (versions[tag], tag))
        return tags.difference(ranked[: -counts[-1]])


def _part(item: str, key: str = "tags") -> _Part:
    try:
        if item.startswith("semver:"):
            return _Include(_in_range(semver.Range.parse(item.removeprefix("semver:"))))
        if item.startswith("regex:"):
            return _Include(_expression(item.removeprefix("regex:")))
        if counted := _COUNTED.fullmatch(item):
            return _counted(counted.group(1) or "", counted.group(2) or "")
        if item.startswith("keep:"):
            return _Keep(_expression(item.removeprefix("keep:")))
        return _pick(item)
    except ValueError as error:
        raise ValueError(f"'{key}' uses invalid format: {item[:200]!r}: {error}") from None


def _member(item: str, key: str) -> Callable[[str], bool]:
    part = _part(item, key)
    if isinstance(part, _Include):
        return part.matches
    if isinstance(part, Pick) and part.digest is None:
        return lambda tag: tag == part.tag
    raise ValueError(f"'{key}' uses invalid format: {item[:200]!r}: it can be a tag, 'semver:' or 'regex:'")


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


def _counted(word: str, digits: str) -> _Latest | _Newest:
    if len(digits) > _COUNT_DIGITS:
        raise ValueError(f"the number has more than {_COUNT_DIGITS} digits")
    return _Latest(int(digits)) if word == "latest" else _Newest(int(digits))


def _pick(item: str) -> Pick:
    if not item:
        raise ValueError("it is empty — remove the item, or remove 'tags' to select all tags")
    if item.partition(":")[0] in HEX_LENGTH:
        return Pick(None, Digest.parse(item))
    tag, at, digest = item.partition("@")
    if not is_tag(tag):
        raise ValueError("it is no legal tag — for expressions write 'semver:', 'regex:' or 'keep:' in front")
    return Pick(tag, Digest.parse(digest) if at else None)
