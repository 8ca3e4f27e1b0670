"""The skopeo relay: one run of ``skopeo copy`` for each target, by digest, checked at the target afterwards.

Logins reach skopeo in files that only this user can read and that live as long as the run, never on a
command line. What skopeo prints when it fails becomes the error.
"""

import asyncio
import base64
import json
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import ClassVar, Self
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dregsy.errors import DigestMismatch, DregsyError, RelayError, RelayUnavailable
from dregsy.model.endpoint import Endpoint, Login
from dregsy.model.plan import Copy
from dregsy.model.ref import Ref
from dregsy.model.report import Moved, RelaySaid
from dregsy.registry.addresses import is_loopback
from dregsy.registry.complaints import explain, redact
from dregsy.relay import Feature, Toolbox

NAME = "skopeo"
PROBE_SECONDS = 10.0
"""How long skopeo may take to tell its version and options."""

_OUTPUT_LIMIT = 64 * 2**10
_LINES_KEPT = 10
_KILL_SECONDS = 1.0
_PRESERVE = "--preserve-digests"
_PASSED_NAMES = frozenset({"PATH", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"})
_PASSED_NAMES_IN_ANY_CASE = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})
_PASSED_PREFIXES = ("XDG_", "CONTAINERS_", "_CONTAINERS_")
_SECRET_OPTIONS = ("-creds", "-username", "-password", "-registry-token", "--creds", "--username", "--password")


class Settings(BaseModel):
    """The section ``skopeo`` of a config file."""

    model_config = ConfigDict(frozen=True)

    binary: str = Field("skopeo", min_length=1)
    certs_dir: Path = Field(Path("/etc/skopeo/certs.d"), alias="certs-dir")
    args: list[str] = []
    """More options for ``skopeo copy``, behind those of this relay."""

    @field_validator("args")
    @classmethod
    def _no_secrets(cls, args: list[str]) -> list[str]:
        for name in (arg.partition("=")[0] for arg in args):
            if name.endswith(_SECRET_OPTIONS) and not name.endswith("-no-creds"):
                raise ValueError(f"{name} would show a login to everybody on this machine; use 'auth' instead")
        return args


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a copy, which skopeo calls ``src`` or ``dest``: an image, its registry, and the login there."""

    name: str
    ref: Ref
    endpoint: Endpoint
    login: Login
    certs: Path | None

    def options(self, folder: Path) -> list[str]:
        """Return the options that say how to reach this end; writes its login into ``folder``."""
        options = []
        if self.login.is_anonymous:
            options.append(f"--{self.name}-no-creds")
        else:
            path = folder / f"{self.name}.json"
            _write_login(path, self.ref.host, self.login)
            options.append(f"--{self.name}-authfile={path}")
        if self.certs is not None:
            options.append(f"--{self.name}-cert-dir={self.certs}")
        # A loopback registry may speak plain http, unless certificates for it say otherwise.
        if not self.endpoint.verify or (self.certs is None and is_loopback(self.endpoint.host)):
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
                await self._deliver(copy, origin, goal)
            return await self._verified(origin.ref, ref, target)
        except DregsyError as error:
            return error

    async def _side(self, name: str, ref: Ref, endpoint: Endpoint) -> Side:
        login = await self._toolbox.logins.login_for(endpoint, ref.repository)
        return Side(
            name, ref, endpoint, login, certificates(endpoint.host, endpoint.certs or (self._settings.certs_dir,))
        )

    async def _deliver(self, copy: Copy, origin: Side, goal: Side) -> None:
        """Run ``skopeo copy``; its words become the error when it fails."""
        with TemporaryDirectory(prefix="skopeo-", dir=self._toolbox.scratch) as name:
            folder = Path(name)
            # --all: the digest names an index only where the whole of it is wanted.
            options = ["--all", *self._preserve, *origin.options(folder), *goal.options(folder), *self._settings.args]
            command = [self._settings.binary, "copy", *options, "--", str(origin), str(goal)]
            status, output = await _run(command, _environment(folder), self._toolbox.timeout)
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
            status, output = await _run([binary, *arguments], _environment(self._toolbox.scratch), PROBE_SECONDS)
        except RelayUnavailable:
            raise
        except RelayError as error:
            raise RelayUnavailable(error.message, relay=NAME, output=error.output, hint=hint) from error
        if status:
            raise RelayUnavailable(f"{binary!r} ended with status {status}", relay=NAME, output=output, hint=hint)
        return output


def certificates(host: str, roots: Sequence[Path]) -> Path | None:
    """Return the folder with the certificates for a registry: that of host and port, else that of the host."""
    bare = host if host.endswith("]") else host.rpartition(":")[0] or host
    names = (host, bare, bare.strip("[]"))
    folders = (root / name for root in roots for name in names)
    return next((folder for folder in folders if folder.is_dir()), None)


def _write_login(path: Path, host: str, login: Login) -> None:
    """Write a login as containers-auth.json(5) has it, for nobody else to read."""
    password = login.password.reveal() if login.password else ""
    entry = {"auth": base64.b64encode(f"{login.username or '<token>'}:{password}".encode()).decode()}
    if login.identity_token:
        entry["identitytoken"] = login.identity_token.reveal()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump({"auths": {host: entry}}, file)


def _environment(scratch: Path) -> dict[str, str]:
    """Give skopeo what it needs and none of the secrets that an environment tends to hold."""
    passed = {name: value for name, value in os.environ.items() if _is_passed(name)}
    return {**passed, "TMPDIR": str(scratch), "LC_ALL": "C"}


def _is_passed(name: str) -> bool:
    return name in _PASSED_NAMES or name.upper() in _PASSED_NAMES_IN_ANY_CASE or name.startswith(_PASSED_PREFIXES)


async def _run(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> tuple[int, str]:
    """Return exit status and the end of the output; whatever happens, nothing that was started stays behind."""
    process = await _start(command, environment)
    ended = False
    try:
        async with asyncio.timeout(seconds):
            output = await _tail(process)
            status = await process.wait()
            ended = True
            return status, output
    except TimeoutError:
        raise RelayError(f"{command[0]!r} did not end within {seconds:g} s", relay=NAME, retryable=True) from None
    finally:
        if not ended:
            await _kill(process)


async def _start(command: Sequence[str], environment: Mapping[str, str]) -> Process:
    """Start a process group; one that is cancelled before it is known here ends with all its members too."""
    starting = asyncio.ensure_future(  # noqa: TID251 - awaited in any case
        asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=environment, start_new_session=True
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with suppress(OSError):
            await _kill(await starting)
        raise
    except OSError as error:
        raise RelayUnavailable(
            f"cannot run {command[0]!r}: {error.strerror}",
            relay=NAME,
            hint="install skopeo, or say with skopeo.binary where it is",
        ) from error


async def _tail(process: Process) -> str:
    """Read the output to its end and keep the last part."""
    assert process.stdout is not None
    kept = b""
    while chunk := await process.stdout.read(_OUTPUT_LIMIT):
        kept = (kept + chunk)[-_OUTPUT_LIMIT:]
    return kept.decode(errors="replace")


async def _kill(process: Process) -> None:
    """End skopeo and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):  # a child that left the group may hold the output open
        async with asyncio.timeout(_KILL_SECONDS):
            await process.wait()


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
