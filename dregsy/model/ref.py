"""References to images: host, repository, tag and digest (distribution's reference grammar)."""

import string
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Self

from dregsy.model import pattern
from dregsy.model.digest import Digest

DOCKER_HUB = "docker.io"
HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
HUB_API_NAME = "registry.hub.docker.com"
"""Another name of Docker Hub's registry, which is left as it is in references."""
Place = tuple[str, str, str | None]

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?"
_HOST = pattern.compile_search(rf"(?:({_LABEL}(?:\.{_LABEL})*)|\[([0-9a-fA-F:.]+)\])(?::([0-9]{{1,5}}))?")
_HOST_LIMIT = 253  # DNS resolves no longer name
_HIGHEST_PORT = 65535
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = pattern.compile_whole(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_REPOSITORY_LIMIT = 255
_TAG_CHARACTERS = frozenset(string.ascii_letters + string.digits + "._-")
_TAG_LIMIT = 128


@dataclass(frozen=True, slots=True)
class Ref:
    """Names an image in a registry, or a repository where both tag and digest are missing.

    With both a tag and a digest the digest says which image is meant, and the tag what it is called.
    """

    host: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``[host[:port]/]repository[:tag][@digest]``; ValueError says what is wrong.

        A first component with neither ``.`` nor ``:`` that is not ``localhost`` belongs to the
        repository, and the host is then docker.io, as docker has it.
        """
        rest, at, digest = text.partition("@")
        first, slash, path = rest.partition("/")
        if not slash or not (("." in first) or (":" in first) or first == "localhost" or first[:1] == "["):
            first, path = DOCKER_HUB, rest
        path, colon, tag = path.partition(":")
        ref = cls.of(first, path)
        if colon and not is_tag(tag):
            raise ValueError(f"not a legal tag: {tag[:160]!r} in {text[:300]!r}")
        return replace(ref, tag=tag if colon else None, digest=Digest.parse(digest) if at else None)

    @classmethod
    def of(cls, host: str, repository: str) -> Self:
        """Build the reference of a repository; checks both parts and applies Docker Hub's short names."""
        if not is_host(host):
            raise ValueError(f"not a legal registry host: {host[:300]!r}")
        if host in HUB_NAMES:
            host = DOCKER_HUB
            repository = repository if "/" in repository else f"library/{repository}"
        if not is_repository(repository):
            raise ValueError(
                f"not a legal repository name: {repository[:300]!r} (lower-case letters and digits,"
                " with '.', '_', '__' or '-' between them and '/' between parts)"
            )
        return cls(host, repository)

    @property
    def reference(self) -> str:
        """What the registry's manifest URLs end in: the digest if there is one, else the tag."""
        if self.digest is not None:
            return str(self.digest)
        if self.tag is None:
            raise ValueError(f"{self} names a repository, not an image")
        return self.tag

    @property
    def name(self) -> str:
        """Host and repository, without tag and digest."""
        return f"{self.host}/{self.repository}"

    @property
    def place(self) -> Place:
        """Host, repository and tag: equal for all spellings of one place, as far as a spelling tells."""
        host = _spelled(self.host)
        if host not in HUB_NAMES | {HUB_API_NAME}:
            return host, self.repository, self.tag
        return DOCKER_HUB, self.of(DOCKER_HUB, self.repository).repository, self.tag

    def with_tag(self, tag: str | None, digest: Digest | None = None) -> Self:
        """The same repository under another tag and digest."""
        return type(self)(self.host, self.repository, tag, digest)

    def __lt__(self, other: Self) -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[str, str, str, str]:
        return self.host, self.repository, self.tag or "", str(self.digest or "")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.name}{tag}{digest}"


@lru_cache(maxsize=1024)
def _spelled(host: str) -> str:
    """The usual spelling of a host; one text for all tags, which there may be many of."""
    return host.lower().removesuffix(":443")


def is_host(text: str) -> bool:
    """Tell whether ``text`` is a host name, an IPv4 or a bracketed IPv6 address, with or without a port."""
    match = _HOST.fullmatch(text) if text.isascii() else None
    if match is None:
        return False
    name, address, port = match.group(1), match.group(2), match.group(3)
    if address is not None:
        try:
            IPv6Address(address)
        except ValueError:
            return False
    return len(name or "") <= _HOST_LIMIT and (port is None or 0 < int(port) <= _HIGHEST_PORT)


def is_repository(name: str) -> bool:
    """Tell whether ``name`` is a legal repository name (OCI distribution spec, Pulling manifests)."""
    return len(name) <= _REPOSITORY_LIMIT and _REPOSITORY(name)


def is_tag(text: str) -> bool:
    """Tell whether ``text`` is a legal tag (OCI distribution spec, Pulling manifests)."""
    return 0 < len(text) <= _TAG_LIMIT and text[0] not in ".-" and _TAG_CHARACTERS.issuperset(text)
