"""Platforms of images and which of an index's entries fits one (OCI image index spec; containerd's rules)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "armhf": "arm",
    "armel": "arm",
}
_ARM_VARIANTS = ("v8", "v7", "v6", "v5")


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
        parts = text.strip().lower().split("/")
        if len(parts) not in {2, 3} or not all(parts):
            raise ValueError(f"a platform is written os/architecture or os/architecture/variant, not {text[:100]!r}")
        return cls(*parts).normalized()

    def normalized(self) -> Self:
        """The one spelling of this platform: aarch64 is arm64, arm64/v8 is arm64, arm is arm/v7."""
        architecture = _ARCHITECTURES.get(self.architecture, self.architecture)
        variant = {"armhf": "v7", "armel": "v6"}.get(self.architecture, self.variant)
        if variant.isdigit():
            variant = f"v{variant}"
        if architecture == "arm64" and variant == "v8":
            variant = ""
        if architecture == "arm" and not variant:
            variant = "v7"
        if architecture == "amd64" and variant == "v1":
            variant = ""
        return type(self)(self.os, architecture, variant, self.os_version)

    def accepted(self) -> tuple[Self, ...]:
        """Platforms that run on this one, the best first: an arm/v7 machine also runs arm/v6 and arm/v5."""
        own = self.normalized()
        if own.architecture == "arm" and own.variant in _ARM_VARIANTS:
            variants = _ARM_VARIANTS[_ARM_VARIANTS.index(own.variant) :]
        elif own.architecture == "arm64" and not own.variant:
            return (own, *type(self)(own.os, "arm", "v8", own.os_version).accepted())
        else:
            variants = (own.variant,)
        return tuple(type(self)(own.os, own.architecture, variant, own.os_version) for variant in variants)

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
