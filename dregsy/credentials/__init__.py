"""Which login goes with which registry: the config's own, docker's ``config.json``, a helper, or a cloud.

Nothing here is ever shown: messages name the host, the file and the line, and never what stands there.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from stat import S_ISREG

from dregsy.cloud import ecr, gcp
from dregsy.cloud.ecr import EcrHost
from dregsy.credentials.dockerconfig import DockerConfig, canonical
from dregsy.credentials.helper import HELPER_SECONDS, Helpers
from dregsy.credentials.kept import Fetch, Kept
from dregsy.errors import CredentialsError
from dregsy.model.endpoint import Ambient, Anonymous, EcrToken, Endpoint, Given, Login
from dregsy.model.report import Listener, LoginFetched

SHARED_SECONDS = 30.0
"""How long a helper's answer serves all who ask for the same host; the tokens of clouds live far longer."""

CLOUD_PAUSE = 10.0
"""For so many seconds a cloud that gave no token is not asked again: a task may have thousands of images."""

REFUSAL = 60.0
"""For so many seconds no new login is asked for because a registry refused the last one."""

_FILE_LIMIT = 4 * 2**20
_ENVIRONMENT = "DOCKER_AUTH_CONFIG"


def _text(path: Path) -> str:
    """Read a docker config; OSError when it is far larger than any."""
    with path.open("rb") as file:
        data = file.read(_FILE_LIMIT + 1)
    if len(data) > _FILE_LIMIT:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return data.decode("utf-8")


class Logins:
    """Finds the login for a registry; one object serves a whole run.

    ``environ`` and ``home`` are where docker's config is looked for and what helpers run with. A helper that
    has not answered after ``time_limit`` seconds is killed with all its children. ``emit`` hears of clouds' logins.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        home: Path,
        *,
        time_limit: float = HELPER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        emit: Listener = lambda _: None,
    ) -> None:
        self._environ = environ
        self._home = home
        self._helpers = Helpers(environ, time_limit)
        self._kept = Kept(clock)
        self._emit = emit
        self._clock = clock
        self._dropped: dict[str, float] = {}
        self._file: tuple[tuple[object, ...], DockerConfig] | None = None

    async def login_for(self, endpoint: Endpoint, repository: str) -> Login:
        """Return what to present for ``repository``, by its full name at the registry.

        CredentialsError when a source of logins that is in charge of the host is broken.
        """
        match endpoint.credentials:
            case Given(login):
                return login
            case Anonymous():
                return Login()
            case EcrToken(refresh):
                return await self._ecr_token(endpoint, refresh)
        for config in self._configs(endpoint.host):
            if login_found := await self._search(config, endpoint.host, repository):
                return login_found
        if gcp.is_google(endpoint.host):
            fetch = partial(self._told, endpoint.host, partial(gcp.token, endpoint.host, self._environ, self._home))
            return await self._kept.get(("google",), fetch, pause=CLOUD_PAUSE) or Login()
        return Login()

    def advice(self, endpoint: Endpoint) -> str:
        """Tell what to do when a registry refuses the nobody that ``login_for`` found; empty for nothing special."""
        is_looked_for = isinstance(endpoint.credentials, Ambient) and gcp.is_google(endpoint.host)
        return gcp.NO_CREDENTIALS if is_looked_for else ""

    def drop(self, login: Login) -> bool:
        """Hear that a registry refused ``login``; tells whether it is one that can be had anew by asking again."""
        return self._kept.drop(login)

    async def renewed(self, endpoint: Endpoint, repository: str, refused: Login) -> Login | None:
        """After a registry refused a login: return another that there is by now, or None.

        A new one is asked for once in a while only: where it is rights that lack, it would be refused as well.
        """
        login = await self.login_for(endpoint, repository)
        now = self._clock()
        if login == refused and now >= self._dropped.get(endpoint.host, float("-inf")) + REFUSAL and self.drop(login):
            self._dropped[endpoint.host] = now
            login = await self.login_for(endpoint, repository)
        return None if login == refused else login

    async def _ecr_token(self, endpoint: Endpoint, refresh: float) -> Login:
        """Share one token among all that are the same account's, in the same region, asked for as the same."""
        host, identity = EcrHost.parse(endpoint.host), endpoint.aws.identity
        if host is None:
            raise CredentialsError(
                f"{endpoint.host} is no registry of AWS", host=endpoint.host, hint="give 'auth' instead"
            )
        key = ("ecr", host.account, host.region, host.fips, identity)
        fetch = partial(self._told, endpoint.host, partial(ecr.token, host, identity))
        return await self._kept.get(key, fetch, oldest=refresh, pause=CLOUD_PAUSE) or Login()

    async def _told(self, host: str, fetch: Fetch) -> tuple[Login | None, float] | tuple[Login | None, float, float]:
        """Fetch a login from a cloud, and tell how long it is good."""
        found = await fetch()
        if found[0] is not None:
            self._emit(LoginFetched(host, time.time() + found[-1]))
        return found

    def _configs(self, host: str) -> Iterator[DockerConfig]:
        if text := self._environ.get(_ENVIRONMENT, "").strip():
            yield DockerConfig.parse(_ENVIRONMENT, text, host)
        folder = self._environ.get("DOCKER_CONFIG") or self._home / ".docker"
        if config := self._read(Path(folder) / "config.json", host):
            yield config

    def _read(self, path: Path, host: str) -> DockerConfig | None:
        """Read the file again only when it is another one than last time; None when there is none."""
        try:
            found = path.stat()
            state = (path, found.st_mtime_ns, found.st_size, found.st_ino)
            if self._file is None or self._file[0] != state:
                if not S_ISREG(found.st_mode):
                    raise CredentialsError(f"{path} is not a file", host=host, hint="see DOCKER_CONFIG")
                self._file = (state, DockerConfig.parse(str(path), _text(path), host))
            return self._file[1]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except UnicodeDecodeError:
            raise CredentialsError(f"{path} is not UTF-8 text", host=host, hint="write it anew") from None
        except OSError as error:
            raise CredentialsError(
                f"cannot read {path}: {error.strerror}", host=host, hint="make it readable, or set 'auth: none'"
            ) from error

    async def _search(self, config: DockerConfig, host: str, repository: str) -> Login | None:
        """Ask one config: an entry with a path first, then the helper, then the entry of the whole host."""
        name = canonical(host)
        entries = config.entries(name, repository)
        for path, key in entries:
            if path and (login := config.login(key, host)):
                return login
        helper = config.helper(name, host)
        if helper and (login := await self._kept.get((helper, name), partial(self._ask, helper, host))):
            return login
        for path, key in entries:
            if not path and (login := config.login(key, host)):
                return login
        return None

    async def _ask(self, helper: str, host: str) -> tuple[Login | None, float]:
        return await self._helpers.ask(helper, host), SHARED_SECONDS
