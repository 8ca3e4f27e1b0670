"""Azure Container Registry: ``/acr/v1`` with a scope of its own (its REST reference, «Get Tag List»)."""

from aiohttp import web

from tests.testbed.vendors.server import VendorServer


class Azure(VendorServer):
    """Wants ``metadata_read``, and names the next page by a path."""

    realm = "/oauth2/token"
    service = "example.azurecr.io"

    def routes(self) -> list[web.RouteDef]:
        """Return the one list."""
        return [web.get("/acr/v1/{name:.+}/_tags", self._tags)]

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
