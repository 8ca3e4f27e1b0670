"""Whether an image is whole at a registry: its manifests, all they list, and every blob, found by asking only there.

What a part was found to be is remembered, so that each is looked at once in each repository, however many
tags share it. Faults are values: what could not be looked at is one of them.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import TypeVar
from weakref import WeakValueDictionary

from dregsy.errors import DigestMismatch, DregsyError, ImageError, NotFound, RegistryError, Unauthorized
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import MANIFEST_TYPES, UNKNOWN_SIZE, Descriptor, Manifest
from dregsy.model.ref import Ref
from dregsy.registry.client import Registry
from dregsy.registry.pool import Registries

_DEPTH = 8
"""Indexes within indexes beyond this are no image."""
_PARTS = 20_000
"""Nor are manifests with more entries."""
_WIDTH = 16
"""How many parts of one manifest are looked at at once; the registries' own limits come on top."""
_NO_HEAD = frozenset({405, 501})
_CANNOT = frozenset({400, 500})
"""What a registry answers that has something, and cannot read it."""
_HIDDEN = "the login is good, and the registry refuses all the same, as some do with what is not there"
_MOST = 50_000
"""How many parts are remembered, those that were looked at last; that takes about 20 MB."""


class Flaw(StrEnum):
    """What is wrong with a part."""

    MISSING = "missing"
    WRONG = "wrong"
    """It is there, and not what its digest promises."""
    UNREADABLE = "unreadable"
    """The registry says that it cannot give it."""
    UNKNOWN = "unknown"
    """It could not be looked at: no login, no answer."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A part of an image that is not there as it should be.

    ``part`` is None for the tag itself. ``path`` are the manifests from the tag's down to the one that lists the part.
    """

    flaw: Flaw
    what: str
    part: Digest | None = None
    path: tuple[Digest, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        """Say it in a few words, with the manifest that lists the part where that is not the tag's own."""
        named = self.what if self.part is None else f"{self.what} {self.part}"
        listed = f" (listed in {self.path[-1]})" if len(self.path) > 1 else ""
        return f"{named} is {self.flaw}{listed}" + (f": {self.reason}" if self.reason else "")


Faults = tuple[Fault, ...]
_T = TypeVar("_T")
_Key = tuple[str, str, Digest]


def anew(faults: Iterable[Fault]) -> tuple[Digest, ...]:
    """Return what has to be written whatever a registry says: parts that are wrong, and all that leads to any part."""
    digests: dict[Digest, None] = {}
    for fault in faults:
        digests.update(dict.fromkeys(fault.path))
        if fault.part is not None and fault.flaw is not Flaw.MISSING:
            digests[fault.part] = None
    return tuple(digests)


class Inspector:
    """Looks at images where they are; ``deep`` reads and hashes every byte, else blobs are asked for by HEAD.

    ``hidden`` is what a tag counts as that a registry refuses to a good login: Artifactory does so where there is none,
    and every registry where the login may only write. Below a tag that can be read the former is the case.
    """

    def __init__(self, registries: Registries, *, deep: bool = False, hidden: Flaw = Flaw.UNKNOWN) -> None:
        self._registries = registries
        self._deep = deep
        self._hidden = hidden
        self._found: OrderedDict[_Key, Faults] = OrderedDict()
        self._locks: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()

    async def faults(self, endpoint: Endpoint, ref: Ref, wanted: Digest | None = None) -> Faults:
        """Return all that is wrong with the image at ``ref``, in the order of its manifests; nothing if it is whole.

        With ``wanted``, any other image there is wrong.
        """
        registry = self._registries.at(endpoint)
        try:
            found = await registry.head_manifest(ref.repository, ref.reference)
        except DregsyError as error:
            return (_fault(error, "the tag" if ref.tag else "the image", hidden=self._hidden),)
        if found is None:
            return (Fault(Flaw.MISSING, "the tag" if ref.tag else "the image"),)
        if wanted is not None and wanted.algorithm == found.digest.algorithm and wanted != found.digest:
            reason = f"it is {found.digest} there, and not {wanted}"
            return (Fault(Flaw.WRONG, "the tag" if ref.tag else "the image", reason=reason),)
        return await self._manifest(registry, ref.repository, found.digest, 0)

    def forget(self, endpoint: Endpoint, repository: str, faults: Iterable[Fault]) -> None:
        """Look again, when next asked, at parts that were found at fault, and at the manifests above them."""
        for fault in faults:
            for digest in (*fault.path, *([fault.part] if fault.part else [])):
                self._found.pop((endpoint.api_host, repository, digest), None)

    def finish(self) -> None:
        """Forget everything."""
        self._found.clear()

    async def _once(self, key: _Key, look: Callable[[], Awaitable[Faults]]) -> Faults:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        async with lock:
            found = self._found.get(key)
            if found is None:
                found = self._found[key] = await look()
            self._found.move_to_end(key)
            if len(self._found) > _MOST:
                self._found.popitem(last=False)
            return found

    async def _manifest(self, registry: Registry, repository: str, digest: Digest, depth: int) -> Faults:
        key = (registry.endpoint.api_host, repository, digest)
        return await self._once(key, partial(self._below, registry, repository, digest, depth))

    async def _below(self, registry: Registry, repository: str, digest: Digest, depth: int) -> Faults:
        """Read a manifest and look at all that it lists."""
        try:
            manifest = await _surely(partial(registry.get_manifest, repository, str(digest)))
        except DregsyError as error:
            return (_fault(error, "manifest", digest),)
        children, blobs = _parts(manifest)
        if depth > _DEPTH or len(children) + len(blobs) > _PARTS:
            return (Fault(Flaw.WRONG, "manifest", digest, reason="it lists more than any image has"),)
        faults = await _all(
            [
                *(partial(self._manifest, registry, repository, child, depth + 1) for child in children),
                *(partial(self._blob, registry, repository, blob, _word(manifest, blob)) for blob in blobs),
            ]
        )
        return tuple(replace(fault, path=(digest, *fault.path)) for fault in faults)

    async def _blob(self, registry: Registry, repository: str, blob: Descriptor, what: str) -> Faults:
        key = (registry.endpoint.api_host, repository, blob.digest)
        return await self._once(key, partial(self._bytes, registry, repository, blob, what))

    async def _bytes(self, registry: Registry, repository: str, blob: Descriptor, what: str) -> Faults:
        try:
            size = await _size(registry, repository, blob.digest)
            if size is None:
                return (Fault(Flaw.MISSING, what, blob.digest),)
            if UNKNOWN_SIZE not in {size, blob.size} and size != blob.size:
                reason = f"it should have {blob.size} bytes, and has {size}"
                return (Fault(Flaw.WRONG, what, blob.digest, reason=reason),)
            if self._deep:
                await _surely(partial(_read, registry, repository, blob))
        except NotFound:
            return (Fault(Flaw.WRONG, what, blob.digest, reason="the registry says that it has it, and has not"),)
        except DregsyError as error:
            return (_fault(error, what, blob.digest),)
        return ()


def _parts(manifest: Manifest) -> tuple[tuple[Digest, ...], tuple[Descriptor, ...]]:
    """Return the manifests and the blobs that must be there for ``manifest``, each once.

    BuildKit's caches list layers where an index has manifests; foreign layers are at no registry.
    """
    children: dict[Digest, None] = {}
    blobs = {blob.digest: blob for blob in manifest.blobs}
    for entry in manifest.children:
        if not entry.media_type or entry.media_type in MANIFEST_TYPES:
            children[entry.digest] = None
        else:
            blobs[entry.digest] = entry
    return tuple(children), tuple(blob for blob in blobs.values() if not blob.is_foreign)


def _word(manifest: Manifest, blob: Descriptor) -> str:
    return "config" if manifest.config is not None and blob.digest == manifest.config.digest else "layer"


async def _all(looks: Sequence[Callable[[], Awaitable[Faults]]]) -> list[Fault]:
    """Take all looks, some at a time, and return what they found in their order."""
    found: dict[int, Faults] = {}
    waiting = iter(enumerate(looks))

    async def worker() -> None:
        for position, look in waiting:
            if faults := await look():
                found[position] = faults

    async with asyncio.TaskGroup() as group:
        for _ in range(min(_WIDTH, len(looks))):
            group.create_task(worker())
    return [fault for position in sorted(found) for fault in found[position]]


async def _read(registry: Registry, repository: str, blob: Descriptor) -> None:
    async with registry.read_blob(repository, blob) as stream:
        async for _ in stream.chunks:
            pass


async def _size(registry: Registry, repository: str, digest: Digest) -> int | None:
    """Ask how large a blob is; None when it is not there. Where HEAD is not allowed it is read."""
    try:
        return await registry.blob_size(repository, digest)
    except RegistryError as error:
        if error.status not in _NO_HEAD:
            raise
    try:
        await _surely(partial(_read, registry, repository, Descriptor("", digest, UNKNOWN_SIZE)))
    except NotFound:
        return None
    return UNKNOWN_SIZE


async def _surely(read: Callable[[], Awaitable[_T]]) -> _T:
    """Read, once more where bytes came out wrong: what they came by may be at fault, and not what is stored."""
    try:
        return await read()
    except RegistryError as error:
        if not error.retryable:
            raise
    return await read()


def _fault(error: DregsyError, what: str, part: Digest | None = None, hidden: Flaw = Flaw.MISSING) -> Fault:
    """Say what an error means for a part: only what the registry said of it is a flaw of its own."""
    match error:
        case NotFound():
            return Fault(Flaw.MISSING, what, part)
        case Unauthorized(knows_us=True) if hidden is not Flaw.UNKNOWN:
            return Fault(hidden, what, part, reason=_HIDDEN)
        case DigestMismatch() | ImageError():
            return Fault(Flaw.WRONG, what, part, reason=error.message)
        case RegistryError(status=status) if status in _CANNOT:
            flaw = Flaw.UNREADABLE
        case _:
            flaw = Flaw.UNKNOWN
    return Fault(flaw, what, part, reason=str(error))
