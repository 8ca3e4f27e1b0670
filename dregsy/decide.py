"""What is to be done about an image: its digest at the source, and whether targets have that already."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from dregsy.errors import ImageError, NotFound
from dregsy.journal import Journal
from dregsy.model.digest import Digest
from dregsy.model.manifest import Manifest
from dregsy.model.plan import Copy, Task
from dregsy.model.platform import Platform, choose
from dregsy.model.ref import Ref
from dregsy.model.report import Decision, Failure, Reason
from dregsy.model.subset import offers, subset
from dregsy.model.tagnames import tag_for
from dregsy.registry.client import Registry
from dregsy.registry.contents import Contents, manifest_at, manifest_of, no_image
from dregsy.registry.imageconfig import read_config
from dregsy.registry.imageid import image_id
from dregsy.registry.inventory import Inventories
from dregsy.registry.pool import Registries
from dregsy.targets import Targets

_log = logging.getLogger(__name__)


class Decider:
    """Compares images with their targets. Reads from registries, never writes.

    ``repacked`` is the platform of a relay that packs layers anew (``dregsy.relay.Repacking``).
    """

    def __init__(
        self,
        registries: Registries,
        inventories: Inventories,
        journal: Journal,
        repacked: Platform | None = None,
    ) -> None:
        self._registries = registries
        self._inventories = inventories
        self._journal = journal
        self._targets = Targets(registries, inventories, journal)
        self._repacked = repacked

    def start(self) -> None:
        """Begin a run: what was read before is old."""
        self._inventories.start()
        self._targets.start()

    def expect(self, task: Task, copies: Sequence[Copy]) -> None:
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
            copy, digest, manifest = await self._cut(registry, copy)
        else:
            digest, manifest = await self._wanted(registry, copy)
        if listed is None or listed != digest:
            if listed is not None:
                self._inventories.doubt(task.source, copy.source)
            decision = await self._against(task, copy, digest)
        if manifest is not None and {Reason.MISSING, Reason.CHANGED} & set(decision.reasons):
            for platform in copy.subset or copy.platforms:
                offer = await _offer(self._journal, registry, copy, manifest, platform)
                if offer and offer.normalized().architecture != platform.normalized().architecture:
                    _log.warning("%s has no image for %s: the one for %s is taken", copy.source, platform, offer)
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
            if one.result() is Reason.CHANGED and resolved.source.place == target.place
            else one.result()
            for one, target in zip(asked, resolved.targets, strict=True)
        )
        return Decision(resolved, reasons)

    async def _wanted(self, registry: Registry, copy: Copy) -> tuple[Digest, Manifest | None]:
        """The digest to copy; with it the manifest that was read, where a platform is asked for."""
        source = copy.source
        if copy.platforms:
            manifest = await self._manifest(registry, source)
            if not manifest.is_index:
                return manifest.digest, manifest
            return manifest.children[_position(manifest, copy, copy.platforms[0])].digest, manifest
        if source.digest is not None:
            return source.digest, None
        found = await registry.source_manifest(source.repository, source.reference)
        if found is None:
            raise no_image(source)
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
        return replace(copy, index=index.digest), made.digest, index

    async def _manifest(self, registry: Registry, source: Ref) -> Manifest:
        try:
            if source.digest is not None:
                return await manifest_of(self._journal, registry, source.repository, source.digest)
            return await manifest_at(self._journal, registry, source.repository, source.reference)
        except NotFound:
            raise no_image(source) from None


def _itself(source: Ref) -> Failure:
    """What becomes of a copy that would replace what it copies from."""
    text = f"{source.name}:{source.tag} would be overwritten with a part of itself"
    return Failure.of(ImageError(text, hint="give the mapping another 'to', or leave out the platform"))


def _is_told_by_tag(copy: Copy) -> bool:
    """Whether what a tag points at is all that is to be found out at the source."""
    return copy.source.digest is None and not copy.platforms and not copy.subset


def _position(index: Manifest, copy: Copy, wanted: Platform) -> int:
    """The place of the entry of an index that fits a platform best; ImageError when none does."""
    position = choose(wanted, [child.platform for child in index.children])
    if position is None:
        raise ImageError(f"{copy.source} has no image for {wanted}", hint=f"it has: {offers(index)}")
    return position


async def _offer(
    contents: Contents, registry: Registry, copy: Copy, manifest: Manifest, wanted: Platform
) -> Platform | None:
    """The platform of what is taken for another; None for an artifact, whose config names none.

    ImageError where an image without an index is for another one, as its config says (OCI image spec, Configuration).
    """
    if manifest.is_index:
        return manifest.children[_position(manifest, copy, wanted)].platform
    config = await read_config(contents, registry, copy.source.repository, manifest)
    try:
        offer = Platform(str(config["os"]), str(config["architecture"]), str(config.get("variant") or ""))
    except KeyError:
        return None
    if choose(wanted, [offer]) is None:
        raise ImageError(f"{copy.source} has no image for {wanted}", hint=f"it has: {offer}")
    return offer
