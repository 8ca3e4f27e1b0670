"""Docker Hub: hub.docker.com's API (docs.docker.com/reference/api/hub) and index.docker.io's search, on one host."""

import uuid
from typing import Any

from aiohttp import web

from dregsy.registry.vendors.dockerhub import DockerHub
from tests.testbed.vendors.server import VendorServer, sliced


class Hub(VendorServer):
    """Repositories named in ``plugins`` are no images. ``sessions`` counts the tokens that its API issued.

    Its search tells the ``counts``, and gives ``most`` on a page; without ``paged`` every page is the first.
    """

    realm = "/token"
    service = "registry.docker.io"
    plugins: tuple[str, ...] = ()
    counts: tuple[str, ...] = ("num_pages", "num_results")
    most = 100
    paged = True

    def client(self) -> DockerHub:
        """Return what asks this Docker Hub, not the real one."""
        place = f"http://{self.host}/"
        return DockerHub(place, place, hosts=frozenset({self.host}))

    def routes(self) -> list[web.RouteDef]:
        """Return the API."""
        below = "/v2/namespaces/{namespace}/repositories"
        self.sessions: set[str] = set()
        return [
            web.post("/v2/auth/token", self._login),
            web.get(below, self._repositories),
            web.get(below + "/{repository}/tags", self._tags),
            web.get("/v1/search", self._search),
        ]

    async def _login(self, request: web.Request) -> web.Response:
        given: dict[str, str] = await request.json()
        if self.users.get(given["identifier"]) != given["secret"]:
            raise web.HTTPUnauthorized
        self.sessions.add(token := uuid.uuid4().hex)
        return web.json_response({"access_token": token})

    async def _repositories(self, request: web.Request) -> web.Response:
        self._authorize(request)
        space = request.match_info["namespace"]
        names = [name.removeprefix(f"{space}/") for name in self.store.names() if name.startswith(f"{space}/")]
        kinds = {name: "plugin" if f"{space}/{name}" in self.plugins else "image" for name in names}
        found = [{"name": name, "namespace": space, "repository_type": kind} for name, kind in kinds.items()]
        return self._page(request, found)

    async def _tags(self, request: web.Request) -> web.Response:
        self._authorize(request)
        digests = self.digests(f"{request.match_info['namespace']}/{request.match_info['repository']}")
        images = [{"architecture": "amd64", "os": "linux", "digest": f"sha256:{'1' * 64}"}]
        tags = [
            {"name": tag, "digest": one, "images": images, "last_updated": since, "tag_last_pushed": since}
            for tag, one in digests.items()
            if (since := self.since(tag))
        ]
        return self._page(request, tags)

    async def _search(self, request: web.Request) -> web.Response:
        self.user(request)
        names = [name for name in self.store.names() if request.query["q"] in name]
        found = [{"name": name.removeprefix("library/"), "is_official": name.startswith("library/")} for name in names]
        page = sliced(request, found, "n", 25, self.most)[0] if self.paged else found[: self.most]
        told = {"num_pages": -(-len(found) // self.most), "num_results": len(found)}
        return web.json_response({"results": page} | {key: told[key] for key in self.counts})

    def _authorize(self, request: web.Request) -> None:
        if self.users and request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.sessions:
            raise web.HTTPUnauthorized

    def _page(self, request: web.Request, items: list[dict[str, Any]]) -> web.Response:
        page, more = sliced(request, items, "page_size", 10, 100)
        follower = f"http://{self.host}{request.path}?page={int(request.query['page']) + 1}" if more else None
        return web.json_response({"count": len(items), "next": follower, "previous": None, "results": page})
