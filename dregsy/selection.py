"""Which tags of a repository a rule means right now: what is listed, less what is excluded, too new or too old."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dregsy.errors import DregsyError
from dregsy.model.ages import newest
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Rule
from dregsy.model.ref import Ref
from dregsy.model.tags import Pick
from dregsy.registry.client import Registry
from dregsy.registry.contents import Contents
from dregsy.registry.dates import Dates
from dregsy.registry.pool import Registries

_AT_ONCE = 64
"""How many tags are asked for their dates at the same time; the registry's own limits are lower."""
_NAMED = 5
"""How many tags a warning names."""


@dataclass(slots=True)
class Selected:
    """The tags that a rule means, in order.

    ``digests`` says what tags pointed at where their dates had to be read: that is what was judged,
    and so what is to be copied. ``failures`` are tags of which the date could not be read.
    """

    picks: tuple[Pick, ...] = ()
    digests: dict[Pick, Digest] = field(default_factory=dict)
    failures: dict[Pick, DregsyError] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Selector:
    """Asks registries which tags they have and, where a rule asks for it, when their images were made."""

    def __init__(self, registries: Registries, contents: Contents, now: Callable[[], float] = time.time) -> None:
        self._registries = registries
        self._now = now
        self._dates = Dates(contents)

    async def select(self, endpoint: Endpoint, rule: Rule, source: Ref) -> Selected:
        """Return the tags of the repository ``source`` that ``rule`` means.

        The ages count before ``keep: latest`` does, so that what is in quarantine takes no place.
        Digests are taken whatever their age. Raises a DregsyError when the tags cannot be listed.
        """
        registry = self._registries.at(endpoint)
        listed = await registry.tags(source.repository) if rule.tags.needs_listing else []
        candidates = rule.tags.candidates(listed)
        left = [pick for pick in candidates if pick.tag is None or pick.tag not in rule.exclude]
        dating = _Dating(registry, source, self._dates)
        if rule.ages:
            left = await self._of_age(dating, rule, left)
        picks = rule.tags.latest(left)
        if rule.tags.newest:
            picks = await _newest(dating, rule, picks)
        found = dating.found
        found.picks = picks
        if not picks and not found.failures:
            found.warnings.append(f"{rule.where}: {_why_nothing(source, len(listed), len(candidates))}")
        return found

    async def _of_age(self, dating: "_Dating", rule: Rule, picks: Sequence[Pick]) -> list[Pick]:
        dates = await dating.of(picks)
        undated = [str(pick) for pick, date in dates.items() if date is None]
        if undated:
            more = f" and {len(undated) - _NAMED} more" if len(undated) > _NAMED else ""
            names = ", ".join(undated[:_NAMED]) + more
            dating.found.warnings.append(
                f"{rule.where}: not copied, since no date of theirs is known: {names} of {dating.source}"
            )
        now = datetime.fromtimestamp(self._now(), UTC)
        return [
            pick
            for pick in picks
            if pick not in dating.found.failures and (pick not in dates or rule.ages.fits(dates[pick], now))
        ]


async def _newest(dating: "_Dating", rule: Rule, picks: Sequence[Pick]) -> tuple[Pick, ...]:
    dates = {str(pick): date for pick, date in (await dating.of(picks)).items()}
    kept = newest(dates, rule.tags.newest)
    return tuple(
        pick for pick in picks if pick not in dating.found.failures and (str(pick) not in dates or str(pick) in kept)
    )


class _Dating:
    """Finds the dates of a repository's tags; notes in ``found`` what they point at, and what went wrong."""

    def __init__(self, registry: Registry, source: Ref, dates: Dates) -> None:
        self.source = source
        self.found = Selected()
        self._registry = registry
        self._dates = dates
        self._known: dict[Pick, datetime | None] = {}

    async def of(self, picks: Sequence[Pick]) -> Mapping[Pick, datetime | None]:
        """Return the dates of ``picks``; not those of digests, of missing tags, and of tags that failed."""
        unknown = [pick for pick in picks if pick.digest is None and pick not in self._known]
        for start in range(0, len(unknown), _AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for pick in unknown[start : start + _AT_ONCE]:
                    group.create_task(self._date(pick))
        return {pick: self._known[pick] for pick in picks if pick in self._known}

    async def _date(self, pick: Pick) -> None:
        assert pick.tag is not None
        repository = self.source.repository
        try:
            head = await self._registry.head_manifest(repository, pick.tag)
            if head is not None:  # what is not there is told when it is to be copied
                self._known[pick] = await self._dates.of(self._registry, repository, head.digest)
                self.found.digests[pick] = head.digest
        except DregsyError as error:
            self.found.failures[pick] = error


def _why_nothing(source: Ref, listed: int, candidates: int) -> str:
    if not candidates:
        return f"'tags' selects none of the {listed} tags of {source}"
    return (
        f"'exclude', 'newer-than' or 'older-than' leave none of the {candidates} tags of {source} that 'tags' selects"
    )
