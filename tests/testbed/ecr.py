"""A registry of AWS's: docker-registry keeps the images, and what stands in front of it refuses what AWS refuses."""

import base64
import os
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import bcrypt
from aiohttp import web

from dregsy.registry.client import ACCEPT_MANIFESTS
from tests.testbed.aws import ACCOUNT, REGION, AwsApi, Moto
from tests.testbed.certificates import Authority
from tests.testbed.faults import NO_FAULT, Fault, Seen
from tests.testbed.forwarding import forward, without
from tests.testbed.proxy import Forwarding
from tests.testbed.pushing import basic
from tests.testbed.servers import DockerRegistry

HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"


class Passwords:
    """The one password of a docker-registry, to be changed while it runs."""

    def __init__(self, folder: Path) -> None:
        self.password = "none yet"
        self._file = folder / "htpasswd"
        self._changed = 0

    def change(self, password: str) -> None:
        """Have the registry take ``password``, and no other; it reads the file anew when its time is a later one."""
        self.password = password
        text = f"AWS:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n"
        before = self._file.stat().st_mtime_ns if self._file.exists() else 0
        new = self._file.with_suffix(".new")
        new.write_text(text)
        os.utime(new, ns=(before + 2 * 10**9,) * 2)
        new.replace(self._file)


class EcrFront(Forwarding):
    """Answers as AWS's registries do where docker-registry would not; ``faults`` and ``expired`` are up to the test.

    ``repository`` tells of a repository's name its tag mutability, and None where there is no such repository.
    """

    def __init__(self, upstream: str, tls: ssl.SSLContext, repository: Callable[[str], str | None]) -> None:
        super().__init__(upstream)
        self.faults: list[Fault] = []
        self.expired: set[str] = set()
        self._tls = tls
        self._repository = repository

    async def answer(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        """Refuse, or do what the registry does."""
        fault = next((one for one in self.faults if one.take(request)), NO_FAULT)
        if fault.gate is not None:
            await fault.gate.hold()
        if fault.status:
            return web.Response(status=fault.status, headers=fault.headers)
        refused = self._refused(request) or await self._immutable(request)
        if refused is not None:
            return refused
        headers = without(request.headers.copy(), "Content-Length")
        headers["X-Forwarded-Proto"] = "https"
        if request.content_length is not None:
            headers["Content-Length"] = str(request.content_length)
        return await forward(self.client, self.upstream + request.path_qs, headers, request, fault, seen)

    def _refused(self, request: web.Request) -> web.Response | None:
        login = base64.b64decode(request.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if login.partition(":")[2] in self.expired:
            return _error(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
        name = _name(request)
        if name and login and self._repository(name) is None:
            text = f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'"
            return _error(404, "NAME_UNKNOWN", text)
        return None

    async def _immutable(self, request: web.Request) -> web.Response | None:
        """Refuse to write a tag a second time, even to what it has (docs: image tag immutability)."""
        tag = request.path.rpartition("/")[2]
        name = _name(request)
        if request.method != "PUT" or "/manifests/" not in request.path or ":" in tag:
            return None
        if self._repository(name) != "IMMUTABLE":
            return None
        accept = {**ACCEPT_MANIFESTS, "Authorization": request.headers.get("Authorization", "")}
        async with self.client.head(self.upstream + request.path, headers=accept) as answer:
            if answer.status == 404:
                return None
        text = (
            f"The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten "
            "because the tag is immutable."
        )
        return _error(400, "TAG_INVALID", text)


def _name(request: web.Request) -> str:
    """The repository that a request is about."""
    parts = request.path.removeprefix("/v2/").split("/")
    ends = [position for position, part in enumerate(parts) if part in {"manifests", "blobs", "tags"}]
    return "/".join(parts[: ends[-1]]) if ends else ""


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status)


class Ecr:
    """AWS's API and a private registry of it, for as long as ``with`` lasts.

    ``front`` is the registry as clients get to it, ``registry`` what keeps its images.
    """

    def __init__(self, folder: Path, moto: Moto, *, ttl: float = 43200) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.certs = folder / "certs.d"
        self.passwords = Passwords(folder)
        self.passwords.change("none yet")
        self.api = AwsApi(moto, self.passwords.change, ttl)
        path = {"htpasswd": {"realm": "ecr", "path": str(folder / "htpasswd")}}
        self.registry = DockerRegistry(folder / "registry", extra={"auth": path})
        authority = Authority(folder / "authority")
        (self.certs / HOST).mkdir(parents=True)
        (self.certs / HOST / "ca.crt").write_bytes(authority.ca_file.read_bytes())
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(*authority.issue("ecr", names=(HOST,)))
        self._stack = ExitStack()
        self.front: EcrFront

    def make(self, name: str, **settings: Any) -> None:
        """Make a repository."""
        self.api.client().create_repository(repositoryName=name, **settings)

    def repository(self, name: str) -> dict[str, Any] | None:
        """Return what AWS says of a repository; None where there is none."""
        every = self.api.client().describe_repositories()["repositories"]
        return next((one for one in every if one["repositoryName"] == name), None)

    def login(self) -> dict[str, str]:
        """Return the header that logs in with the token of this moment."""
        return basic("AWS", self.passwords.password)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.api)
            stack.enter_context(self.registry)
            self.front = stack.enter_context(EcrFront(self.registry.host, self._tls, self._mutability))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _mutability(self, name: str) -> str | None:
        found = self.repository(name)
        return str(found["imageTagMutability"]) if found else None
