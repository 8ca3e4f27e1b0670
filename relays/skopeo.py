"""The skopeo relay: one run of ``skopeo copy`` for each target, by digest, checked at the target afterwards.

Logins reach skopeo in open files that have no name on any disk, never on a command line. What skopeo prints
when it fails becomes the error.
"""

import asyncio
import base64
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Annotated, ClassVar, Self
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dregsy.child import Program
from dregsy.errors import DigestMismatch, DregsyError, RelayError, RelayUnavailable, Unauthorized
from dregsy.model.endpoint import Endpoint, Login
from dregsy.model.plan import Copy
from dregsy.model.ref import Ref
from dregsy.model.report import Moved, RelaySaid
from dregsy.registry.addresses import is_loopback
from dregsy.registry.complaints import explain, redact
from dregsy.relay import Feature, Public, Toolbox

NAME = "skopeo"
PROBE_SECONDS = 10.0
"""How long skopeo may take to tell its version and options."""

_OUTPUT_LIMIT = 64 * 2**10
_LINES_KEPT = 10
_PRESERVE = "--preserve-digests"
_PASSED_NAMES = frozenset({"PATH", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"})
_PASSED_NAMES_IN_ANY_CASE = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})
_PASSED_PREFIXES = ("XDG_", "CONTAINERS_", "_CONTAINERS_")
_LOGIN_OPTIONS = ("-creds", "-username", "-password", "-registry-token", "-authfile")
_POLICIES = ("~/.config/containers/policy.json", "/etc/containers/policy.json")


class Settings(BaseModel):
    """The section ``skopeo`` of a config file."""

    model_config = ConfigDict(frozen=True)

    binary: str = Field("skopeo", min_length=1)
    """The skopeo program.

    Left out: ``skopeo``, found in ``PATH``
    """
    certs_dir: Path = Field(Path("/etc/skopeo/certs.d"), alias="certs-dir")
    """Folder with certificates."""
    args: Annotated[list[str], Public()] = []
    """More arguments for ``skopeo copy``, behind those of this relay.

    No logins and no ``${…}``, since every user can read them.

    Left out: none
    """

    @field_validator("args")
    @classmethod
    def _no_logins(cls, args: list[str]) -> list[str]:
        for name in (word.partition("=")[0] for arg in args for word in arg.split()[:1]):
            if name.endswith(_LOGIN_OPTIONS) and not name.endswith("-no-creds"):
                raise ValueError(f"{name} is no place for a login; write it as 'auth' of the source or target")
        return args


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a copy, which skopeo calls ``src`` or ``dest``: an image, how to log in there, and what to trust."""

    name: str
    ref: Ref
    login: Login
    certs: Path | None
    verify: bool

    def options(self, login: int | None) -> list[str]:
        """Return the options that say how to reach this end; ``login`` is the open file with the login."""
        options = [f"--{self.name}-no-creds" if login is None else f"--{self.name}-authfile=/dev/fd/{login}"]
        if self.certs is not None:
            options.append(f"--{self.name}-cert-dir={self.certs}")
        if not self.verify:
            options.append(f"--{self.name}-tls-verify=false")
        return options

    def __str__(self) -> str:
        """The image in skopeo's words, which know either a tag or a digest; begins with no dash."""
        by_tag = self.name == "dest" and self.ref.tag
        return f"docker://{self.ref.with_tag(self.ref.tag) if by_tag else self.ref.with_tag(None, self.ref.digest)}"


