"""A docker daemon, asked from asyncio. The home of the docker SDK, which blocks; ``ssh`` extends it.

Each question has a thread and a connection of its own, and is broken off by shutting that connection.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any, TypeVar

from docker import APIClient
from docker.constants import MINIMUM_DOCKER_API_VERSION
from docker.errors import APIError, DockerException, NotFound
from docker.utils import kwargs_from_env
from urllib3.exceptions import HTTPError

from dregsy.errors import DregsyError, ImageError, RelayError, RelayUnavailable
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Login
from dregsy.model.platform import Platform, choose
from dregsy.model.ref import Ref
from dregsy.model.report import Moved
from dregsy.registry.complaints import explain, redact
from relays import ssh
from relays.dockerhost import NAME, environment, ssh_command

THREADS = 8
"""How many questions to the daemon may be open at once."""
ANSWER_SECONDS = 60.0
"""How long the daemon may be silent, except while it pulls or pushes."""
CONNECT_SECONDS = 10
"""How long it may take until the daemon answers at all."""
RETURN_SECONDS = 30.0
"""How long to wait for a daemon that restarts."""

_CUT_AGAIN_SECONDS = 0.05
_LOOK_AGAIN_SECONDS = 0.2
_ELSEWHERE = "is the daemon running, and may this user talk to it? see docker.dockerhost and DOCKER_HOST"
T = TypeVar("T")


class Client(APIClient):
    """The SDK's client on one connection that another thread may break; ``command`` is the ssh to connect with."""

    def __init__(self, command: Sequence[str] = (), **options: Any) -> None:
        super().__init__(**options)
        self._connection: Any = None
        self._tunnel = ssh.Adapter(command, CONNECT_SECONDS) if command else None
        if self._tunnel is not None:
            self._custom_adapter = self._tunnel
            self.mount("http+docker://", self._tunnel)
        adapter: Any = self.get_adapter(self.base_url)
        if hasattr(adapter, "pools"):  # the SDK's own adapters open a connection for each URL
            pool_of = adapter.get_connection
            adapter.get_connection = lambda _url, proxies=None: self._noting(pool_of(self.base_url, proxies))
        else:
            pool_for = adapter.get_connection_with_tls_context
            adapter.get_connection_with_tls_context = lambda *args, **options: self._noting(pool_for(*args, **options))

    @property
    def trust_env(self) -> bool:
        """Off: CA bundles, proxies and logins of the environment are not meant for the daemon."""
        return False

    @trust_env.setter
    def trust_env(self, value: bool) -> None:
        """Ignore what the HTTP library sets."""

    def _noting(self, pool: Any) -> Any:
        """Have the pool's connections known from when they are made: a daemon may not even begin to answer."""
        if "_new_conn" not in vars(pool):
            make = pool._new_conn  # noqa: SLF001 - where urllib3 lets other ways to connect come in

            def noted() -> Any:
                self._connection = make()
                return self._connection

            pool._new_conn = noted  # noqa: SLF001 - as above
        return pool

    def complaint(self) -> str:
        """What ssh said; empty for nothing."""
        return self._tunnel.said() if self._tunnel is not None else ""

    def close(self) -> None:
        """Close everything, a stream that was not read to its end too, which the SDK leaves open."""
        super().close()
        if self._connection is not None:
            self._connection.close()

    def cut(self) -> None:
        """End whatever waits for the daemon."""
        wire = getattr(self._connection, "sock", None)
        if wire is not None:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)


