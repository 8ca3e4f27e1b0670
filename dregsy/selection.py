"""Which tags of a repository a rule means right now: what is listed, less what is excluded, too new or too old."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Self

from dregsy.errors import DregsyError
from dregsy.model.ages import Listed, newest
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Rule
from dregsy.model.ref import Ref
from dregsy.model.tags import Pick
from dregsy.registry.client import Registry
from dregsy.registry.contents import Contents, no_image
from dregsy.registry.dates import Dates
from dregsy.registry.deadline import deadline
from dregsy.registry.pool import Registries
from dregsy.registry.pushes import Pushes

_AT_ONCE = 64
"""How many tags are asked for their dates at the same time; the registry's own limits are lower."""
_NAMED = 5
"""How many tags a warning names."""


@dataclass(slots=True)
class Selected:
    """The tags that a rule means, in order.

    ``digests`` says what tags pointed at where their dates had to be read: that is what was judged,
    and so what is to be copied. ``failures`` are tags of which the date could not be read, or that are not there.
    """

    picks: tuple[Pick, ...] = ()
    digests: dict[Pick, Digest] = field(default_factory=dict)
    failures: dict[Pick, DregsyError] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def only(self, tags: Collection[str]) -> Self:
        """Return what is selected among some tags, after all was told about the others before."""
        return replace(
            self,
            picks=tuple(pick for pick in self.picks if pick.tag in tags),
            failures={pick: error for pick, error in self.failures.items() if pick.tag in tags},
            warnings=[],
        )


class Selector:
    """Asks registries which tags they have and, where a rule asks for it, how old what they point at is."""

    def __init__(
        self,
        registries: Registries,
        contents: Contents,
        now: Callable[[], float] = time.time,
        pushes: Pushes | None = None,
    ) -> None:
        self._registries = registries
        self._now = now
        self._dates = Dates(contents)
        self._pushes = pushes or Pushes()

    def start(self) -> None:
        """Begin a run: what tags pointed at before is old."""
        self._pushes.start()

    async def select(self, endpoint: Endpoint, rule: Rule, source: Ref) -> Selected:
        """Return the tags of the repository ``source`` that ``rule`` means.

        The ages count before ``keep: latest`` does, so that what is in quarantine takes no place.
        Digests are taken whatever their age. Raises a DregsyError when the tags cannot be listed.
        """
        registry = self._registries.at(endpoint)
        limit, what = self._registries.timeouts.listing, f"the tags of {source}"
        async with deadline(limit, what):
            listed = await registry.tags(source.repository) if rule.tags.needs_listing else []
        candidates = rule.tags.candidates(listed)
        left = [pick for pick in candidates if pick.tag is None or pick.tag not in rule.exclude]
        dating = _Dating(registry, source, self._dates, datetime.fromtimestamp(self._now(), UTC))
        if rule.ages or rule.tags.newest:
            wanted = {pick.tag for pick in left if pick.tag is not None and pick.digest is None}
            async with deadline(limit, f"the dates of {what}"):
                dating.listed = await self._pushes.of(registry, source.repository, wanted) if wanted else {}
        found = dating.found
        found.picks = await _chosen(dating, rule, left)
        while not await dating.confirmed(found.picks):
            found.picks = await _chosen(dating, rule, left)
        if not found.picks and not found.failures:
            found.warnings.append(f"{rule.where}: {_why_nothing(source, len(listed), len(candidates))}")
        found.warnings[:0] = dating.warnings(rule)
        return found


async def _chosen(dating: "_Dating", rule: Rule, picks: Sequence[Pick]) -> tuple[Pick, ...]:
    """Choose by ages, versions and dates, as far as these are known."""
    if rule.ages:
        dates = await dating.of(picks)
        picks = [
            pick
            for pick in picks
            if pick not in dating.found.failures and (pick not in dates or rule.ages.fits(dates[pick], dating.now))
        ]
    picks = rule.tags.latest(picks)
    return await _newest(dating, rule, picks) if rule.tags.newest else picks


