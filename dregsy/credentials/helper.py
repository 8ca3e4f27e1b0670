"""Credential helpers: programs that keep logins (docker-credential-helpers protocol).

Nothing here is ever shown: messages name the host and the program, and never what it said.
"""

import errno
import json
import os
import shutil
from collections.abc import Mapping
from typing import NoReturn

from dregsy.child import Program
from dregsy.credentials.dockerconfig import canonical, login_of, text_of
from dregsy.errors import CredentialsError
from dregsy.model import pattern
from dregsy.model.endpoint import Login
from dregsy.model.ref import DOCKER_HUB

HELPER_SECONDS = 30.0

_HUB_SERVER = "https://index.docker.io/v1/"  # the name under which docker files Docker Hub's login
_HELPER_NAME = pattern.compile_whole(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]*")
_ANSWER_LIMIT = 1 << 20
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
        """Return exit status and output; OSError for one without end."""
        output = bytearray()

        def take(chunk: bytes) -> bool:
            output.extend(chunk)
            return len(output) <= _ANSWER_LIMIT

        program = Program([path, "get"], self._environ, server.encode(), complains=False)
        status = await program.run(self._time_limit, take)
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
