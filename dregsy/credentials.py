"""Which login goes with which registry: the config's own, docker's ``config.json``, or a credential helper.

Nothing here is ever shown: messages name the host, the file and the line, and never what stands there.
"""

import asyncio
import base64
import errno
import json
import os
import shutil
import signal
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from stat import S_ISREG
from typing import Any, NoReturn

from dregsy.errors import CredentialsError
from dregsy.model import pattern
from dregsy.model.endpoint import Anonymous, EcrToken, Endpoint, Given, Login, Secret
from dregsy.model.ref import DOCKER_HUB, HUB_NAMES

HELPER_SECONDS = 30.0
SHARED_SECONDS = 30.0
"""How long a helper's answer serves all who ask for the same host; the tokens of clouds live far longer."""

_HUB_SERVER = "https://index.docker.io/v1/"  # the name under which docker files Docker Hub's login
_ENVIRONMENT = "DOCKER_AUTH_CONFIG"
_HELPER_NAME = pattern.compile_whole(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]*")
_ANSWER_LIMIT = 1 << 20
_KILL_SECONDS = 1.0
_TOKEN_USER = "<token>"  # noqa: S105 - the user name that says: the secret is an identity token
_NOT_FOUND = b"credentials not found"


class Logins:
    """Finds the login for a registry; one object serves a whole run.

    ``environ`` and ``home`` are where docker's config is looked for and what helpers run with. A helper that
    has not answered after ``time_limit`` seconds is killed with all its children.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        home: Path,
        *,
        time_limit: float = HELPER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environ = environ
        self._home = home
        self._time_limit = time_limit
        self._clock = clock
        self._file: tuple[tuple[object, ...], _DockerConfig] | None = None
        self._answers: dict[tuple[str, str], _Answer] = {}

    async def login_for(self, endpoint: Endpoint, repository: str) -> Login:
        """Return what to present for ``repository``, by its full name at the registry.

        CredentialsError when a source of logins that is in charge of the host is broken.
        """
        match endpoint.credentials:
            case Given(login):
                return login
            case Anonymous():
                return Login()
            case EcrToken():
                raise CredentialsError(
                    f"tokens from AWS for {endpoint.host} are not available in this version",
                    host=endpoint.host,
                    hint="give 'auth' instead of 'auth-refresh'",
                )
        for config in self._configs(endpoint.host):
            if login_found := await self._search(config, endpoint.host, repository):
                return login_found
        return Login()

    def _configs(self, host: str) -> Iterator["_DockerConfig"]:
        if text := self._environ.get(_ENVIRONMENT, "").strip():
            yield _DockerConfig.parse(_ENVIRONMENT, text, host)
        folder = self._environ.get("DOCKER_CONFIG") or self._home / ".docker"
        if config := self._read(Path(folder) / "config.json", host):
            yield config

    def _read(self, path: Path, host: str) -> "_DockerConfig | None":
        """Read the file again only when it is another one than last time; None when there is none."""
        try:
            found = path.stat()
            state = (path, found.st_mtime_ns, found.st_size, found.st_ino)
            if self._file is None or self._file[0] != state:
                if not S_ISREG(found.st_mode):
                    raise CredentialsError(f"{path} is not a file", host=host, hint="see DOCKER_CONFIG")
                self._file = (state, _DockerConfig.parse(str(path), path.read_text("utf-8"), host))
            return self._file[1]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except UnicodeDecodeError:
            raise CredentialsError(f"{path} is not UTF-8 text", host=host, hint="write it anew") from None
        except OSError as error:
            raise CredentialsError(
                f"cannot read {path}: {error.strerror}", host=host, hint="make it readable, or set 'auth: none'"
            ) from error

    async def _search(self, config: "_DockerConfig", host: str, repository: str) -> Login | None:
        """Ask one config: an entry with a path first, then the helper, then the entry of the whole host."""
        name = _canonical(host)
        entries = config.entries(name, repository)
        for path, key in entries:
            if path and (login := config.login(key, host)):
                return login
        helper = config.helper(name, host)
        if helper and (login := await self._shared(helper, host)):
            return login
        for path, key in entries:
            if not path and (login := config.login(key, host)):
                return login
        return None

    async def _shared(self, helper: str, host: str) -> Login | None:
        """Ask a helper once for all who wait for its answer, and for a short while after a good one."""
        answer = self._answers.setdefault((helper, _canonical(host)), _Answer())
        runs = answer.runs
        async with answer.lock:
            came_meanwhile = answer.runs != runs
            if not came_meanwhile and self._clock() >= answer.good_until:
                try:
                    answer.login, answer.error = await self._ask(helper, host), None
                    answer.good_until = self._clock() + SHARED_SECONDS
                except CredentialsError as error:
                    answer.login, answer.error = None, error
                answer.runs += 1
            if answer.error:
                raise answer.error
            return answer.login

    async def _ask(self, helper: str, host: str) -> Login | None:
        """Run ``docker-credential-NAME get``; None when the helper knows no login for the host."""
        if not _HELPER_NAME(helper):
            raise CredentialsError(
                f"the credential helper for {host} has a name that no program can have",
                host=host,
                hint="see credHelpers and credsStore in docker's config: 'NAME' stands for docker-credential-NAME",
            )
        program = f"docker-credential-{helper}"
        path = shutil.which(program, path=self._environ.get("PATH", os.defpath))
        if path is None:
            raise CredentialsError(
                f"{program} is to give the login for {host}, but there is no such program",
                host=host,
                hint="install it where PATH finds it, or give 'auth' in the config ('auth: none' for no login)",
            )
        name = _canonical(host)
        server = _HUB_SERVER if name == DOCKER_HUB else name
        try:
            status, output = await self._run(path, server)
        except TimeoutError as error:
            _refuse(program, host, f"did not answer within {self._time_limit:g} s", error)
        except OSError as error:
            _refuse(program, host, f"failed: {error.strerror}", error)
        if status:
            if _NOT_FOUND in output:
                return None
            _refuse(program, host, f"ended with status {status}")
        return _helper_login(program, host, output)

    async def _run(self, path: str, server: str) -> tuple[int, bytes]:
        """Return exit status and output; whatever happens, none of its process group stays behind."""
        loop = asyncio.get_running_loop()
        output = bytearray()
        with _files(server) as (stdin, stdout, answer):

            def collect() -> None:
                while len(output) <= _ANSWER_LIMIT and (chunk := answer.read(1 << 16)):
                    output.extend(chunk)
                if len(output) > _ANSWER_LIMIT:
                    loop.remove_reader(answer)
                    _kill(process)

            process = await _start(path, self._environ, stdin, stdout)
            try:
                loop.add_reader(answer, collect)
                async with asyncio.timeout(self._time_limit):
                    status = await process.wait()
            finally:
                loop.remove_reader(answer)
                await _end(process)
            collect()
        if len(output) > _ANSWER_LIMIT:
            raise OSError(errno.EFBIG, "its answer has no end")
        return status, bytes(output)


@dataclass(slots=True)
class _Answer:
    """What a helper said about a host, and who is asking it just now."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    runs: int = 0
    good_until: float = float("-inf")
    login: Login | None = None
    error: CredentialsError | None = None


