"""What a task means right now: which images there are, and which targets lack them."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from dregsy.errors import DregsyError, ImageError, NotFound
from dregsy.journal import Journal
from dregsy.model.claims import Claims
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import Manifest
from dregsy.model.plan import Copy, Rule, Task
from dregsy.model.platform import Platform, choose
from dregsy.model.ref import Ref
from dregsy.model.report import Decision, Failure, Outcome, Reason, Status, Unlisted, Warned
from dregsy.model.subset import offers, subset
from dregsy.model.tagnames import tag_for
from dregsy.model.tags import Pick
from dregsy.registry.client import Registry
from dregsy.registry.contents import Contents, manifest_at, manifest_of
from dregsy.registry.existing import Existing
from dregsy.registry.imageconfig import read_config
from dregsy.registry.imageid import image_id
from dregsy.registry.inventory import Inventories
from dregsy.registry.listing import Listings
from dregsy.registry.pool import Registries
from dregsy.selection import Selected, Selector
from dregsy.targets import Targets

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
        self._listings = listings
        self._inventories = inventories or Inventories(registries)
        self._journal = journal or Journal()
        self._targets = Targets(registries, self._inventories, self._journal)
        self._selector = Selector(registries, self._journal, now)
        self._claims = Claims()
        self._repacked = repacked

    async def copies(self, task: Task) -> AsyncGenerator[Found, None]:
        """Give every image that the task's rules mean now, in the order of the rules.

        What cannot be found out is given as a failed Outcome, and does not stop the rest; as Unlisted where
        ``again`` may fare better. What is left alone because the target has it (``skip-existing``) is given
        as one that is current. Of two rules that would write different images to one tag the first has it,
        and the other one's image is a failed Outcome.
        This begins a run; ``finish`` ends it.
        """
        self._inventories.start()
        self._selector.start()
        self._targets.start()
        self._claims.begin(_key(task))
        existing = Existing(self._registries)
        for rule in task.rules:
            async for item in self._of_rule(task, rule, existing):
                yield item

    async def again(self, task: Task, part: Unlisted) -> AsyncGenerator[Found, None]:
        """Give what ``copies`` could not list, in the same run."""
        existing = Existing(self._registries)
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
            for lost in Unlisted.among([failed], rule):
                yield lost
            return
        if listed == task.listing.limit:
            text = f"the list of {task.source.host}'s repositories is cut after {listed}: more may match"
            yield Warned(task.name, f"{rule.where}: {text} — raise 'lister.maxItems'")
        if not repositories:
            yield Warned(task.name, f"{rule.where}: 'from' matches no repository of {task.source.host}")
        for repository in repositories:
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
        selected, failed = await self._selected(task, rule, name, source, only)
        for lost in failed:
            yield lost
        for warning in selected.warnings:
            yield Warned(task.name, warning)
        copies: deque[Copy] = deque()
        for pick in selected.picks:
            copy = _copy(task, rule, source, targets, pick)
            if isinstance(copy, Outcome):
                yield copy
                continue
            async for item in self._unsettled(task, rule, copy, existing):
                digest = selected.digests.get(pick)
                if isinstance(item, Copy):
                    copies.append(_pinned(item, digest) if digest else item)
                else:
                    yield item
        self._expect(task, copies)
        while copies:
            yield copies.popleft()  # what is kept of it, its outcome, is about as large

    async def _selected(
        self, task: Task, rule: Rule, name: str, source: Ref, only: frozenset[str]
    ) -> tuple[Selected, Iterable[Outcome | Unlisted]]:
        """What is selected of a repository, or ``only`` of some of its tags, and what could not be found out."""
        lost: dict[str | None, DregsyError]
        try:
            selected = await self._selector.select(task.source, rule, source)
            selected = selected.only(only) if only else selected
            lost = {pick.tag: error for pick, error in selected.failures.items()}
        except DregsyError as error:
            selected, lost = Selected(), dict.fromkeys(only or [None], error)
        failed = [_failed(task, rule, source.with_tag(tag), error) for tag, error in lost.items()]
        return selected, Unlisted.among(failed, rule, name)

    async def _unsettled(
        self, task: Task, rule: Rule, copy: Copy, existing: Existing
    ) -> AsyncGenerator[Copy | Outcome, None]:
        """Give what is left of a copy once targets are settled that another rule has, or that need no look."""
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
            rivals = f"{claim.where} and {copy.where}" if claim.where != copy.where else copy.where
            error = ImageError(
                f"{target} is to hold {claim.source} already, by {claim.where}",
                hint=f"change 'to', 'tags' or the tags' names at {rivals}",
            )
            yield position, Outcome(copy, target, Status.FAILED, failure=Failure.of(error))

    def _expect(self, task: Task, copies: Sequence[Copy]) -> None:
        """Prepare for the questions that ``decide`` will have about images of one source repository."""
        sources = [copy.source for copy in copies if _is_told_by_tag(copy)]
        asked = [(task.source, sources)]
        for to, endpoint in enumerate(task.targets):
            pairs = (pair for copy in copies for pair in zip(copy.to, copy.targets, strict=True))
            asked.append((endpoint, [target for position, target in pairs if position == to]))
        for position, (endpoint, refs) in enumerate(asked):
            for repository in {ref.repository for ref in refs}:
                tags = {ref.tag for ref in refs if ref.repository == repository and ref.tag is not None}
                self._inventories.expect(endpoint, repository, tags)
                if position:
                    self._targets.expect(
                        endpoint, repository, {ref.reference for ref in refs if ref.repository == repository}
                    )

    async def finish(self) -> int:
        """Forget what was read for a run; return how many requests lists of digests and the journal spared it."""
        await self._journal.flush()
        return self._inventories.finish()

    async def decide(self, task: Task, copy: Copy) -> Decision:
        """Compare source and targets. The copy in the answer carries the digest to be copied.

        An unchanged tag costs one HEAD at the source and one at each target, or nothing where a list of
        digests or, for targets, the journal tells. They never say what to copy: as soon as something is to
        be done, the source itself is asked. Raises a DregsyError when that cannot tell what is to be copied.
        """
        listed = await self._inventories.digest(task.source, copy.source) if _is_told_by_tag(copy) else None
        if listed is not None:
            decision = await self._against(task, copy, listed)
            if all(reason is Reason.CURRENT for reason in decision.reasons):
                self._inventories.saved(1)
                return decision
        registry = self._registries.at(task.source)
        if copy.subset:
            copy, digest, single = await self._cut(registry, copy)
        else:
            digest, single = await self._wanted(registry, copy)
        if listed is None or listed != digest:
            if listed is not None:
                self._inventories.doubt(task.source, copy.source)
            decision = await self._against(task, copy, digest)
        if single is not None and {Reason.MISSING, Reason.CHANGED} & set(decision.reasons):
            for platform in copy.subset or copy.platforms:
                await _check_platform(self._journal, registry, copy, single, platform)
        return decision

    async def _against(self, task: Task, copy: Copy, digest: Digest) -> Decision:
        """Compare the targets with the digest that they should have."""
        resolved = replace(copy, source=copy.source.with_tag(copy.source.tag, digest))
        if all(target.tag is None for target in copy.targets):
            tag = None if self._repacked is None else tag_for(digest)
            named = tuple(target.with_tag(tag, None if tag else digest) for target in copy.targets)
            resolved = replace(resolved, targets=named)
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(self._compare(task, resolved, to, target))
                for to, target in zip(resolved.to, resolved.targets, strict=True)
            ]
        reasons = tuple(
            _itself(resolved.source)
            if one.result() is Reason.CHANGED and _is_same_tag(resolved.source, target)
            else one.result()
            for one, target in zip(asked, resolved.targets, strict=True)
        )
        return Decision(resolved, reasons)

    async def _wanted(self, registry: Registry, copy: Copy) -> tuple[Digest, Manifest | None]:
        """The digest to copy; with it the manifest, where it is one image whose platform is still to be checked."""
        source = copy.source
        if copy.platforms:
            manifest = await self._manifest(registry, source)
            if not manifest.is_index:
                return manifest.digest, manifest
            return _child(manifest, copy), None
        if source.digest is not None:
            return source.digest, None
        found = await registry.head_manifest(source.repository, source.reference)
        if found is None:
            raise _no_image(source)
        return found.digest, None

    async def _compare(self, task: Task, copy: Copy, to: int, target: Ref) -> Reason | Failure:
        digest = copy.source.digest
        assert digest is not None
        same = None if self._repacked is None else partial(self._is_repacked, task, copy, to, target)
        return await self._targets.compare(task.targets[to], target, digest, same)

    async def _is_repacked(self, task: Task, copy: Copy, to: int, target: Ref, found: Digest) -> bool:
        """Whether what a target has is the same image with layers that the relay packed anew."""
        if self._repacked is None or copy.source.digest is None:
            return False
        platform = copy.platforms[0] if copy.platforms else self._repacked
        source, goal = self._registries.at(task.source), self._registries.at(task.targets[to])
        wanted = await image_id(self._journal, source, copy.source.repository, copy.source.digest, platform)
        return wanted is not None and wanted == await image_id(self._journal, goal, target.repository, found, platform)

    async def _cut(self, registry: Registry, copy: Copy) -> tuple[Copy, Digest, Manifest | None]:
        """Make the index of the platforms asked for; the answer is like that of ``_wanted``, and the copy to make.

        An image without an index is taken as it is.
        """
        index = await self._manifest(registry, copy.source)
        if not index.is_index:
            return copy, index.digest, index
        made = subset(index, copy.subset, name=str(copy.source))
        return replace(copy, index=index.digest), made.digest, None

    async def _manifest(self, registry: Registry, source: Ref) -> Manifest:
        try:
            if source.digest is not None:
                return await manifest_of(self._journal, registry, source.repository, source.digest)
            return await manifest_at(self._journal, registry, source.repository, source.reference)
        except NotFound:
            raise _no_image(source) from None


def _is_same_tag(one: Ref, other: Ref) -> bool:
    return (one.name, one.tag) == (other.name, other.tag)


def _itself(source: Ref) -> Failure:
    """What becomes of a copy that would replace what it copies from."""
    text = f"{source.name}:{source.tag} would be overwritten with a part of itself"
    return Failure.of(ImageError(text, hint="give the mapping another 'to', or leave out the platform"))


def _ref(endpoint: Endpoint, name: str) -> Ref:
    """The repository ``name`` at an endpoint; ValueError when that is not a legal one."""
    return Ref.of(endpoint.host, f"{endpoint.prefix}/{name}" if endpoint.prefix else name)


def _is_told_by_tag(copy: Copy) -> bool:
    """Whether what a tag points at is all that is to be found out at the source."""
    return copy.source.digest is None and not copy.platforms and not copy.subset


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


def _no_image(source: Ref) -> NotFound:
    return NotFound(f"there is no image {source}", hint="check name and tag; it may have been deleted")


def _names(task: Task, rule: Rule, name: str) -> tuple[Ref, tuple[Ref, ...]]:
    """The repository at the source and at each target; ImageError where the mapping makes an illegal name."""
    try:
        source = _ref(task.source, name)
    except ValueError as error:
        raise ImageError(str(error), hint=f"mend 'from' at {rule.where}") from None
    try:
        return source, tuple(_ref(target, rule.rewrite.apply(name)) for target in task.targets)
    except ValueError as error:
        raise ImageError(str(error), hint=f"mend 'to' at {rule.where}: it makes this out of {name!r}") from None


def _failed(task: Task, rule: Rule, source: Ref, error: DregsyError) -> Outcome:
    copy = Copy(task.name, source, (), (), rule.platforms, rule.where, rule.subset)
    return Outcome(copy, None, Status.FAILED, failure=Failure.of(error))


def _child(index: Manifest, copy: Copy) -> Digest:
    """The entry of an index that fits the platform asked for."""
    position = choose(copy.platforms[0], [child.platform for child in index.children])
    if position is None:
        raise ImageError(f"{copy.source} has no image for {copy.platforms[0]}", hint=f"it has: {offers(index)}")
    return index.children[position].digest


async def _check_platform(
    contents: Contents, registry: Registry, copy: Copy, manifest: Manifest, wanted: Platform
) -> None:
    """Refuse an image without an index whose config names another platform (OCI image spec, Configuration)."""
    config = await read_config(contents, registry, copy.source.repository, manifest)
    try:
        offer = Platform(str(config["os"]), str(config["architecture"]), str(config.get("variant") or ""))
    except KeyError:
        return  # an artifact's config names no platform: then there is none to be wrong
    if choose(wanted, [offer]) is None:
        raise ImageError(f"{copy.source} has no image for {wanted}", hint=f"it has: {offer}")
