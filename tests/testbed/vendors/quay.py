"""Quay: ``/api/v1`` with OAuth tokens and pages by token or number (quay/quay, endpoints/api)."""

from aiohttp import web

from tests.testbed.vendors.server import VendorServer, sliced

_PAGE = 100


class Quay(VendorServer):
    """The password of ``$oauthtoken``, if there is such a user, is the token that its API takes."""

    realm = "/v2/auth"
    service = "quay.example.com"

    def routes(self) -> list[web.RouteDef]:
        """Return the two lists."""
        return [
            web.get("/api/v1/repository", self._repositories),
            web.get("/api/v1/repository/{name:.+}/tag/", self._tags),
        ]

    async def _repositories(self, request: web.Request) -> web.Response:
        self._authorize(request)
        namespace, start = request.query["namespace"], int(request.query.get("next_page", "0"))
        names = [name.partition("/")[2] for name in self.store.names() if name.startswith(f"{namespace}/")]
        found = [{"namespace": namespace, "name": name, "is_public": True} for name in names[start : start + _PAGE]]
        more = {"next_page": str(start + _PAGE)} if len(names) > start + _PAGE else {}
        return web.json_response({"repositories": found, **more})

    async def _tags(self, request: web.Request) -> web.Response:
        self._authorize(request)
        digests = self.digests(request.match_info["name"])
        tags = [
            {"name": tag, "manifest_digest": one, "is_manifest_list": False, "start_ts": self.seconds([tag])}
            for tag, one in digests.items()
        ]
        page, more = sliced(request, tags, "limit", 50, _PAGE)
        return web.json_response({"tags": page, "page": int(request.query["page"]), "has_additional": more})

    def _authorize(self, request: web.Request) -> None:
        token = self.users.get("$oauthtoken")
        if self.users and request.headers.get("Authorization") != f"Bearer {token}":
            raise web.HTTPUnauthorized
