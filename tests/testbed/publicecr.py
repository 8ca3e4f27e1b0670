"""AWS's public registry: tokens for everybody to read, and for those whom AWS's API gave a login to write."""

import base64
import ssl
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.testbed.aws import AwsApi, Moto
from tests.testbed.certificates import Authority
from tests.testbed.faults import NO_FAULT, Seen
from tests.testbed.forwarding import forward, without
from tests.testbed.proxy import Forwarding
from tests.testbed.servers import DockerRegistry

HOST = "public.ecr.aws"
ALIAS = "a1b2c3d4"


class PublicFront(Forwarding):
    """What stands in front of the registry; ``passwords`` are those that AWS's API gave out and that are still good."""

    def __init__(self, upstream: str, tls: ssl.SSLContext, has: Callable[[str], bool]) -> None:
        super().__init__(upstream)
        self.passwords: set[str] = set()
        self._tls = tls
        self._has = has
        self._writers: dict[str, str] = {}
        self._readers: set[str] = set()

    async def answer(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        """Give a token, refuse, or do what the registry does."""
        if request.path == "/token/":
            return self._token(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        writes = self._writers.get(token) in self.passwords
        if not writes and token not in self._readers:
            wanted = f'Bearer realm="https://{HOST}/token/",service="{HOST}",scope="aws"'
            return _refused(401, "Not Authorized", {"Www-Authenticate": wanted})
        if request.method not in {"GET", "HEAD"} and not writes:
            return _refused(403, "Not Authorized")
        name = request.path.removeprefix("/v2/").partition("/blobs/")[0].partition("/manifests/")[0]
        if request.method != "GET" and not self._has(name.removeprefix(f"{ALIAS}/")):
            text = f"The repository with name '{name}' does not exist in the registry with id '{ALIAS}'"
            return _refused(404, text, code="NAME_UNKNOWN")
        headers = without(request.headers.copy(), "Authorization")
        headers["X-Forwarded-Proto"] = "https"
        return await forward(self.client, self.upstream + request.path_qs, headers, request, NO_FAULT, seen)

    def _token(self, request: web.Request) -> web.Response:
        token = uuid.uuid4().hex
        login = request.headers.get("Authorization", "")
        if not login:
            self._readers.add(token)
            return web.json_response({"token": token})
        user, _, password = base64.b64decode(login.removeprefix("Basic ")).decode().partition(":")
        if user != "AWS" or password not in self.passwords:
            return _refused(403, "Your Authorization Token is invalid.")
        self._writers[token] = password
        return web.json_response({"token": token})


def _refused(status: int, text: str, headers: dict[str, str] | None = None, code: str = "DENIED") -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": text}]}, status=status, headers=headers)


class PublicEcr:
    """AWS's API and the public registry, for as long as ``with`` lasts; ``registry`` keeps the images."""

    def __init__(self, folder: Path, moto: Moto) -> None:
        self.certs = folder / "certs.d"
        self.api = AwsApi(moto, self._issued)
        self.registry = DockerRegistry(folder / "registry")
        authority = Authority(folder / "authority")
        (self.certs / HOST).mkdir(parents=True)
        (self.certs / HOST / "ca.crt").write_bytes(authority.ca_file.read_bytes())
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(*authority.issue("public", names=(HOST,)))
        self._stack = ExitStack()
        self.front: PublicFront

    def _issued(self, password: str) -> None:
        self.front.passwords.add(password)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.api)
            stack.enter_context(self.registry)
            self.front = stack.enter_context(
                PublicFront(self.registry.host, self._tls, lambda name: name in self.api.public)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