class SkopeoRelay:
    """Moves images with the skopeo that is installed."""

    Settings: ClassVar[type[BaseModel]] = Settings
    features: ClassVar[frozenset[Feature]] = frozenset(Feature) - {Feature.SOME_PLATFORMS}

    def __init__(self, settings: BaseModel, toolbox: Toolbox) -> None:
        """Take the settings; nothing is started yet."""
        assert isinstance(settings, Settings)
        self._settings = settings
        self._toolbox = toolbox
        self._preserve: list[str] = []
        self._writing: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def __aenter__(self) -> Self:
        """Ask skopeo for its version and for the options it knows."""
        version = await self._probe("--version")
        if not version.startswith("skopeo version "):
            raise RelayUnavailable(
                f"{self._settings.binary!r} is not skopeo", relay=NAME, output=version, hint="check skopeo.binary"
            )
        if _PRESERVE in await self._probe("copy", "--help"):
            self._preserve = [_PRESERVE]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing outlives a copy."""

    async def copy(self, copy: Copy, source: Endpoint, targets: Sequence[Endpoint]) -> Sequence[Moved | DregsyError]:
        """Run skopeo once for each target, all at the same time."""
        origin = await self._side("src", copy.source, source)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._delivered(copy, origin, ref, target))
                for ref, target in zip(copy.targets, targets, strict=True)
            ]
        return [task.result() for task in tasks]

    async def _delivered(self, copy: Copy, origin: Side, ref: Ref, target: Endpoint) -> Moved | DregsyError:
        try:
            goal = await self._side("dest", ref, target)
            # Registries stumble when the same content arrives twice at once in one repository.
            async with self._writing.setdefault((str(origin.ref.digest), ref.name), asyncio.Lock()):
                await self._insisted(copy, origin, goal, target)
            return await self._verified(origin.ref, ref, target)
        except DregsyError as error:
            return error

    async def _insisted(self, copy: Copy, origin: Side, goal: Side, target: Endpoint) -> None:
        """Run skopeo, once again where a login was refused for which there is another now: it ran out on the way."""
        try:
            await self._deliver(copy, origin, goal)
        except Unauthorized:
            login = await self._toolbox.logins.renewed(target, goal.ref.repository, goal.login)
            if login is None:
                raise
            await self._deliver(copy, origin, replace(goal, login=login))

    async def _side(self, name: str, ref: Ref, endpoint: Endpoint) -> Side:
        login = await self._toolbox.logins.login_for(endpoint, ref.repository)
        folder = certificates(endpoint.host, endpoint.certs or (self._settings.certs_dir,))
        return Side(name, ref, login, folder, verify=not await self._is_trusted(endpoint))

    async def _is_trusted(self, endpoint: Endpoint) -> bool:
        """Whether anything goes: skopeo has one option for that and for plain http, which is fine on this machine."""
        if not endpoint.verify:
            return True
        return is_loopback(endpoint.host) and await self._toolbox.registries.at(endpoint).is_plain()

    async def _deliver(self, copy: Copy, origin: Side, goal: Side) -> None:
        """Run ``skopeo copy``; its words become the error when it fails."""
        with TemporaryDirectory(prefix="skopeo-", dir=self._toolbox.scratch) as folder, ExitStack() as files:
            logins = [files.enter_context(_login_file(side)) for side in (origin, goal)]
            # --all: the digest names an index only where the whole of it is wanted.
            options = ["--all", *self._preserve, *origin.options(logins[0]), *goal.options(logins[1])]
            status, output = await self._run(
                [*_policy(), "copy", *options, *self._settings.args, "--", str(origin), str(goal)],
                Path(folder),
                self._toolbox.timeout,
                [login for login in logins if login is not None],
            )
        lines = [redact(line, (origin.login, goal.login)) for line in _readable(output)]
        for line in lines:
            self._toolbox.emit(RelaySaid(copy, line))
        if status:
            raise explain(lines[-1] if lines else f"ended with status {status}", relay=NAME, output="\n".join(lines))

    async def _verified(self, source: Ref, ref: Ref, target: Endpoint) -> Moved:
        """Look what the target has now: skopeo does not check that itself."""
        assert source.digest is not None
        found = await self._toolbox.registries.at(target).head_manifest(ref.repository, ref.tag or ref.reference)
        if found is None:
            raise RelayError(f"skopeo reported success, but {ref} is not there", relay=NAME, retryable=True)
        if found.digest != source.digest:
            hint = "" if self._preserve else f"this skopeo does not know {_PRESERVE} yet; use a newer one"
            raise DigestMismatch(f"skopeo made {ref} {found.digest} instead of {source.digest}", hint=hint)
        return Moved(found.digest)

    async def _probe(self, *arguments: str) -> str:
        """Return what skopeo prints for harmless arguments; RelayUnavailable when it does not work."""
        binary = self._settings.binary
        hint = f"run '{binary} --version' to see why, or set skopeo.binary"
        try:
            status, output = await self._run(arguments, self._toolbox.scratch, PROBE_SECONDS)
        except RelayUnavailable:
            raise
        except RelayError as error:
            raise RelayUnavailable(error.message, relay=NAME, output=error.output, hint=hint) from error
        if status:
            raise RelayUnavailable(f"{binary!r} ended with status {status}", relay=NAME, output=output, hint=hint)
        return output

    async def _run(
        self, arguments: Sequence[str], folder: Path, seconds: float, descriptors: Sequence[int] = ()
    ) -> tuple[int, str]:
        """Run skopeo with ``folder`` for its temporary files; return its exit status and its last words."""
        binary = self._settings.binary
        tail = bytearray()

        def take(chunk: bytes) -> bool:
            tail.extend(chunk)
            del tail[:-_OUTPUT_LIMIT]
            return True

        program = Program([binary, *arguments], _environment(folder), descriptors=descriptors)
        try:
            return await program.run(seconds, take), tail.decode(errors="replace")
        except TimeoutError:
            raise RelayError(f"{binary!r} did not end within {seconds:g} s", relay=NAME, retryable=True) from None
        except OSError as error:
            raise RelayUnavailable(
                f"cannot run {binary!r}: {error.strerror}",
                relay=NAME,
                hint="install skopeo, or say with skopeo.binary where it is",
            ) from error


def certificates(host: str, roots: Sequence[Path]) -> Path | None:
    """Return the folder with the certificates for a registry: that of host and port, else that of the host."""
    bare = host if host.endswith("]") else host.rpartition(":")[0] or host
    names = (host, bare, bare.strip("[]"))
    folders = (root / name for root in roots for name in names)
    return next((folder for folder in folders if folder.is_dir()), None)


@contextmanager
def _login_file(side: Side) -> Iterator[int | None]:
    """Open a file with a login as containers-auth.json(5) has it, or None; it is in memory, and gone with its users."""
    if side.login.is_anonymous:
        yield None
        return
    password = side.login.password.reveal() if side.login.password else ""
    entry = {"auth": base64.b64encode(f"{side.login.username or '<token>'}:{password}".encode()).decode()}
    if side.login.identity_token:
        entry["identitytoken"] = side.login.identity_token.reveal()
    with os.fdopen(os.memfd_create("login"), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(json.dumps({"auths": {side.ref.host: entry}}).encode())
        file.flush()
        yield file.fileno()


def _policy() -> list[str]:
    """Return what lets skopeo copy where nobody has set up rules for signatures, without which it refuses."""
    return [] if any(Path(name).expanduser().exists() for name in _POLICIES) else ["--insecure-policy"]


def _environment(scratch: Path) -> dict[str, str]:
    """Give skopeo what it needs and none of the secrets that an environment tends to hold."""
    passed = {name: value for name, value in os.environ.items() if _is_passed(name)}
    return {**passed, "TMPDIR": str(scratch), "LC_ALL": "C"}


def _is_passed(name: str) -> bool:
    return name in _PASSED_NAMES or name.upper() in _PASSED_NAMES_IN_ANY_CASE or name.startswith(_PASSED_PREFIXES)


def _readable(output: str) -> list[str]:
    """Return the last lines without the ceremony of skopeo's log format (``time=… level=… msg="…"``)."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return [_message(line) for line in lines[-_LINES_KEPT:]]


def _message(line: str) -> str:
    head, mark, quoted = line.partition(" msg=")
    if not mark or not head.startswith("time="):
        return line
    try:
        return str(json.loads(quoted))
    except ValueError:  # a word without quotes, or an escape that only Go knows
        return quoted.strip('"')
