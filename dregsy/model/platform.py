"""Platforms of images and which of an index's entries fits one (OCI image index spec; containerd's rules)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from dregsy.model import pattern

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "armhf": "arm",
    "armel": "arm",
}
_VARIANTS = {"armhf": "v7", "armel": "v6"}
_PLAIN = {("arm", ""): "v7", ("arm64", "v8"): "", ("amd64", "v1"): ""}
_ARM_VARIANTS = ["v8", "v7", "v6", "v5"]
_AMD64_VARIANTS = {("amd64", "v4"): ("v3", "v2"), ("amd64", "v3"): ("v2",)}
_WORD = pattern.compile_whole(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """An operating system, a processor architecture and, for some, a variant and an OS version."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``os/architecture[/variant]``; ValueError for anything else."""
        parts = text.strip().split("/")
        if len(parts) not in {2, 3} or not all(map(_WORD, parts)):
            raise ValueError(f"a platform is written os/architecture or os/architecture/variant, not {text[:100]!r}")
        return cls(*parts).normalized()

    def normalized(self) -> Self:
        """The one spelling of this platform: aarch64 is arm64, arm64/v8 is arm64, arm is arm/v7."""
        named = self.architecture.lower()
        architecture = _ARCHITECTURES.get(named, named)
        variant = _VARIANTS.get(named, self.variant.lower())
        if variant.isdecimal():
            variant = f"v{variant}"
        variant = _PLAIN.get((architecture, variant), variant)
        return type(self)(self.os.lower(), architecture, variant, self.os_version)

    def accepted(self) -> tuple[Self, ...]:
        """Platforms that run on this one, the best first: an arm/v7 machine also runs arm/v6 and arm/v5."""
        own = self.normalized()
        variants = [own.variant]
        if own.architecture == "arm":
            if own.variant in _ARM_VARIANTS:
                variants = _ARM_VARIANTS[_ARM_VARIANTS.index(own.variant) :]
        elif own.variant:
            variants += [*_AMD64_VARIANTS.get((own.architecture, own.variant), ()), ""]
        accepted = tuple(type(self)(own.os, own.architecture, variant, own.os_version) for variant in variants)
        if own.architecture == "arm64":
            accepted += type(self)(own.os, "arm", "v8", own.os_version).accepted()
        return accepted

    def __str__(self) -> str:
        text = f"{self.os}/{self.architecture}"
        text = f"{text}/{self.variant}" if self.variant else text
        return f"{text} ({self.os_version})" if self.os_version else text


def choose(wanted: Platform, offered: Iterable[Platform | None]) -> int | None:
    """Return the position of the offer that fits ``wanted`` best, or None when none does.

    Among equal offers the first wins. An OS version is compared only where ``wanted`` names one.
    """
    positions: dict[Platform, int] = {}
    for position, platform in enumerate(offered):
        if platform is not None:
            own = platform.normalized()
            version = own.os_version if wanted.os_version else ""
            positions.setdefault(Platform(own.os, own.architecture, own.variant, version), position)
    return next((positions[one] for one in wanted.accepted() if one in positions), None)
