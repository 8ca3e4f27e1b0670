"""Every error this project raises on purpose.

DregsyError                        message, hint, exit_code, kind
├── UsageError                     a wrong flag or argument
├── ConfigError                    problems: every Problem of the files, with file and line
├── Outdated                       what a plan file says is no longer so: an image or a target moved
├── CredentialsError               no usable login for a host
├── RegistryError                  method, url (without secrets), status, codes, retryable
│   ├── Unauthorized               401, or 403 with a token that lacks the scope
│   ├── NotFound                   404: no such repository, manifest, blob or upload
│   ├── RateLimited                429
│   ├── Unreachable                no connection: name, address, refusal, TLS, time-out
│   └── DigestMismatch             bytes that are not what their digest or size says
├── ImageError                     the image itself cannot be copied as asked (no such platform, too large …)
└── RelayError                     relay, output: the tail of what it printed
    ├── RelayUnavailable           binary missing, daemon down: fails the whole run at once
    └── RelayUnsupported           a mapping needs a feature this relay lacks
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self


def printable(text: str) -> str:
    """Return ``text`` with every control character but line ends and tabs written as an escape.

    Registries and tools have a say in messages: they must neither steer a terminal nor break a log.
    """
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode("ascii") for one in text
    )


class DregsyError(Exception):
    """An error to show to a user: ``message`` says what happened, ``hint`` what to do now."""

    kind: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = printable(message)
        self.hint = printable(hint)
        super().__init__(self.message)

    def retell(self, message: str) -> None:
        """Say it in other words, and forget the former ones."""
        self.message = printable(message)
        self.args = (self.message,)

    def afresh(self) -> Self:
        """Return the same error to be raised once more: an error that is raised twice keeps the trace of both times."""
        made = type(self).__new__(type(self), *self.args)
        vars(made).update(vars(self))
        return made

    def __str__(self) -> str:
        """The message and, on the same line, what to do now."""
        return f"{self.message} — {self.hint}" if self.hint else self.message


class UsageError(DregsyError):
    """A flag or argument that cannot be used as given."""

    kind = "usage"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a config file; never repeats the value, which may be a secret.

    ``line`` counts from 1; 0 stands for the file as a whole. A warning does not stop a run.
    """

    file: str
    line: int
    field: str
    message: str
    hint: str = ""
    warning: bool = False

    def __str__(self) -> str:
        """``file:line: field: message — hint``, leaving out what is not known."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        where = f"{place}: {self.field}: " if self.field else f"{place}: "
        return printable(where + (f"{self.message} — {self.hint}" if self.hint else self.message))


class ConfigError(DregsyError):
    """A config that cannot be run; ``problems`` holds all that was found, in file order."""

    kind = "config"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class Outdated(DregsyError):
    """What was planned is no longer what would be done: the config, an image or a target is not what it was."""

    kind = "outdated"


class CredentialsError(DregsyError):
    """No usable login for ``host``: a broken credentials file, a failing helper …."""

    kind = "credentials"

    def __init__(self, message: str, *, host: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.host = host


class RegistryError(DregsyError):
    """A registry answered something else than what was asked for (OCI distribution spec, Error Codes).

    ``url`` carries neither query nor user info. ``status`` is 0 where there was no answer.
    ``codes`` are the registry's own, such as MANIFEST_UNKNOWN. ``retryable`` tells whether the
    same request may well succeed a little later, ``retry_after`` in how many seconds, where the registry said so;
    inf where that is hours away.
    """

    kind = "registry"
    retry_after: float | None = None

    def __init__(  # noqa: PLR0913 - an error carries all that is known about it
        self,
        message: str,
        *,
        method: str = "",
        url: str = "",
        status: int = 0,
        codes: Sequence[str] = (),
        retryable: bool = False,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.method = method
        self.url = url
        self.status = status
        self.codes = tuple(codes)
        self.retryable = retryable


class Unauthorized(RegistryError):
    """The registry wants a login, or other rights than the login has.

    ``knows_us`` tells of the latter: there is a login, and the registry refuses only what was asked for.
    """

    kind = "unauthorized"
    knows_us = False


class NotFound(RegistryError):
    """The repository, manifest, blob or upload does not exist."""

    kind = "not-found"


class RateLimited(RegistryError):
    """The registry asks to slow down."""

    kind = "rate-limited"


class Unreachable(RegistryError):
    """There was no answer: the name, the address, the port, TLS or time stood in the way."""

    kind = "unreachable"


class DigestMismatch(RegistryError):
    """Bytes arrived which are not those that their digest or size promises."""

    kind = "digest-mismatch"


class ImageError(DregsyError):
    """The image exists, but cannot be copied in the way that was asked for."""

    kind = "image"


class RelayError(DregsyError):
    """A relay failed; ``output`` holds the last lines that its tool printed.

    ``retryable`` tells whether the same copy may well succeed a little later.
    """

    kind = "relay"

    def __init__(self, message: str, *, relay: str, output: str = "", retryable: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.relay = relay
        self.output = output
        self.retryable = retryable


class RelayUnavailable(RelayError):
    """The relay cannot work on this machine: no such relay, no binary, no daemon."""

    kind = "relay-unavailable"


class RelayUnsupported(RelayError):
    """The relay lacks a feature that a mapping needs."""

    kind = "relay-unsupported"
