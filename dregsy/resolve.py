"""What a task means right now: which images there are, and what they are to be called at which targets."""

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import replace

from dregsy.decide import Decider
from dregsy.errors import DregsyError, ImageError, TagTaken
from dregsy.journal import Journal
from dregsy.model.claims import Claims
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Rule, Task
from dregsy.model.platform import Platform
from dregsy.model.ref import Ref
from dregsy.model.report import Decision, Failure, Outcome, Reason, Status, Unlisted, Warned
from dregsy.model.tags import Pick
from dregsy.model.unknown import Unknown
from dregsy.registry.existing import Existing
from dregsy.registry.inventory import Inventories
from dregsy.registry.listing import Listings
from dregsy.registry.pool import Registries
from dregsy.registry.pulls import Pulls
from dregsy.selection import Selected, Selector

Found = Copy | Outcome | Unlisted | Warned
"""What is found when a task is looked at."""


class Resolver:
    """Turns rules into copies, and copies into decisions. Reads from registries, never writes.

    ``repacked`` is the platform of a relay that packs layers anew (``dregsy.relay.Repacking``).
    """

    def __init__(
        self,
        registries: Registries,
        listings: Listings,
        inventories: Inventories | None = None,
        journal: Journal | None = None,
        now: Callable[[], float] = time.time,
        repacked: Platform | None = None,
    ) -> None:
        self._registries = registries
        self.pulls = Pulls(registries)
        self._listings = listings
        journal = journal or Journal()
        self._selector = Selector(registries, journal, now)
        self._decider = Decider(registries, inventories or Inventories(registries), journal, repacked)
        self._claims = Claims()

    async def copies(self, task: Task) -> AsyncGenerator[Found, None]:
        """Give every image that the task's rules mean now, in the order of the rules.

        What cannot be found out is given as a failed Outcome, and does not stop the rest; as Unlisted where
        ``again`` may fare better. What is left alone because the target has it (``skip-existing``) is given
        as one that is current. Of two rules that would write different images to one tag the first has it,
        and the other one's image is a failed Outcome.
        This begins a run; ``finish`` ends it.
        """
        self._decider.start()
        self._selector.start()
        self._claims.begin(_key(task))
        existing = Existing(self._registries)
        for rule in task.rules:
            async for item in self._of_rule(task, rule, existing):
                yield item

    async def again(self, task: Task, part: Unlisted) -> AsyncGenerator[Found, None]:
        """Give what ``copies`` could not list, in the same run."""
        existing = Existing(self._registries)
        if not part.tags:
            self._claims.release(_key(task), part.rule, part.repository)
        if part.repository is None:
            items = self._of_rule(task, part.rule, existing)
        else:
            items = self._of_repository(task, part.rule, part.repository, existing, part.tags)
        async for item in items:
            yield item

    async def _of_rule(self, task: Task, rule: Rule, existing: Existing) -> AsyncGenerator[Found, None]:
        try:
            repositories, listed = await self._repositories(task, rule)
        except DregsyError as error:
            failed = _failed(task, rule, Ref(task.source.host, task.source.prefix or "*"), error)
            self._claims.keep(_key(task), Unknown(task, rule, None, _is_retryable(failed)))
            for lost in Unlisted.among([failed], rule):
                yield lost
            return
        if listed == task.listing.limit:
            text = f"the list of {task.source.host}'s repositories is cut after {listed}: more may match"
            yield Warned(task.name, f"{rule.where}: {text} — raise 'lister.maxItems'")
        if not repositories:
            yield Warned(task.name, f"{rule.where}: 'from' matches no repository of {task.source.host}")
        for repository in task.share(rule, repositories):
            async for item in self._of_repository(task, rule, repository, existing):
                yield item

    async def _repositories(self, task: Task, rule: Rule) -> tuple[tuple[str, ...], int]:
        """The repositories that a rule means, and how many were listed to find them."""
        if rule.source.fixed is not None:
            return (rule.source.fixed,), 0
        listed = await self._listings.repositories(task.source, task.listing)
        return tuple(name for name in listed if rule.source.matches(name)), len(listed)

    async def _of_repository(
        self, task: Task, rule: Rule, name: str, existing: Existing, only: frozenset[str] = frozenset()
    ) -> AsyncGenerator[Found, None]:
        try:
            source, targets = _names(task, rule, name)
        except ImageError as error:
            yield _failed(task, rule, Ref(task.source.host, name), error)
            return
        selected, failed = await self._selected(task, rule, source, only)
        self._claim_failed(task, rule, name, targets, failed)
        for lost in Unlisted.among(failed, rule, name):
            yield lost
        for warning in selected.warnings:
            yield Warned(task.name, warning)
        copies: deque[Copy] = deque()
        waiting: list[Outcome] = []
        for pick in selected.picks:
            copy = _copy(task, rule, source, targets, pick)
            if held := self._waiting(task, rule, name, copy):
                waiting += held
                continue
            async for item in self._unsettled(task, rule, copy, existing):
                digest = selected.digests.get(pick)
                if isinstance(item, Copy):
                    copies.append(_pinned(item, digest) if digest else item)
                else:
                    yield item
        for one in Unlisted.among(waiting, rule, name):
            yield one
        self._decider.expect(task, copies)
        while copies:
            self.pulls.ahead = len(copies) - 1
            yield copies.popleft()  # what is kept of it, its outcome, is about as large

    async def _selected(
        self, task: Task, rule: Rule, source: Ref, only: frozenset[str]
    ) -> tuple[Selected, list[Outcome]]:
        """What is selected of a repository, or ``only`` of some of its tags, and what could not be found out."""
        lost: dict[str | None, DregsyError]
        try:
            selected = await self._selector.select(task.source, rule, source)
            selected = selected.only(only) if only else selected
            lost = {pick.tag: error for pick, error in selected.failures.items()}
        except DregsyError as error:
            selected, lost = Selected(), dict.fromkeys(only or [None], error)
        return selected, [_failed(task, rule, source.with_tag(tag), error) for tag, error in lost.items()]

    def _claim_failed(self, task: Task, rule: Rule, name: str, targets: tuple[Ref, ...], failed: list[Outcome]) -> None:
        """Let nobody else have what could not be found out: that it cannot now takes no right away."""
        for one in failed:
            source = one.copy.source
            if source.tag is None:
                self._claims.keep(_key(task), Unknown(task, rule, name, _is_retryable(one)))
                continue
            copy = _copy(task, rule, source, targets, Pick(source.tag))
            if isinstance(copy, Copy) and not self._claims.kept(_key(task), copy, rule, name):
                self._claims.refused(_key(task), copy)

    def _waiting(self, task: Task, rule: Rule, name: str, copy: Copy | Outcome) -> list[Outcome]:
        """What becomes of a copy as long as it is not known whether another mapping means its tag."""
        unknown = self._claims.kept(_key(task), copy, rule, name) if isinstance(copy, Copy) else None
        if unknown is None or isinstance(copy, Outcome):
            return []
        first = unknown.rule.where
        text = f"is left alone: {first}, which has the first right to it, could not be listed"
        return [
            Outcome(
                copy,
                target,
                Status.FAILED,
                failure=Failure("image", f"{target} {text}", f"see why {first} failed", unknown.retryable),
            )
            for target in copy.targets
        ]

    async def _unsettled(
        self, task: Task, rule: Rule, copy: Copy | Outcome, existing: Existing
    ) -> AsyncGenerator[Copy | Outcome, None]:
        """Give what is left of a copy once targets are settled that another rule has, or that need no look."""
        if isinstance(copy, Outcome):
            yield copy
            return
        settled = dict(self._conflicts(task, copy))
        if copy.source.tag is not None and copy.source.tag in rule.immutable:
            for position, target in enumerate(copy.targets):
                if position not in settled and target.tag is not None:
                    outcome = await _left_alone(existing, task.targets[copy.to[position]], copy, target)
                    settled |= {position: outcome} if outcome is not None else {}
        for outcome in settled.values():
            yield outcome
        left = [position for position in range(len(copy.targets)) if position not in settled]
        if left:
            yield copy.only(left) if settled else copy

    def _conflicts(self, task: Task, copy: Copy) -> Iterator[tuple[int, Outcome]]:
        for position, claim in self._claims.refused(_key(task), copy).items():
            target = copy.targets[position]
            first, second = claim.where, copy.where
            if first == second and claim.task != copy.task:  # an alias: one place in the file, two mappings
                first, second = f"{first} in task {claim.task!r}", f"{second} in task {copy.task!r}"
            error = TagTaken(
                f"{target} is to hold {claim.source} already, by {first}",
                hint=f"change 'to', 'tags' or the tags' names at {' and '.join(dict.fromkeys((first, second)))}",
            )
            yield position, Outcome(copy, target, Status.FAILED, failure=Failure.of(error))

    async def decide(self, task: Task, copy: Copy) -> Decision:
        """Compare source and targets, as ``Decider.decide`` does."""
        return await self._decider.decide(task, copy)

    async def finish(self) -> int:
        """Forget what was read for a run; return how many requests lists of digests and the journal spared it."""
        return await self._decider.finish()


