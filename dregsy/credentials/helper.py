"""Credential helpers: programs that keep logins (docker-credential-helpers protocol).

Nothing here is ever shown: messages name the host and the program, and never what it said.
"""

import asyncio
import errno
import json
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from typing import NoReturn

from dregsy.credentials.dockerconfig import canonical, login_of, text_of
from dregsy.errors import CredentialsError
from dregsy.model import pattern
from dregsy.model.endpoint import Login
from dregsy.model.ref import DOCKER_HUB

HELPER_SECONDS = 30.0

_HUB_SERVER = "https://index.docker.io/v1/"  # the name under which docker files Docker Hub's login
_HELPER_NAME = pattern.compile_whole(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]*")
_ANSWER_LIMIT = 1 << 20
_KILL_SECONDS = 1.0
_NOT_FOUND = b"credentials not found"


class Helpers:
    """Runs helpers with ``environ``.

    One that has not answered after ``time_limit`` seconds is killed with all its children.
    """

    def __init__(self, environ: Mapping[str, str], time_limit: float) -> None:
        self._environ = environ
        self._time_limit = time_limit

    async def ask(self, helper: str, host: str) -> Login | None:
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
        name = canonical(host)
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


def _helper_login(program: str, host: str, output: bytes) -> Login | None:
    """Read a helper's answer (docker-credential-helpers protocol, ``get``)."""
    try:
        answer = json.loads(output)
        if not isinstance(answer, dict):
            raise ValueError("no object")
        username, secret = text_of(answer, "Username"), text_of(answer, "Secret")
    except (ValueError, RecursionError):
        # Without a cause: the error of the JSON parser carries the output, and with it the secret.
        raise _refusal(program, host, "gave an answer that is not a login") from None
    return login_of(username, secret) if secret else None


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