@dataclass(frozen=True, slots=True)
class _DockerConfig:
    """One docker config. An entry is only looked into when its host is asked for: others may be broken."""

    origin: str
    text: str = field(repr=False)
    auths: dict[str, Any] = field(repr=False)
    helpers: dict[str, Any]
    store: str

    @classmethod
    def parse(cls, origin: str, text: str, host: str) -> "_DockerConfig":
        """Read the JSON text; ``origin`` is what messages call it."""
        try:
            data = json.loads(text.removeprefix("\ufeff"))
        except json.JSONDecodeError as error:
            raise _broken(f"{origin}:{error.lineno}: is not JSON: {error.msg}", host) from None
        except (ValueError, RecursionError):  # a number of thousands of digits; thousands of brackets
            raise _broken(f"{origin}: is not JSON that can be read", host) from None
        if not isinstance(data, dict):
            raise _broken(f"{origin}:1: is not a JSON object", host)
        auths, helpers, store = (data.get(key) for key in ("auths", "credHelpers", "credsStore"))
        for key, value, kind in (("auths", auths, dict), ("credHelpers", helpers, dict), ("credsStore", store, str)):
            if value is not None and not isinstance(value, kind):
                expected = "an object" if kind is dict else "a text"
                raise _broken(f"{origin}:{_line_of(text, key)}: {key} is not {expected}", host)
        return cls(origin, text, auths or {}, helpers or {}, store or "")

    def entries(self, name: str, repository: str) -> list[tuple[str, str]]:
        """Path and key of each entry of ``auths`` that covers the repository, the most particular first."""
        found = []
        for key in self.auths:
            host, path = _split(key)
            if host == name and (not path or f"{repository}/".startswith(f"{path}/")):
                found.append((path, key))
        return sorted(found, key=lambda entry: -len(entry[0]))

    def helper(self, name: str, host: str) -> str:
        """The name of the helper that keeps the host's login; empty for none."""
        for key, value in self.helpers.items():
            if _split(key) == (name, ""):
                if not isinstance(value, str):
                    raise _broken(f"{self.origin}:{_line_of(self.text, key)}: the helper's name is not a text", host)
                return value
        return self.store

    def login(self, key: str, host: str) -> Login | None:
        """Read one entry; None when it holds nothing, as docker leaves it where a helper keeps the login."""
        try:
            return _entry_login(self.auths[key])
        except ValueError as error:
            raise _broken(f"{self.origin}:{_line_of(self.text, key)}: the entry for {host}: {error}", host) from None


