"""Platforms of images and which of an index's entries fits one (OCI image index spec; containerd's rules)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
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
_V8 = 8
_V9 = 9
_V9_AHEAD = 5
"""v9.0 can do what v8.5 can, v9.1 what v8.6 can, and so on."""
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
        """Platforms that run on this one, the best first, as containerd orders them.

        A processor runs what is made for older ones; arm64 then also runs 32-bit arm, and amd64 runs 386.
        """
        own = self.normalized()
        variants = [own.variant, *_older(own.architecture, own.variant)]
        accepted = tuple(replace(own, variant=variant) for variant in dict.fromkeys(variants))
        if own.architecture == "arm64":
            accepted += replace(own, architecture="arm", variant="v8").accepted()
        if own.architecture == "amd64":
            accepted += (replace(own, architecture="386", variant=""),)
        return accepted

    def __str__(self) -> str:
        text = f"{self.os}/{self.architecture}"
        text = f"{text}/{self.variant}" if self.variant else text
        return f"{text} ({self.os_version})" if self.os_version else text


def _older(architecture: str, variant: str) -> list[str]:
    """Variants of an architecture whose images run on another one, the newest first; "" is the oldest."""
    major, minor = _numbers(variant)
    match architecture:
        case "arm":
            return _ARM_VARIANTS[_ARM_VARIANTS.index(variant) :] if variant in _ARM_VARIANTS else []
        case "amd64":
            return [*(f"v{one}" for one in range(major - 1, 1, -1)), ""]
        case "arm64" if major == _V9:
            first = [f"v{_V9}.{one}" if one else f"v{_V9}" for one in reversed(range(minor))]
            return [*first, *(f"v{_V8}.{one}" for one in range(minor + _V9_AHEAD, 0, -1)), ""]
        case "arm64" if major == _V8:
            return [*(f"v{_V8}.{one}" for one in range(minor - 1, 0, -1)), ""]
    return [""]


def _numbers(variant: str) -> tuple[int, int]:
    """The numbers of ``v9.2`` or ``v3``; zeros where there are none."""
    major, dot, minor = variant.removeprefix("v").partition(".")
    digits = {major, minor} if dot else {major}
    if variant[:1] != "v" or not digits <= set("0123456789"):
        return 0, 0
    return int(major), int(minor or 0)


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
