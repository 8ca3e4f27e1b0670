"""GitLab: its registry's ``/gitlab/v1`` (gitlab-org/container-registry, docs-gitlab/api.md) and its API v4.

Both on one host here, as small installations have it.
"""

from urllib.parse import unquote

from aiohttp import web

from tests.testbed.vendors.server import VendorServer, sliced


class GitLab(VendorServer):
    """``groups`` and ``projects`` are those that exist. ``has_database``: the registry has a metadata database."""

    realm = "/jwt/auth"
    service = "container_registry"
    groups: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    has_database = True

    def routes(self) -> list[web.RouteDef]:
        """Return the lists."""
        return [
            web.get("/gitlab/v1/repositories/{name:.+}/tags/list/", self._tags),
            web.get("/api/v4/{kind:groups|projects}/{id}/registry/repositories", self._repositories),
        ]

    async def _tags(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not self.has_database:
            raise web.HTTPNotFound
        if not self.may(request, f"repository:{name}:pull"):
            return self.challenged()
        size, last = int(request.query.get("n", "100")), request.query.get("last", "")
        found = {tag: digest for tag, digest in self.digests(name).items() if tag > last}
        page = [
            {"name": tag, "digest": found[tag], "media_type": "…", "size_bytes": 1, **self._times(tag)}
            for tag in list(found)[:size]
        ]
        link = f'<http://{self.host}{request.path}?n={size}&last={page[-1]["name"]}>; rel="next"' if page else ""
        headers = {"Link": link} if len(found) > size else {}
        return web.json_response(page, headers=headers)

    def _times(self, tag: str) -> dict[str, str]:
        """Say when a tag was made, and when it was moved if it was."""
        since = self.since(tag)
        return (
            {"created_at": "2020-01-01T00:00:00.000Z", "updated_at": since}
            if tag in self.pushed
            else {"created_at": since}
        )

    async def _repositories(self, request: web.Request) -> web.Response:
        place = unquote(request.match_info["id"])
        known = self.groups if request.match_info["kind"] == "groups" else self.projects
        tokens = {request.headers.get("PRIVATE-TOKEN"), request.headers.get("JOB-TOKEN")}
        if place not in known or (self.users and not tokens.intersection(self.users.values())):
            raise web.HTTPNotFound
        names = [name for name in self.store.names() if name == place or name.startswith(f"{place}/")]
        found = [{"id": number, "path": name, "location": f"{self.host}/{name}"} for number, name in enumerate(names)]
        page, more = sliced(request, found, "per_page", 20, 100)
        follower = str(int(request.query["page"]) + 1) if more else ""
        return web.json_response(page, headers={"X-Next-Page": follower})
