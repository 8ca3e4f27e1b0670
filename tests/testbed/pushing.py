"""Pushes images made by dregsy.embedded.images to any registry, with nothing but the standard library's HTTP."""

import base64
import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from dregsy.embedded.images import Image
from dregsy.model.digest import Digest

SECONDS = 30
"""The longest that one request may take."""


def push(
    host: str,
    repository: str,
    image: Image,
    *tags: str,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> str:
    """Push an image with everything below it, and return its digest.

    ``headers`` go along with each request, such as ``basic(user, password)`` or ``bearer(token)``.
    """
    connection = (
        http.client.HTTPSConnection(host, timeout=SECONDS, context=tls)
        if tls
        else http.client.HTTPConnection(host, timeout=SECONDS)
    )
    try:
        pusher = _Pusher(connection, repository, dict(headers or {}))
        for digest, blob in image.blobs.items():
            pusher.blob(digest, blob)
        for manifest in image.manifests:
            pusher.manifest(str(manifest.digest), manifest.raw, manifest.media_type)
        for tag in tags:
            pusher.manifest(tag, image.top.raw, image.top.media_type)
    finally:
        connection.close()
    return str(image.digest)


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of a Basic login."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a Bearer token."""
    return {"Authorization": f"Bearer {token}"}


class _Pusher:
    """One connection to one repository."""

    def __init__(self, connection: http.client.HTTPConnection, repository: str, headers: dict[str, str]) -> None:
        self._connection = connection
        self._base = f"/v2/{repository}"
        self._headers = headers

    def blob(self, digest: Digest, content: bytes) -> None:
        location = self._request("POST", f"{self._base}/blobs/uploads/", b"", 202)
        parts = urlsplit(location)
        query = f"{parts.query}&digest={digest}" if parts.query else f"digest={digest}"
        self._request("PUT", f"{parts.path}?{query}", content, 201, "application/octet-stream")

    def manifest(self, reference: str, raw: bytes, media_type: str) -> None:
        self._request("PUT", f"{self._base}/manifests/{reference}", raw, 201, media_type)

    def _request(self, method: str, path: str, body: bytes, status: int, media_type: str = "") -> str:
        headers = {**self._headers, "Content-Type": media_type} if media_type else self._headers
        self._connection.request(method, path, body=body, headers=headers)
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status == status, f"{method} {path}: {answer.status} {text.decode(errors='replace')}"
        return answer.headers.get("Location", "")
