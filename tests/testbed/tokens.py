"""A Bearer token service as registries use it: real HTTP, real signed tokens (distribution's token specification)."""

import base64
import binascii
import fnmatch
import ssl
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.testbed.certificates import Authority
from tests.testbed.serving import Served

LEEWAY = 60
"""How long, in seconds, docker-registry accepts a token after its end."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a user may do in the repositories whose names match a glob; the user "" is everybody."""

    user: str
    repositories: str
    actions: frozenset[str]


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request for a token, answered with ``status``.

    ``grant`` is ``get``, or the grant_type of a POST: ``password`` or ``refresh_token``.
    """

    grant: str
    user: str
    scopes: tuple[str, ...]
    status: int


class TokenServer(Served):
    """Issues tokens that a docker-registry with ``config()`` accepts.

    ``ttl`` is for how many seconds a token claims to be good. ``requests`` holds all that was asked for.
    """

    service = "testbed-registry"
    issuer = "testbed-issuer"

    def __init__(
        self,
        authority: Authority,
        *,
        users: Mapping[str, str] | None = None,
        grants: Sequence[Grant] = (Grant("", "*", frozenset({"pull"})),),
        ttl: int = 300,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(tls=tls)
        self.requests: list[TokenRequest] = []
        self.ttl = ttl
        self._authority_file = authority.ca_file
        self._users = dict(users or {})
        self._grants = tuple(grants)
        certificate, key = authority.issue(f"tokens-{uuid.uuid4().hex[:8]}", names=())
        self._key = key.read_text()
        self._chain = [_x5c(certificate)]
        self._sessions: dict[str, str] = {}
        self._issued: set[str] = set()
        self._revoked: set[str] = set()
        self._spoiled = 0

    def config(self) -> dict[str, Any]:
        """Return the config by which a docker-registry trusts this service; it must be running."""
        realm = f"{self.scheme}://{self.host}/token"
        names = {"realm": realm, "service": self.service, "issuer": self.issuer}
        return {"auth": {"token": {**names, "rootcertbundle": str(self._authority_file)}}}

    def scopes(self) -> list[str]:
        """All scopes that were asked for, in order."""
        return [scope for request in self.requests for scope in request.scopes]

    def mint(self, user: str, *scopes: str) -> str:
        """Make a token as ``user`` would get it, without asking over HTTP and without counting."""
        return self._token(user, self._access(user, scopes))

    def identity_token(self, user: str) -> str:
        """Make an identity (refresh) token of ``user``, as ``docker login`` keeps it."""
        token = uuid.uuid4().hex
        self._sessions[token] = user
        return token

    def revoke(self) -> None:
        """Have all tokens so far refused by registries that stand behind a RecordingProxy which asks ``is_revoked``."""
        self._revoked |= self._issued

    def is_revoked(self, token: str) -> bool:
        """Tell whether a token was revoked."""
        return token in self._revoked

    def spoil(self, count: int) -> None:
        """Have the next ``count`` tokens be expired when they are issued, though they claim to be good."""
        self._spoiled = count

    async def application(self) -> web.Application:
        """Serve the one endpoint, for GET (basic) and POST (OAuth2)."""
        app = web.Application()
        app.add_routes([web.get("/token", self._get), web.post("/token", self._post)])
        return app

    async def _get(self, request: web.Request) -> web.Response:
        user, password = _basic(request.headers.get("Authorization", ""))
        scopes = _scopes(request.query.getall("scope", []))
        if user and self._users.get(user) != password:
            return self._refuse("get", user, scopes)
        offline = request.query.get("offline_token") == "true"
        return self._grant("get", user, scopes, {"refresh_token": self.identity_token(user)} if offline else {})

    async def _post(self, request: web.Request) -> web.Response:
        form = {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
        grant, scopes = form.get("grant_type", ""), _scopes([form.get("scope", "")])
        if grant == "refresh_token" and (user := self._sessions.get(form.get("refresh_token", ""))):
            return self._grant(grant, user, scopes, {"refresh_token": form["refresh_token"]})
        user = form.get("username", "")
        if grant == "password" and user and self._users.get(user) == form.get("password"):
            return self._grant(grant, user, scopes, {"refresh_token": self.identity_token(user)})
        return self._refuse(grant, user, scopes)

    def _grant(self, grant: str, user: str, scopes: tuple[str, ...], extra: dict[str, str]) -> web.Response:
        self.requests.append(TokenRequest(grant, user, scopes, 200))
        token = self._token(user, self._access(user, scopes))
        issued = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        times = {"expires_in": self.ttl, "issued_at": issued}
        return web.json_response({"token": token, "access_token": token, **times, **extra})

    def _refuse(self, grant: str, user: str, scopes: tuple[str, ...]) -> web.Response:
        self.requests.append(TokenRequest(grant, user, scopes, 401))
        return web.json_response({"errors": [{"code": "UNAUTHORIZED", "message": "wrong login"}]}, status=401)

    def _access(self, user: str, scopes: Iterable[str]) -> list[dict[str, Any]]:
        """Cut what is asked for down to what the user may have."""
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, wanted = rest.rpartition(":")
            actions = self._allowed(user, name).intersection(wanted.split(","))
            if actions:
                access.append({"type": kind, "name": name, "actions": sorted(actions)})
        return access

    def _allowed(self, user: str, name: str) -> frozenset[str]:
        fitting = [
            one for one in self._grants if one.user in {user, ""} and fnmatch.fnmatchcase(name, one.repositories)
        ]
        return frozenset().union(*(one.actions for one in fitting))

    def _token(self, user: str, access: list[dict[str, Any]]) -> str:
        now = int(time.time())
        end = now + self.ttl
        if self._spoiled:
            self._spoiled -= 1
            end = now - LEEWAY - 10
        claims = {"iss": self.issuer, "sub": user, "aud": self.service, "jti": uuid.uuid4().hex, "access": access}
        times = {"exp": end, "nbf": now - 3600, "iat": now}
        token = jwt.encode({**claims, **times}, self._key, algorithm="ES256", headers={"x5c": self._chain})
        self._issued.add(token)
        return token


def _x5c(certificate: Path) -> str:
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    return base64.b64encode(loaded.public_bytes(Encoding.DER)).decode()


def _scopes(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(scope for value in values for scope in value.split())


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        text = base64.b64decode(encoded).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    user, _, password = text.partition(":")
    return user, password
