"""Azure Container Registry: ``/acr/v1`` with a scope of its own (its REST reference, «Get Tag List»).

And its logins: tokens of Microsoft Entra are exchanged for refresh tokens of the registry, and these for
access tokens of which nobody tells how long they are good (Azure/acr, docs/AAD-OAuth.md).
"""

import uuid
from collections.abc import Mapping

from aiohttp import web

from tests.testbed.pushing import basic
from tests.testbed.vendors.server import VendorServer

NOBODY = "00000000-0000-0000-0000-000000000000"
"""The user name that goes with a refresh token."""


class Azure(VendorServer):
    """Wants ``metadata_read``, and names the next page by a path; ``entra`` is the one token it exchanges."""

    realm = "/oauth2/token"
    service = "example.azurecr.io"
    entra = "token-of-microsoft-entra"

    def __init__(self, *, users: Mapping[str, str] | None = None) -> None:
        super().__init__(users=users)
        self._refresh_tokens: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        """Return the one list, and the exchanges of tokens."""
        return [
            web.get("/acr/v1/{name:.+}/_tags", self._tags),
            web.post("/oauth2/exchange", self._exchange),
            web.post("/oauth2/token", self._refresh),
        ]

    def user(self, request: web.Request) -> str:
        """Let a refresh token in as the password of nobody in particular."""
        tokens = [basic(NOBODY, one)["Authorization"] for one in self._refresh_tokens]
        return NOBODY if request.headers.get("Authorization") in tokens else super().user(request)

    async def _token(self, request: web.Request) -> web.Response:
        self.user(request)
        return self._granted(request.query.get("service"), request.query.getall("scope", []))

    async def _exchange(self, request: web.Request) -> web.Response:
        form = await request.post()
        if (form.get("grant_type"), form.get("service")) != ("access_token", self.service):
            raise web.HTTPBadRequest
        if form.get("access_token") != self.entra:
            raise web.HTTPUnauthorized
        token = f"refresh-{uuid.uuid4().hex}"
        self._refresh_tokens.add(token)
        return web.json_response({"refresh_token": token})

    async def _refresh(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("grant_type") != "refresh_token":
            raise web.HTTPBadRequest
        if form.get("refresh_token") not in self._refresh_tokens:
            errors = [{"code": "UNAUTHORIZED", "message": "authentication required"}]
            return web.json_response({"errors": errors}, status=401)
        return self._granted(form.get("service"), str(form.get("scope", "")).split())

    def _granted(self, service: object, scopes: list[str]) -> web.Response:
        if service != self.service:
            raise web.HTTPBadRequest
        token = uuid.uuid4().hex
        self._tokens[token] = set(scopes)
        return web.json_response({"access_token": token})

    async def _tags(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not self.may(request, f"repository:{name}:metadata_read"):
            return self.challenged()
        size, last = int(request.query.get("n", "100")), request.query.get("last", "")
        found = {tag: digest for tag, digest in self.digests(name).items() if tag > last}
        old = "2020-01-01T00:00:00.0000000Z"
        page = [
            {"name": tag, "digest": found[tag], "createdTime": old, "lastUpdateTime": self.since(tag), "signed": False}
            for tag in list(found)[:size]
        ]
        link = f'<{request.path}?last={page[-1]["name"]}&n={size}&orderby=>; rel="next"' if page else ""
        headers = {"Link": link} if len(found) > size else {}
        return web.json_response({"registry": self.service, "imageName": name, "tags": page}, headers=headers)