def _entry_login(entry: Any) -> Login | None:
    """Read an entry of ``auths``; ValueError says what is wrong with it."""
    if not isinstance(entry, dict):
        if entry is None:
            return None
        raise ValueError("it is not an object")
    username, password = _text(entry, "username"), _text(entry, "password")
    if auth := _text(entry, "auth"):
        username, password = _decode(auth)
    token = _text(entry, "identitytoken")
    if token:
        return Login(username, identity_token=Secret(token))
    return _login(username, password) if username or password else None


def _decode(auth: str) -> tuple[str, str]:
    """Decode ``auth``: base64, with or without padding, of ``user:password``."""
    plain = "".join(auth.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        text = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except ValueError:
        raise ValueError("'auth' is not base64 of UTF-8 text") from None
    username, colon, password = text.partition(":")
    if not colon:
        raise ValueError("'auth' is not base64 of user:password")
    return username, password.strip("\0")  # docker pads with NUL bytes


def _helper_login(program: str, host: str, output: bytes) -> Login | None:
    """Read a helper's answer (docker-credential-helpers protocol, ``get``)."""
    try:
        answer = json.loads(output)
        if not isinstance(answer, dict):
            raise ValueError("no object")
        username, secret = _text(answer, "Username"), _text(answer, "Secret")
    except (ValueError, RecursionError):
        # Without a cause: the error of the JSON parser carries the output, and with it the secret.
        raise _refusal(program, host, "gave an answer that is not a login") from None
    return _login(username, secret) if secret else None


def _login(username: str, password: str) -> Login:
    if username == _TOKEN_USER:
        return Login(identity_token=Secret(password))
    return Login(username, Secret(password))


def _text(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{key!r} is not a text")
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: cannot be sent, and the error would show the value
        raise ValueError(f"{key!r} is not Unicode text") from None
    return value


def _canonical(host: str) -> str:
    """One name for a host however it is written; Docker Hub has three."""
    lowered = host.lower()
    return DOCKER_HUB if lowered in HUB_NAMES else lowered


def _split(key: str) -> tuple[str, str]:
    """Split a key of docker's config into host and path; a URL, or an API version at its end, is the whole host."""
    scheme, mark, rest = key.partition("://")
    host, _, path = (rest if mark and scheme.lower() in {"http", "https"} else key).partition("/")
    whole = bool(mark) or path in {"v1/", "v2/"}
    return _canonical(host), "" if whole else path.strip("/")


def _line_of(text: str, key: str) -> int:
    """The line where a key first stands; 1 when it is written with escapes."""
    return text.count("\n", 0, max(text.find(f'"{key}"'), 0)) + 1


def _broken(message: str, host: str) -> CredentialsError:
    return CredentialsError(message, host=host, hint="correct it, or write it anew with 'docker login'")


def _refusal(program: str, host: str, what: str) -> CredentialsError:
    return CredentialsError(
        f"{program}, asked for the login for {host}, {what}",
        host=host,
        hint=f"see what 'echo {host} | {program} get' says, or give 'auth' in the config ('auth: none' for no login)",
    )


def _refuse(program: str, host: str, what: str, cause: Exception | None = None) -> NoReturn:
    raise _refusal(program, host, what) from cause


@contextmanager
def _files(server: str) -> Iterator[tuple[FileIO, FileIO, FileIO]]:
    """A helper's input with the server's name in it, its output, and the end where that is read without waiting.

    With pipes of asyncio a helper that has ended would count as running while a child of it holds one open.
    """
    reading, writing = os.pipe()
    with FileIO(reading) as answer, FileIO(writing, "w") as stdout, FileIO(os.memfd_create("server"), "r+") as stdin:
        os.set_blocking(reading, False)
        stdin.write(server.encode())
        stdin.seek(0)
        yield stdin, stdout, answer


async def _start(path: str, environ: Mapping[str, str], stdin: FileIO, stdout: FileIO) -> Process:
    """Start a helper; one that is cancelled before it is known here ends with all it started too."""
    starting = asyncio.ensure_future(  # noqa: TID251 - awaited in any case
        asyncio.create_subprocess_exec(
            path, "get", stdin=stdin, stdout=stdout, stderr=DEVNULL, env=dict(environ), start_new_session=True
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with suppress(OSError):
            await _end(await starting)
        raise


async def _end(process: Process) -> None:
    """End a helper and all it started; returns when it is gone."""
    _kill(process)
    with suppress(TimeoutError):  # a process that waits for a dead disk cannot be killed
        async with asyncio.timeout(_KILL_SECONDS):
            await process.wait()


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