async def _newest(dating: "_Dating", rule: Rule, picks: tuple[Pick, ...]) -> tuple[Pick, ...]:
    dates = {str(pick): date for pick, date in (await dating.of(picks)).items()}
    kept = newest(dates, rule.tags.newest)
    return tuple(
        pick for pick in picks if pick not in dating.found.failures and (str(pick) not in dates or str(pick) in kept)
    )


class _Dating:
    """Finds the dates of a repository's tags; notes in ``found`` what they point at, and what went wrong.

    ``listed`` is what the registry's maker tells of them, if anything; else the images' configs count.
    """

    def __init__(self, registry: Registry, source: Ref, dates: Dates, now: datetime) -> None:
        self.now = now
        self.listed: Mapping[str, Listed] = {}
        self.found = Selected()
        self._source = source
        self._registry = registry
        self._dates = dates
        self._known: dict[Pick, datetime | None] = {}
        self._unconfirmed: dict[Pick, str] = {}
        self._moved: set[Pick] = set()

    async def of(self, picks: Sequence[Pick]) -> Mapping[Pick, datetime | None]:
        """Return the dates of ``picks``; not those of digests, and of tags that failed."""
        unknown = [pick for pick in picks if pick.digest is None and pick not in self._known]
        for pick in unknown:
            listed = self.listed.get(pick.tag or "")
            if listed is not None and listed.since is not None:
                self._known[pick] = listed.since
                self._unconfirmed[pick] = listed.digest
        await self._ask(pick for pick in unknown if pick not in self._known)
        return {pick: self._known[pick] for pick in picks if pick in self._known}

    async def confirmed(self, picks: Sequence[Pick]) -> bool:
        """Ask the registry itself what those tags point at whose dates were listed; False changes what is to be chosen.

        What points elsewhere was put there after the list was made: that is now, as far as ages count.
        """
        before = len(self._moved) + len(self.found.failures)
        await self._ask(pick for pick in picks if pick in self._unconfirmed)
        return before == len(self._moved) + len(self.found.failures)

    def warnings(self, rule: Rule) -> Iterable[str]:
        """Tell what was judged otherwise than its user may think."""
        undated = [pick for pick, date in self._known.items() if date is None] if rule.ages else []
        for picks, what in (
            (undated, "not copied, since no date of theirs is known"),
            (self._moved, "counted as new, since the registry's own list does not know yet what they point at"),
        ):
            names = sorted(map(str, picks))
            if names:
                more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
                yield f"{rule.where}: {what}: {', '.join(names[:_NAMED])}{more} of {self._source}"

    async def _ask(self, picks: Iterable[Pick]) -> None:
        waiting = list(picks)
        for start in range(0, len(waiting), _AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for pick in waiting[start : start + _AT_ONCE]:
                    group.create_task(self._head(pick))

    async def _head(self, pick: Pick) -> None:
        """Find out what a tag points at, and with that its date, or whether the one that was listed is right."""
        assert pick.tag is not None
        repository, listed = self._source.repository, self._unconfirmed.pop(pick, None)
        try:
            head = await self._registry.source_manifest(repository, pick.tag)
            if head is None:  # what is pushed a moment later is not judged: it is not let through either
                raise no_image(self._source.with_tag(pick.tag))
            if listed is None and (not self.listed or pick.tag in self.listed):
                self._known[pick] = await self._dates.of(self._registry, repository, head.digest)
            elif listed is None or listed not in {"", str(head.digest)}:
                self._known[pick] = self.now
                self._moved.add(pick)
            self.found.digests[pick] = head.digest
        except DregsyError as error:
            self.found.failures[pick] = error


def _why_nothing(source: Ref, listed: int, candidates: int) -> str:
    if not candidates:
        return f"'tags' selects none of the {listed} tags of {source}"
    return (
        f"'exclude', 'newer-than' or 'older-than' leave none of the {candidates} tags of {source} that 'tags' selects"
    )
