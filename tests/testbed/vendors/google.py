"""Google's registries: ``tags/list`` with ``child`` and ``manifest`` (google/go-containerregistry, pkg/v1/google)."""

from typing import Any

from aiohttp import web

from tests.testbed.vendors.server import VendorServer


class Google(VendorServer):
    """Lists of tags tell more than the distribution API asks for, of folders too."""

    realm = "/v2/token"
    service = "gcr.io"

    def routes(self) -> list[web.RouteDef]:
        """Return the one list, which takes the place of the distribution API's."""
        return [web.get("/v2/{name:.+}/tags/list", self._tags)]

    async def _tags(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not self.may(request, f"repository:{name}:pull"):
            return self.challenged()
        names = self.store.names()
        below = {one.removeprefix(f"{name}/").partition("/")[0] for one in names if one.startswith(f"{name}/")}
        if not below and name not in names:
            raise web.HTTPNotFound
        manifests: dict[str, Any] = {}
        for tag, digest in (self.digests(name) if name in names else {}).items():
            empty = {"imageSizeBytes": "1", "mediaType": "…", "tag": [], "timeCreatedMs": "0"}
            manifests.setdefault(digest, empty)["tag"].append(tag)
        for one in manifests.values():
            one["timeUploadedMs"] = f"{self.seconds(one['tag'])}000"
        tags = [tag for one in manifests.values() for tag in one["tag"]]
        return web.json_response({"child": sorted(below), "manifest": manifests, "name": name, "tags": sorted(tags)})