class Daemon:
    """Asks a docker daemon without blocking the loop.

    ``host`` is where it listens, None for what docker's own settings say (``relays.dockerhost``). ``version`` is
    that of the API: None for the daemon's own, which ``find`` learns, as it does the ``platform``.
    """

    def __init__(self, host: str | None, version: str | None) -> None:
        self._host = host
        self._settings: dict[str, str] | None = None
        self._version = version
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=NAME)
        self._missed: float | None = None
        self.platform: Platform | None = None

    def close(self) -> None:
        """Let go of the threads, none of which works any more."""
        self._threads.shutdown()

    async def find(self) -> None:
        """Agree on a version with the daemon; RelayUnavailable when there is none."""
        pinned = self._version or self._known().get("DOCKER_API_VERSION")
        try:
            found = await self.ask(lambda client: client.version(api_version=pinned is not None))
        except RelayUnavailable:
            raise
        except DregsyError as error:
            raise RelayUnavailable(error.message, relay=NAME, hint=_ELSEWHERE) from error
        self._version = pinned or str(found["ApiVersion"])
        self.platform = Platform(str(found["Os"]), str(found["Arch"])).normalized()

    async def back(self, seconds: float = RETURN_SECONDS) -> None:
        """Return when the daemon answers, or when it has had ``seconds`` to start again, since it was first missed."""
        clock = asyncio.get_running_loop().time
        self._missed = missed = clock() if self._missed is None else self._missed
        while True:
            try:
                await self.ask(lambda client: client.ping())
            except DregsyError:
                if clock() >= missed + seconds:
                    return
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            else:
                self._missed = None
                return

    async def ask(
        self, question: Callable[[Client], T], *, silence: float = ANSWER_SECONDS, logins: Sequence[Login] = ()
    ) -> T:
        """Return what ``question`` returns; every error of the SDK becomes a DregsyError, without what ``logins`` hold.

        When cancelled, the connection is broken and the thread has ended before this returns.
        """
        client = self._client()
        running = self._threads.submit(_answered, client, question, silence)
        answer = asyncio.wrap_future(running)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            if not running.cancel():
                while not answer.done():  # a connection may be just about to be made
                    client.cut()
                    await asyncio.wait([answer], timeout=_CUT_AGAIN_SECONDS)
                answer.exception()  # nobody is there any more to be told
            raise
        except (DockerException, HTTPError, OSError) as error:
            raise _translated(error, logins) from error

    def _known(self) -> dict[str, str]:
        """What docker's own settings said when they were first needed."""
        self._settings = self._settings or environment(self._host, os.environ)
        return self._settings

    def _client(self) -> Client:
        known = self._known()
        version = self._version or known.get("DOCKER_API_VERSION") or MINIMUM_DOCKER_API_VERSION
        options: dict[str, Any] = {"version": version, "timeout": CONNECT_SECONDS}
        try:
            if known["DOCKER_HOST"].startswith("ssh://"):
                return Client(ssh_command(known["DOCKER_HOST"]), base_url="unix:///ssh", **options)
            return Client(**kwargs_from_env(known), **options)
        except (DockerException, OSError, ValueError) as error:  # ValueError: a port that is none
            raise _translated(error) from error


def _answered(client: Client, question: Callable[[Client], T], silence: float) -> T:
    """Answer a question on a thread, on a connection that is open before, so that it can be cut."""
    with closing(client):
        path = getattr(client.get_adapter(client.base_url), "socket_path", "")
        if path.strip("/"):  # the SDK forgets to close a socket that could not be connected
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(CONNECT_SECONDS)
                probe.connect(path)
        try:
            client.get(f"{client.base_url}/_ping", timeout=ANSWER_SECONDS)
        except OSError as error:
            said = client.complaint().removeprefix("ssh: ")
            raise DockerException(f"ssh: {said}") if said else error from None
        client.timeout = int(silence) + 1
        return question(client)


def _translated(error: Exception, logins: Sequence[Login] = ()) -> DregsyError:
    """Say in this project's words what the SDK or the socket reported."""
    if isinstance(error, DockerException):
        said = redact(str(error.explanation or error) if isinstance(error, APIError) else str(error), logins)
        return explain(said, relay=NAME, output=said)
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.strerror):
        cause = cause.__context__
    reason = cause.strerror if isinstance(cause, OSError) else type(error).__name__
    return RelayError(f"docker: no answer from the daemon: {reason}", relay=NAME, retryable=True, hint=_ELSEWHERE)


