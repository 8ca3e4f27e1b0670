"""What a task means right now: which images there are, and which targets lack them."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

from dregsy.errors import DregsyError, ImageError, NotFound
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import DOCKER_MANIFEST, OCI_MANIFEST, Manifest
from dregsy.model.plan import Copy, Rule, Task
from dregsy.model.platform import Platform, choose
from dregsy.model.ref import Ref
from dregsy.model.report import Decision, Failure, Outcome, Reason, Status, Warned
from dregsy.registry.client import Registry
from dregsy.registry.inventory import Inventories
from dregsy.registry.listing import Listings
from dregsy.registry.pool import Registries

_CONFIG_LIMIT = 8 * 2**20


class Resolver:
    """Turns rules into copies, and copies into decisions. Reads from registries, never writes."""

    def __init__(self, registries: Registries, listings: Listings, inventories: Inventories | None = None) -> None:
        self._registries = registries
        self._listings = listings
        self._inventories = inventories or Inventories(registries)

    async def copies(self, task: Task) -> AsyncGenerator[Copy | Outcome | Warned, None]:
        """Give every image that the task's rules mean now, in the order of the rules.

        What cannot be found out is given as a failed Outcome, and does not stop the rest. This begins a
        run; ``finish`` ends it.
        """
        self._inventories.start()
        for rule in task.rules:
            try:
                repositories, listed = await self._repositories(task, rule)
            except DregsyError as error:
                yield _failed(task, rule, Ref(task.source.host, task.source.prefix or "*"), error)
                continue
            if listed == task.listing.limit:
                text = f"the list of {task.source.host}'s repositories is cut after {listed}: more may match"
                yield Warned(task.name, f"{rule.where}: {text} — raise 'lister.maxItems'")
            if not repositories:
                yield Warned(task.name, f"{rule.where}: 'from' matches no repository of {task.source.host}")
            for repository in repositories:
                async for item in self._of_repository(task, rule, repository):
                    yield item

    async def _repositories(self, task: Task, rule: Rule) -> tuple[tuple[str, ...], int]:
        """The repositories that a rule means, and how many were listed to find them."""
        if rule.source.fixed is not None:
            return (rule.source.fixed,), 0
        listed = await self._listings.repositories(task.source, task.listing)
        return tuple(name for name in listed if rule.source.matches(name)), len(listed)

    async def _of_repository(self, task: Task, rule: Rule, name: str) -> AsyncGenerator[Copy | Outcome | Warned, None]:
        try:
            source = _ref(task.source, name)
        except ValueError as error:
            yield _failed(
                task, rule, Ref(task.source.host, name), ImageError(str(error), hint=f"mend 'from' at {rule.where}")
            )
            return
        try:
            targets = tuple(_ref(target, rule.rewrite.apply(name)) for target in task.targets)
        except ValueError as error:
            hint = f"mend 'to' at {rule.where}: it makes this out of {name!r}"
            yield _failed(task, rule, source, ImageError(str(error), hint=hint))
            return
        try:
            listed = await self._registries.at(task.source).tags(source.repository) if rule.tags.needs_listing else []
        except DregsyError as error:
            yield _failed(task, rule, source, error)
            return
        picks = rule.tags.select(listed)
        if not picks:
            yield Warned(task.name, f"{rule.where}: 'tags' selects none of the {len(listed)} tags of {source}")
        copies = [
            Copy(
                task=task.name,
                source=source.with_tag(pick.tag, pick.digest),
                targets=tuple(target.with_tag(pick.tag, None if pick.tag else pick.digest) for target in targets),
                to=tuple(range(len(targets))),
                platforms=rule.platforms,
                where=rule.where,
            )
            for pick in picks
        ]
        self._expect(task, copies)
        for copy in copies:
            yield copy

    def _expect(self, task: Task, copies: Sequence[Copy]) -> None:
        """Prepare for the questions that ``decide`` will have about images of one source repository."""
        sources = [copy.source for copy in copies if _is_told_by_tag(copy)]
        asked = [(task.source, sources)]
        asked += [(task.targets[to], [copy.targets[to] for copy in copies]) for to in range(len(task.targets))]
        for endpoint, refs in asked:
            for repository in {ref.repository for ref in refs}:
                tags = {ref.tag for ref in refs if ref.repository == repository and ref.tag is not None}
                self._inventories.expect(endpoint, repository, tags)

    def finish(self) -> int:
        """Forget what was read for a run; return how many requests it was spared by lists of digests."""
        return self._inventories.finish()

    async def decide(self, task: Task, copy: Copy) -> Decision:
        """Compare source and targets. The copy in the answer carries the digest to be copied.

        An unchanged tag costs one HEAD at the source and one at each target, or nothing where a list of
        digests tells. A list never says what to copy: as soon as something is to be done, the source
        itself is asked. Raises a DregsyError when that cannot tell what is to be copied.
        """
        listed = await self._inventories.digest(task.source, copy.source) if _is_told_by_tag(copy) else None
        if listed is not None:
            decision = await self._against(task, copy, listed)
            if all(reason is Reason.CURRENT for reason in decision.reasons):
                self._inventories.saved(1)
                return decision
        registry = self._registries.at(task.source)
        digest, single = await self._wanted(registry, copy)
        if listed is None or listed != digest:
            if listed is not None:
                self._inventories.doubt(task.source, copy.source)
            decision = await self._against(task, copy, digest)
        if single is not None and {Reason.MISSING, Reason.CHANGED} & set(decision.reasons):
            await _check_platform(registry, copy, single)
        return decision

    async def _against(self, task: Task, copy: Copy, digest: Digest) -> Decision:
        """Compare the targets with the digest that they should have."""
        resolved = replace(copy, source=copy.source.with_tag(copy.source.tag, digest))
        if all(target.tag is None for target in copy.targets):
            resolved = replace(resolved, targets=tuple(target.with_tag(None, digest) for target in copy.targets))
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(self._compare(task.targets[to], target, digest))
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
            try:
                manifest = await registry.get_manifest(source.repository, source.reference)
            except NotFound:
                raise _no_image(source) from None
            if not manifest.is_index:
                return manifest.digest, manifest
            return _child(manifest, copy), None
        if source.digest is not None:
            return source.digest, None
        found = await registry.head_manifest(source.repository, source.reference)
        if found is None:
            raise _no_image(source)
        return found.digest, None

    async def _compare(self, endpoint: Endpoint, target: Ref, digest: Digest) -> Reason | Failure:
        if await self._inventories.digest(endpoint, target) == digest:
            self._inventories.saved(1)
            return Reason.CURRENT
        try:
            found = await self._registries.at(endpoint).head_manifest(target.repository, target.reference)
        except DregsyError as error:
            return Failure.of(error)
        if found is None:
            return Reason.MISSING
        return Reason.CURRENT if found.digest == digest else Reason.CHANGED


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
    return copy.source.digest is None and not copy.platforms


def _no_image(source: Ref) -> NotFound:
    return NotFound(f"there is no image {source}", hint="check name and tag; it may have been deleted")


def _failed(task: Task, rule: Rule, source: Ref, error: DregsyError) -> Outcome:
    copy = Copy(task.name, source, targets=(), to=(), platforms=rule.platforms, where=rule.where)
    return Outcome(copy, None, Status.FAILED, failure=Failure.of(error))


def _child(index: Manifest, copy: Copy) -> Digest:
    """The entry of an index that fits the platform asked for."""
    offers = [child.platform for child in index.children]
    position = choose(copy.platforms[0], offers)
    if position is None:
        has = ", ".join(str(offer) for offer in offers if offer and offer.os != "unknown") or "none that is named"
        raise ImageError(f"{copy.source} has no image for {copy.platforms[0]}", hint=f"it has: {has}")
    return index.children[position].digest


async def _check_platform(registry: Registry, copy: Copy, manifest: Manifest) -> None:
    """Refuse an image without an index whose config names another platform (OCI image spec, Configuration)."""
    if manifest.config is None or manifest.media_type not in {OCI_MANIFEST, DOCKER_MANIFEST}:
        return
    if manifest.config.size > _CONFIG_LIMIT:
        raise ImageError(f"the config of {copy.source} has more than {_CONFIG_LIMIT} bytes")
    async with registry.read_blob(copy.source.repository, manifest.config) as stream:
        raw = b"".join([chunk async for chunk in stream.chunks])
    try:
        config: Any = json.loads(raw)
        offer = Platform(str(config["os"]), str(config["architecture"]), str(config.get("variant") or ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return  # an artifact's config names no platform: then there is none to be wrong
    if choose(copy.platforms[0], [offer]) is None:
        raise ImageError(f"{copy.source} has no image for {copy.platforms[0]}", hint=f"it has: {offer}")