def _key(task: Task) -> str:
    return f"{task.where} {task.name}"


def _copy(task: Task, rule: Rule, source: Ref, targets: tuple[Ref, ...], pick: Pick) -> Copy | Outcome:
    """The copy of one image, or the failure to name it at the target."""
    image = source.with_tag(pick.tag, pick.digest)
    try:
        tag = None if pick.tag is None else rule.names.apply(pick.tag)
    except ValueError as error:
        hint = f"mend 'to-tag', 'tag-prefix' or 'tag-suffix' at {rule.where}: they make this out of {pick.tag!r}"
        return _failed(task, rule, image, ImageError(str(error), hint=hint))
    return Copy(
        task=task.name,
        source=image,
        targets=tuple(target.with_tag(tag, None if tag else pick.digest) for target in targets),
        to=tuple(range(len(targets))),
        platforms=rule.platforms,
        where=rule.where,
        subset=rule.subset,
        by_digest=pick.digest is not None,
    )


def _pinned(copy: Copy, digest: Digest) -> Copy:
    """The same copy, of what its tag pointed at when its date was read: that is what was found old enough."""
    return replace(copy, source=copy.source.with_tag(copy.source.tag, digest))


async def _left_alone(existing: Existing, endpoint: Endpoint, copy: Copy, target: Ref) -> Outcome | None:
    """The outcome for a tag that never changes, where the target has it or cannot say so."""
    try:
        if await existing.has(endpoint, target):
            return Outcome(copy, target, Status.CURRENT, reason=Reason.IMMUTABLE)
    except DregsyError as error:
        return Outcome(copy, target, Status.FAILED, failure=Failure.of(error))
    return None


def _names(task: Task, rule: Rule, name: str) -> tuple[Ref, tuple[Ref, ...]]:
    """The repository at the source and at each target; ImageError where the mapping makes an illegal name."""
    try:
        source = task.source.ref(name)
    except ValueError as error:
        raise ImageError(str(error), hint=f"mend 'from' at {rule.where}") from None
    try:
        return source, tuple(target.ref(rule.rewrite.apply(name)) for target in task.targets)
    except ValueError as error:
        raise ImageError(str(error), hint=f"mend 'to' at {rule.where}: it makes this out of {name!r}") from None


def _failed(task: Task, rule: Rule, source: Ref, error: DregsyError) -> Outcome:
    copy = Copy(task.name, source, (), (), rule.platforms, rule.where, rule.subset)
    return Outcome(copy, None, Status.FAILED, failure=Failure.of(error))


def _is_retryable(outcome: Outcome) -> bool:
    return outcome.failure is not None and outcome.failure.retryable
