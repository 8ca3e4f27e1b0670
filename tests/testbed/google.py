"""Google as google-auth sees it: a server for OAuth tokens, a security token service, and a metadata server."""

import json
import ssl
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dregsy.cloud.gcp import USER
from tests.testbed.servers import DockerRegistry
from tests.testbed.serving import Served

ACCOUNT = "mirror@example-project.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
REFRESH_TOKEN = "1//refresh-me"
SUBJECT_TOKEN = "token-of-another-house"

_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_MACHINE = "/computeMetadata/v1/instance/service-accounts/default/"
_AUDIENCE = "https://oauth2.googleapis.com/token"
_KEY = rsa.generate_private_key(65537, 2048)


class Google(Served):
    """Issues access tokens that are good for ``ttl`` seconds, and tells ``issue`` each.

    ``asked`` are the ways by which tokens were asked for, in order; ``errors`` are what the next requests
    for tokens are answered with, as status and document. ``flavour`` is what the metadata server says it is.
    """

    def __init__(
        self, issue: Callable[[str], None] = lambda _token: None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(tls=tls)
        self.ttl = 3600
        self.tokens: list[str] = []
        self.asked: list[str] = []
        self.errors: list[tuple[int, dict[str, Any] | str]] = []
        self.flavour = "Google"
        self._issue = issue

    def service_account(self, folder: Path) -> Path:
        """Write the file of a service account."""
        info = {"type": "service_account", "client_email": ACCOUNT, "private_key_id": "k1", "private_key": _pem(_KEY)}
        return self._write(folder, {**info, "token_uri": f"http://{self.host}/token"})

    def user(self, folder: Path) -> Path:
        """Write the file of a person, as gcloud does; it always leads to oauth2.googleapis.com."""
        info = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": REFRESH_TOKEN}
        return self._write(folder, info)

    def workload(self, folder: Path) -> Path:
        """Write the file of a workload identity whose own token is in a file."""
        own = folder / "subject"
        own.write_text(SUBJECT_TOKEN)
        info = {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"http://{self.host}/sts",
            "credential_source": {"file": str(own)},
        }
        return self._write(folder, info)

    async def application(self) -> web.Application:
        """Serve all three."""
        app = web.Application()
        app.add_routes(
            [
                web.post("/token", self._oauth),
                web.post("/sts", self._exchange),
                web.get("/", self._flavoured),
                web.get(_MACHINE, self._machine),
                web.get(f"{_MACHINE}token", self._machine_token),
            ]
        )
        return app

    def _write(self, folder: Path, info: dict[str, Any]) -> Path:
        path = folder / f"{info['type']}.json"
        path.write_text(json.dumps(info))
        return path

    async def _oauth(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append(str(form.get("grant_type")))
        if form.get("grant_type") == _JWT_GRANT:
            options: Any = {"require": ["exp", "iat", "iss", "aud"]}
            try:
                said = jwt.decode(str(form["assertion"]), _KEY.public_key(), ["RS256"], options, audience=_AUDIENCE)
            except jwt.InvalidTokenError:
                return _refused("Invalid JWT Signature.")
            good = (said["iss"], said["scope"]) == (ACCOUNT, SCOPE)
        else:
            good = (form.get("grant_type"), form.get("refresh_token")) == ("refresh_token", REFRESH_TOKEN)
        return self._granted() if good else _refused("Bad Request")

    async def _exchange(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append(str(form.get("grant_type")))
        given = (form.get("grant_type"), form.get("subject_token"), form.get("scope"))
        return self._granted() if given == (_EXCHANGE_GRANT, SUBJECT_TOKEN, SCOPE) else _refused("The token is bad")

    async def _flavoured(self, _request: web.Request) -> web.Response:
        self.asked.append("probe")
        return web.Response(text="computeMetadata/\n", headers={"Metadata-Flavor": self.flavour})

    async def _machine(self, request: web.Request) -> web.Response:
        _check_flavour(request)
        about = {"aliases": ["default"], "email": ACCOUNT, "scopes": [SCOPE]}
        return web.json_response(about, headers={"Metadata-Flavor": self.flavour})

    async def _machine_token(self, request: web.Request) -> web.Response:
        _check_flavour(request)
        self.asked.append("metadata")
        return self._granted()

    def _granted(self) -> web.Response:
        if self.errors:
            status, said = self.errors.pop(0)
            return web.json_response(said, status=status)
        token = f"ya29.{uuid.uuid4().hex}"
        self.tokens.append(token)
        self._issue(token)
        return web.json_response({"access_token": token, "expires_in": self.ttl, "token_type": "Bearer"})


def with_other_key(path: Path) -> None:
    """Replace the key in the file of a service account by one that Google does not know."""
    info = json.loads(path.read_text())
    path.write_text(json.dumps({**info, "private_key": _pem(rsa.generate_private_key(65537, 2048))}))


def only_login(registry: DockerRegistry, token: str) -> None:
    """Have a registry that wants logins accept this token and no other any more."""
    path = registry.data.parent / "htpasswd"
    new = path.with_suffix(f".{time.monotonic_ns()}")
    new.write_text(f"{USER}:{bcrypt.hashpw(token.encode(), bcrypt.gensalt(4)).decode()}\n")
    new.replace(path)


def _pem(key: rsa.RSAPrivateKey) -> str:
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, kind, plain).decode()


def _check_flavour(request: web.Request) -> None:
    if request.headers.get("Metadata-Flavor") != "Google":
        raise web.HTTPForbidden(text="Missing Metadata-Flavor:Google header.")


def _refused(what: str) -> web.Response:
    return web.json_response({"error": "invalid_grant", "error_description": what}, status=400)
