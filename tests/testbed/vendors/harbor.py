"""Harbor 2.x: ``/api/v2.0`` with Basic logins and pages by number (goharbor/harbor, api/v2.0/swagger.yaml)."""

from typing import Any
from urllib.parse import unquote

from aiohttp import web

from tests.testbed.vendors.server import VendorServer, sliced

_DEFAULT, _MOST = 10, 100


class Harbor(VendorServer):
    """Repositories are ``project/name``; the name's slashes come encoded twice."""

    realm = "/service/token"
    service = "harbor-registry"

    def routes(self) -> list[web.RouteDef]:
        """Return the two lists."""
        below = "/api/v2.0/projects/{project}/repositories"
        return [
            web.get("/api/v2.0/repositories", self._repositories),
            web.get(below, self._repositories),
            web.get(below + "/{repository}/artifacts", self._artifacts),
        ]

    async def _repositories(self, request: web.Request) -> web.Response:
        self.user(request)
        project = request.match_info.get("project", "")
        names = [name for name in self.store.names() if not project or name.startswith(f"{project}/")]
        if project and not names:
            raise web.HTTPForbidden
        return self._page(request, [{"name": name, "artifact_count": 1, "pull_count": 0} for name in names])

    async def _artifacts(self, request: web.Request) -> web.Response:
        self.user(request)
        encoded = request.raw_path.partition("/repositories/")[2].partition("/artifacts")[0]
        if encoded != encoded.replace("%2F", ""):
            raise web.HTTPNotFound  # encoded once: the router has decoded and split it by then
        name = f"{request.match_info['project']}/{unquote(unquote(encoded))}"
        by_digest: dict[str, list[str]] = {}
        for tag, digest in self.digests(name).items():
            by_digest.setdefault(digest, []).append(tag)
        artifacts: list[dict[str, Any]] = [
            {"digest": digest, "type": "IMAGE", "tags": [self._tag(tag) for tag in tags]}
            for digest, tags in by_digest.items()
        ]
        if request.query.get("q") != "tags=*":
            artifacts.append({"digest": f"sha256:{'0' * 64}", "type": "IMAGE", "tags": None})
        return self._page(request, artifacts)

    def _tag(self, tag: str) -> dict[str, Any]:
        return {"name": tag, "push_time": self.since(tag), "immutable": False}

    def _page(self, request: web.Request, items: list[dict[str, Any]]) -> web.Response:
        page, _ = sliced(request, items, "page_size", _DEFAULT, _MOST)
        return web.json_response(page, headers={"X-Total-Count": str(len(items))})
