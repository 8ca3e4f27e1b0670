"""What a relay is: the page that the author of one reads, and how a relay is found by its name.

A relay moves one image from one source to its targets. It knows no tasks, filters, schedules or
retries: those are decided before, and for every relay alike. Relays are found by the entry-point
group ``dregsy.relays.v1``, those of this package and those of others through the same door.
"""

import difflib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import ClassVar, Protocol, Self, cast, runtime_checkable

from pydantic import BaseModel

from dregsy.credentials import Logins
from dregsy.errors import DregsyError, RelayUnavailable
from dregsy.journal import Journal
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy
from dregsy.model.platform import Platform
from dregsy.model.report import Listener, Moved
from dregsy.registry.pool import Registries

GROUP = "dregsy.relays.v1"


class Feature(StrEnum):
    """What a relay may be able to do, besides copying a tag: checked with the config, and before each copy."""

    ALL_PLATFORMS = "all-platforms"
    """Copies an index with all its images, byte for byte."""
    ONE_PLATFORM = "one-platform"
    """Copies one image out of an index."""
    SOME_PLATFORMS = "some-platforms"
    """Writes an index of some of an index's images: that of ``Copy.index`` which ``model.subset`` makes."""


@dataclass(frozen=True, slots=True)
class Public:
    """Marks a setting that goes where everybody can read it, such as a command line (``Annotated[…, Public()]``).

    A ``${…}`` in it is a problem of the config file: what is put in may be a secret.
    """


@dataclass(frozen=True, slots=True)
class Toolbox:
    """What a relay may use: registry clients, logins, a folder for large temporary files, a listener, and the journal.

    ``scratch`` exists and is private to this process; what a relay leaves there is removed after the run.
    ``timeout`` is the longest that one copy may take, in seconds.
    """

    registries: Registries
    logins: Logins
    scratch: Path
    emit: Listener
    timeout: float
    journal: Journal = field(default_factory=Journal)


class Relay(Protocol):
    """Moves images. One object lives for a whole run, so it may remember what it learned."""

    Settings: ClassVar[type[BaseModel]]
    """Its section of the config file, which is checked with everyone else's."""
    features: ClassVar[frozenset[Feature]]

    def __init__(self, settings: BaseModel, toolbox: Toolbox) -> None:
        """Take the checked settings; does nothing that could fail."""

    async def __aenter__(self) -> Self:
        """Prove that it works here, or raise RelayUnavailable: binary found, daemon answers."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of everything."""

    async def copy(self, copy: Copy, source: Endpoint, targets: Sequence[Endpoint]) -> Sequence[Moved | DregsyError]:
        """Bring ``copy.source`` to each of ``copy.targets``; ``targets`` are their registries, in order.

        Returns for each target what was moved, or why it does not have the image: a slow or broken
        target takes nothing from the others. Raises a DregsyError where the reason concerns them all.
        ``copy.source`` carries a digest: exactly that content is to be copied, and what the copy needs is
        among ``features``. A target without a tag gets the content alone. Once a target's tag is written,
        everything below it is there. When cancelled it stops, cleans up and lets the
        cancellation pass.
        """


def needs(copy: Copy) -> frozenset[Feature]:
    """Return what a relay must be able to do for ``copy``; that an image has several platforms nobody knows yet."""
    if copy.subset:
        return frozenset({Feature.SOME_PLATFORMS})
    return frozenset({Feature.ONE_PLATFORM}) if copy.platforms else frozenset()


@runtime_checkable
class Repacking(Protocol):
    """What a relay has besides that packs layers anew, so that what it writes has other digests than what it read.

    Whether a target has an image already is then told by the image's config, not by its digest.
    """

    @property
    def platform(self) -> Platform:
        """The platform whose image it takes out of an index where none is asked for; right once it was entered."""


def installed() -> Mapping[str, EntryPoint]:
    """Return the entry points of all relays that are installed, by name."""
    return _installed(tuple(sys.path))


@lru_cache(maxsize=1)
def _installed(path: tuple[str, ...]) -> Mapping[str, EntryPoint]:  # noqa: ARG001 - where the answer comes from
    """Ask once: all packages of the machine are looked through, which takes some 10 ms."""
    return MappingProxyType({point.name: point for point in sorted(entry_points(group=GROUP))})


def load(name: str) -> type[Relay]:
    """Return the relay class called ``name``; RelayUnavailable tells which there are, or what to install."""
    known = installed()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        hint = f"{guess}installed relays: {', '.join(known) or 'none'}"
        raise RelayUnavailable(f"there is no relay {name!r}", relay=name, hint=hint)
    point = known[name]
    try:
        return cast("type[Relay]", point.load())
    except (ImportError, AttributeError, SyntaxError, SystemExit) as error:
        package = point.dist.name if point.dist else "the package it comes from"
        raise RelayUnavailable(
            f"relay {name!r} cannot be loaded: {error}",
            relay=name,
            hint=f"reinstall it: pip install {package}",
        ) from error
