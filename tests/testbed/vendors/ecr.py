"""AWS's API for ECR, private and public: JSON 1.1 over POST, pages by token (Amazon ECR API reference)."""

from typing import Any

from aiohttp import web

from tests.testbed.vendors.server import VendorServer

ACCOUNT = "123456789012"
HOST = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
_PRIVATE = "AmazonEC2ContainerRegistry_V20150921"
_PUBLIC = "SpencerFrontendService"


class Aws(VendorServer):
    """Answers what AWS's own endpoint would; ``failure`` is the code of an error that it gives instead."""

    realm = "/token"
    service = "ecr.amazonaws.com"
    failure = ""

    def routes(self) -> list[web.RouteDef]:
        """Return the one place that all questions go to."""
        return [web.post("/", self._asked)]

    async def _asked(self, request: web.Request) -> web.Response:
        service, _, operation = request.headers["X-Amz-Target"].partition(".")
        query: dict[str, Any] = await request.json()
        if not request.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 Credential="):
            return self._refused("MissingAuthenticationToken")
        if self.failure:
            return self._refused(self.failure)
        if (service == _PRIVATE) != (query.get("registryId") == ACCOUNT):
            return self._refused("RegistryNotFoundException")
        if operation == "DescribeRepositories":
            place = f"{HOST}/" if service == _PRIVATE else "public.ecr.aws/x1y2z3/"
            names = [{"repositoryName": name, "repositoryUri": place + name} for name in self.store.names()]
            return self._page(query, "repositories", names)
        if query["repositoryName"] not in self.store.names():
            return self._refused("RepositoryNotFoundException")
        by_digest: dict[str, list[str]] = {}
        for tag, digest in self.digests(query["repositoryName"]).items():
            by_digest.setdefault(digest, []).append(tag)
        images: list[dict[str, Any]] = [
            {"imageDigest": one, "imageTags": tags, "imagePushedAt": self.seconds(tags)}
            for one, tags in by_digest.items()
        ]
        if query.get("filter", {}).get("tagStatus") != "TAGGED":
            images.append({"imageDigest": f"sha256:{'0' * 64}"})
        return self._page(query, "imageDetails", images)

    def _page(self, query: dict[str, Any], key: str, items: list[dict[str, Any]]) -> web.Response:
        start, size = int(query.get("nextToken", "0")), min(query.get("maxResults", 100), 1000)
        more = {"nextToken": str(start + size)} if len(items) > start + size else {}
        return self._json({key: items[start : start + size], **more})

    def _refused(self, code: str) -> web.Response:
        return self._json({"__type": code, "message": "no"}, 400)

    def _json(self, document: dict[str, Any], status: int = 200) -> web.Response:
        return web.json_response(document, status=status, content_type="application/x-amz-json-1.1")