def _auth(login: Login, host: str) -> dict[str, str]:
    """Return the login as the daemon wants it; empty for none, or the SDK would look for one itself."""
    if login.identity_token:
        return {"identitytoken": login.identity_token.reveal(), "serveraddress": host}
    if login.password:
        return {"username": login.username, "password": login.password.reveal(), "serveraddress": host}
    return {}


def _lines(stream: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Pass on the lines of a stream; one that reports an error raises it, which the SDK leaves to its users."""
    for line in stream:
        if "error" in line:
            raise DockerException(line["error"])
        yield line


def pull(
    client: Client, source: Ref, platform: Platform | None, login: Login, tell: Callable[[int], None]
) -> tuple[str, int | None]:
    """Pull; returns the image's id, and the bytes of the layers that the daemon read, or None where it did not tell."""
    wanted = str(platform) if platform else None
    auth = _auth(login, source.host)
    stream = client.pull(source.name, str(source.digest), stream=True, decode=True, platform=wanted, auth_config=auth)
    count = _counted(_lines(stream), tell)
    try:
        image = client.inspect_image(str(source))  # type: ignore[no-untyped-call]  # the stubs leave it out
    except NotFound:
        raise DockerException(f"the pull of {source} ended early") from None
    found = Platform(image["Os"], image["Architecture"], image.get("Variant") or "")
    if platform is not None and choose(platform, [found]) is None:
        raise ImageError(f"{source} is an image for {found}, not for {platform}")
    return str(image["Id"]), count


def _counted(lines: Iterator[dict[str, Any]], tell: Callable[[int], None]) -> int | None:
    """Follow a pull to its end; the daemon tells how far layers are only now and then, but how large they are."""
    seen: dict[str, int] = {}
    totals: dict[str, int] = {}
    for line in lines:
        layer, status, progress = line.get("id", ""), line.get("status"), line.get("progressDetail") or {}
        if status == "Downloading" and progress.get("total", 0) > 0:
            totals[layer] = progress["total"]
            current = min(progress.get("current", 0), totals[layer])
        elif status == "Download complete":
            current = totals.setdefault(layer, 0)
        else:
            continue
        if current > seen.get(layer, 0):
            tell(current - seen.get(layer, 0))
            seen[layer] = current
    return sum(seen.values()) if all(totals.values()) else None


def push(client: Client, target: Ref, login: Login) -> Moved:
    """Push a tag; returns what the target has now."""
    stream = client.push(target.name, target.tag, stream=True, decode=True, auth_config=_auth(login, target.host))
    statuses: dict[str, str] = {}
    digest = ""
    for line in _lines(stream):
        statuses[line.get("id", "")] = line.get("status", "")
        digest = (line.get("aux") or {}).get("Digest") or _told_digest(line.get("status", "")) or digest
    if not digest:
        raise DockerException(f"the push of {target} ended early")
    ends = list(statuses.values())
    return Moved(
        Digest.parse(digest),
        blobs_moved=ends.count("Pushed"),
        blobs_mounted=sum(end.startswith("Mounted from") for end in ends),
        blobs_skipped=ends.count("Layer already exists"),
    )


def _told_digest(status: str) -> str:
    """Return the digest in ``v1: digest: sha256:… size: 1``, which is all that podman tells."""
    return status.partition(": digest: ")[2].partition(" ")[0]


def references(client: Client) -> dict[str, frozenset[Ref]]:
    """Return all images of the daemon with their references."""
    images = client.images(all=True)
    return {
        image["Id"]: frozenset(_parsed((*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ()))))
        for image in images
    }


def _parsed(texts: Sequence[str]) -> Iterator[Ref]:
    for text in texts:
        with suppress(ValueError):  # such as <none>:<none>
            yield Ref.parse(text)


def remove(client: Client, name: str) -> None:
    """Remove a reference, and the image when that was its last; nothing happens when it is not there."""
    with suppress(NotFound):  # it went with another reference, or somebody removed it
        client.remove_image(name)
