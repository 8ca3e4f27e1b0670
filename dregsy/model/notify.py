"""Who is told how tasks ended, of what, and by which way. Data only; addresses that are secrets are masked."""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from dregsy.model.endpoint import Secret


class Occasion(StrEnum):
    """What is worth telling."""

    FAILURE = "failure"
    """Images failed."""
    RECOVERY = "recovery"
    """A run left nothing undone, after one that failed."""
    CHANGE = "change"
    """Images were copied."""


class Security(StrEnum):
    """How a connection to a mail server is kept secret."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"

    @property
    def port(self) -> int:
        """The usual port (RFC 6409, RFC 8314)."""
        return {Security.STARTTLS: 587, Security.TLS: 465, Security.NONE: 25}[self]


@dataclass(frozen=True, slots=True)
class Webhook:
    """An http or https address that takes JSON of ours; with a ``secret`` each message is signed."""

    url: Secret
    secret: Secret | None = None

    @property
    def name(self) -> str:
        """What to call it in front of users: the host alone, since the rest may be a secret."""
        return f"webhook {place(self.url)}"


@dataclass(frozen=True, slots=True)
class Slack:
    """An incoming webhook of Slack, or of what takes the same: Mattermost, Rocket.Chat."""

    url: Secret

    @property
    def name(self) -> str:
        """What to call it in front of users: the host alone, since the path is a secret."""
        return f"slack {place(self.url)}"


@dataclass(frozen=True, slots=True)
class Email:
    """A mail server, and who writes to whom; without ``username`` there is no login."""

    host: str
    port: int
    security: Security
    sender: str
    recipients: tuple[str, ...]
    username: str = ""
    password: Secret | None = None

    @property
    def name(self) -> str:
        """What to call it in front of users."""
        return f"email {self.place}"

    @property
    def place(self) -> str:
        """The server's host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Channel = Webhook | Slack | Email


@dataclass(frozen=True, slots=True)
class Subscription:
    """A channel, and on what occasions it is used; what stays the same is told again after ``repeat`` seconds."""

    channel: Channel
    on: frozenset[Occasion] = frozenset({Occasion.FAILURE, Occasion.RECOVERY})
    repeat: float = 86400.0


def place(url: Secret) -> str:
    """Return host and port of a URL."""
    return urlsplit(url.reveal()).netloc.rpartition("@")[2]
