"""A registry as a task sees it: where it is, how to log in, what to trust. Data only; secrets are masked."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from dregsy.model.aws import Aws
from dregsy.model.ref import DOCKER_HUB, Ref

_HUB_API = "registry-1.docker.io"


class Secret:
    """A text that is shown to nobody by accident: ``reveal()`` it only where it goes on the wire.

    No dataclass, because ``dataclasses.asdict`` would take the text out.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"


@dataclass(frozen=True, slots=True)
class Login:
    """What to present to a registry: user name and password, an identity token, or nothing at all."""

    username: str = ""
    password: Secret | None = None
    identity_token: Secret | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether nothing is presented."""
        return self.password is None and self.identity_token is None


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Log in nowhere, whatever the environment holds (``auth: none``)."""


@dataclass(frozen=True, slots=True)
class Ambient:
    """Use docker's ``config.json`` and its credential helpers, else be anonymous."""


@dataclass(frozen=True, slots=True)
class Given:
    """The login that the config file holds."""

    login: Login


@dataclass(frozen=True, slots=True)
class EcrToken:
    """A token from AWS, fetched again after ``refresh`` seconds, or before it expires if that is sooner."""

    refresh: float


Credentials = Anonymous | Ambient | Given | EcrToken


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At least ``least`` pulls are to stay, 0 for no limit; with fewer, look again every ``retry`` seconds."""

    least: int = 0
    retry: float = 900.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A registry: ``host`` as the user wrote it (with port), the login, and what to trust.

    ``prefix`` is the path below which all its repositories live, without slashes at its ends.
    ``certs`` are certs.d folders, the first that has one for the host counts. ``verify`` off accepts
    any certificate, and plain http. ``private`` lets its answers lead to private addresses, though it has a public
    one. ``aws`` counts at AWS's registries only, ``rate_limit`` at sources.
    """

    host: str
    prefix: str = ""
    credentials: Credentials = Ambient()
    verify: bool = True
    private: bool = False
    certs: tuple[Path, ...] = ()
    aws: Aws = field(default=Aws())
    rate_limit: RateLimit = RateLimit()

    @property
    def whole(self) -> Self:
        """The same registry without a prefix, which all its repositories share."""
        return replace(self, prefix="") if self.prefix else self

    def ref(self, name: str) -> Ref:
        """Return the repository ``name`` below the prefix; ValueError when that is not a legal one."""
        return Ref.of(self.host, f"{self.prefix}/{name}" if self.prefix else name)

    @property
    def api_host(self) -> str:
        """The host that answers the registry's API; Docker Hub's has another name than its images."""
        return _HUB_API if self.host in {DOCKER_HUB, "index.docker.io"} else self.host
