"""A registry that counts pulls as Docker Hub does, in front of a real one."""

import json

from aiohttp import web

from tests.testbed.faults import Fault, Seen
from tests.testbed.forwarding import forward, without
from tests.testbed.proxy import RecordingProxy

USED_UP = {
    "errors": [
        {
            "code": "TOOMANYREQUESTS",
            "message": "You have reached your pull rate limit. You may increase the limit by authenticating.",
        }
    ]
}
ABUSE = b"<html><body><h1>429 Too Many Requests</h1></body></html>"


class PullLimited(RecordingProxy):
    """Takes one of ``left`` pulls for each GET of a manifest, none for a HEAD, and tells in both answers what is left.

    After ``refills_after`` further looks at a time when less than ``low`` are left, there are ``limit`` again.
    """

    def __init__(self, upstream: str, *, left: int, limit: int = 100, low: int = 0, refills_after: int = -1) -> None:
        super().__init__(upstream)
        self.left = left
        self.least = left
        self._limit = limit
        self._low = low
        self._looks = refills_after

    async def answer(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        """Count, refuse with Docker Hub's words, or pass on."""
        if "/manifests/" not in request.path or request.method not in {"GET", "HEAD"}:
            return await super().answer(request, seen)
        if request.method == "HEAD" and self.left < self._low:
            self._looks -= 1
            self.left = self._limit if self._looks == 0 else self.left
        if request.method == "GET":
            if self.left <= 0:
                return web.Response(status=429, headers=self._headers(), body=json.dumps(USED_UP).encode())
            self.left -= 1
            self.least = min(self.least, self.left)
        told = Fault(path="", headers=self._headers())
        headers = without(request.headers.copy())
        return await forward(self.client, self.upstream + request.path_qs, headers, request, told, seen)

    def _headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": f"{self._limit};w=21600",
            "RateLimit-Remaining": f"{self.left};w=21600",
            "Docker-RateLimit-Source": "192.0.2.1",
        }
