"""The OCI distribution API over a store: one coroutine per request, nothing but HTTP.

Bodies pass in pieces in both directions. Refusals are the store's RegistryErrors, which the server answers.
"""

import json
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from dregsy.embedded.requestlog import Exchange
from dregsy.embedded.store import MANIFEST_LIMIT, Repository, Store, Upload
from dregsy.errors import RegistryError
from dregsy.model.digest import Digest
from dregsy.model.manifest import OCI_INDEX

CHUNK = 256 * 1024
EXCHANGE = web.RequestKey("exchange", Exchange)
"""Where a request carries the Exchange that counts it."""


class Api:
    """Answers requests out of a store (OCI distribution spec, Endpoints)."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def routes(self) -> list[web.RouteDef]:
        """Return all endpoints; repository names may have slashes, so the order counts."""
        uploads = "/v2/{name:.+}/blobs/uploads"
        return [
            web.get("/v2/", self.ping),
            web.get("/v2/_catalog", self.catalog),
            web.get("/v2/{name:.+}/tags/list", self.tags),
            web.get("/v2/{name:.+}/referrers/{digest}", self.referrers),
            web.get("/v2/{name:.+}/manifests/{reference}", self.get_manifest),
            web.put("/v2/{name:.+}/manifests/{reference}", self.put_manifest),
            web.delete("/v2/{name:.+}/manifests/{reference}", self.delete_manifest),
            web.post(f"{uploads}/", self.start_upload),
            web.get(f"{uploads}/{{upload}}", self.upload_status),
            web.patch(f"{uploads}/{{upload}}", self.patch_upload),
            web.put(f"{uploads}/{{upload}}", self.put_upload),
            web.delete(f"{uploads}/{{upload}}", self.delete_upload),
            web.get("/v2/{name:.+}/blobs/{digest}", self.get_blob),
            web.delete("/v2/{name:.+}/blobs/{digest}", self.delete_blob),
        ]

    async def ping(self, request: web.Request) -> web.Response:
        """Say that this is a registry."""
        del request
        return web.json_response({})

    async def catalog(self, request: web.Request) -> web.Response:
        """List repositories, page by page."""
        return _page(request, "repositories", self.store.names(), {})

    async def tags(self, request: web.Request) -> web.Response:
        """List tags, page by page."""
        name = request.match_info["name"]
        return _page(request, "tags", self.store.tags(name), {"name": name})

    async def referrers(self, request: web.Request) -> web.Response:
        """List what refers to a manifest; an empty index where nothing does."""
        kind = request.query.get("artifactType", "")
        found = self._repository(request).referrers(_digest(request.match_info["digest"]), kind)
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}).encode()
        headers = {"OCI-Filters-Applied": "artifactType"} if kind else {}
        return web.Response(body=body, content_type=OCI_INDEX, headers=headers)

    async def get_manifest(self, request: web.Request) -> web.Response:
        """Send a manifest as it came; also answers HEAD."""
        repository = self._repository(request)
        digest = repository.resolve(request.match_info["reference"])
        headers = {"Docker-Content-Digest": str(digest), "ETag": f'"{digest}"'}
        if request.headers.get("If-None-Match") == f'"{digest}"':
            return web.Response(status=304, headers=headers)
        manifest = repository.manifests[digest]
        return web.Response(body=manifest.raw, content_type=manifest.media_type, headers=headers)

    async def put_manifest(self, request: web.Request) -> web.Response:
        """Store a manifest."""
        name, reference = request.match_info["name"], request.match_info["reference"]
        raw = bytearray()
        async for chunk in request.content.iter_any():
            raw += chunk
            if len(raw) > MANIFEST_LIMIT:
                break
        repository = self._repository(request, writing=True)
        digest = repository.put_manifest(reference, bytes(raw), request.headers.get("Content-Type", ""))
        headers = {"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": str(digest)}
        subject = repository.manifests[digest].subject
        if subject is not None:
            headers["OCI-Subject"] = str(subject.digest)
        return web.Response(status=201, headers=headers)

    async def delete_manifest(self, request: web.Request) -> web.Response:
        """Delete a tag, or a manifest with its tags."""
        self._repository(request).delete_manifest(request.match_info["reference"])
        return web.Response(status=202)

    async def get_blob(self, request: web.Request) -> web.StreamResponse:
        """Send a blob or the range of it that is asked for; also answers HEAD."""
        digest = _digest(request.match_info["digest"])
        blob = self._repository(request).blob(digest)
        start, stop = _range(request, len(blob))
        if start >= stop and "Range" in request.headers:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(blob)}"})
        headers = {"Docker-Content-Digest": str(digest), "ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        response = web.StreamResponse(headers=headers)
        response.content_type = "application/octet-stream"
        response.content_length = stop - start
        if "Range" in request.headers:
            response.set_status(206)
            response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(blob)}"
        await response.prepare(request)
        if request.method != "HEAD":
            await _send(response, blob[start:stop], request[EXCHANGE])
        await response.write_eof()
        return response

    async def delete_blob(self, request: web.Request) -> web.Response:
        """Unlink a blob from a repository."""
        self._repository(request).delete_blob(_digest(request.match_info["digest"]))
        return web.Response(status=202)

    async def start_upload(self, request: web.Request) -> web.Response:
        """Mount a blob of another repository, take a whole blob at once, or begin an upload."""
        name, query = request.match_info["name"], request.query
        if self.store.mount(name, query.get("mount", ""), query.get("from", "")):
            return _created(name, _digest(query["mount"]))
        repository = self._repository(request, writing=True)
        if "digest" in query:
            digest = _digest(query["digest"])
            upload = repository.start_upload()
            await _receive(request, repository, upload)
            repository.finish_upload(upload, digest)
            return _created(name, digest)
        return _progress(202, name, repository.start_upload())

    async def upload_status(self, request: web.Request) -> web.Response:
        """Say how much of an upload has arrived."""
        upload = self._repository(request).upload(request.match_info["upload"])
        return _progress(204, request.match_info["name"], upload)

    async def patch_upload(self, request: web.Request) -> web.Response:
        """Take the next bytes of an upload."""
        repository = self._repository(request)
        upload = repository.upload(request.match_info["upload"])
        if not _in_order(request, upload):
            return _progress(416, request.match_info["name"], upload)
        await _receive(request, repository, upload)
        return _progress(202, request.match_info["name"], upload)

    async def put_upload(self, request: web.Request) -> web.Response:
        """Take the last bytes of an upload, and make it a blob."""
        repository = self._repository(request)
        upload = repository.upload(request.match_info["upload"])
        digest = _digest(request.query.get("digest", ""))
        if not _in_order(request, upload):
            return _progress(416, request.match_info["name"], upload)
        await _receive(request, repository, upload)
        repository.finish_upload(upload, digest)
        return _created(request.match_info["name"], digest)

    async def delete_upload(self, request: web.Request) -> web.Response:
        """Give an upload up."""
        repository = self._repository(request)
        repository.uploads.pop(repository.upload(request.match_info["upload"]).id)
        return web.Response(status=204)

    def _repository(self, request: web.Request, *, writing: bool = False) -> Repository:
        name = request.match_info["name"]
        return self.store.open(name) if writing else self.store.find(name)


async def _send(response: web.StreamResponse, content: memoryview, exchange: Exchange) -> None:
    for start in range(0, len(content), CHUNK):
        piece = content[start : start + CHUNK]
        exchange.bytes_out += len(piece)
        await response.write(piece)


async def _receive(request: web.Request, repository: Repository, upload: Upload) -> None:
    """Append the body to an upload; what arrived of a body that breaks off stays, so that it can be resumed."""
    async for chunk in request.content.iter_any():
        try:
            upload.append(chunk)
        except RegistryError:
            del repository.uploads[upload.id]
            raise


def _in_order(request: web.Request, upload: Upload) -> bool:
    """Whether a chunk that says where it begins begins where the upload ends."""
    place = request.headers.get("Content-Range")
    return place is None or place.partition("-")[0] == str(len(upload.data))


def _progress(status: int, name: str, upload: Upload) -> web.Response:
    headers = {
        "Location": f"/v2/{name}/blobs/uploads/{upload.id}",
        "Docker-Upload-UUID": upload.id,
        "Range": f"0-{max(len(upload.data) - 1, 0)}",
    }
    return web.Response(status=status, headers=headers)


def _created(name: str, digest: Digest) -> web.Response:
    headers = {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": str(digest)}
    return web.Response(status=201, headers=headers)


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except ValueError as error:
        raise RegistryError(str(error), status=400, codes=["DIGEST_INVALID"]) from None


def _range(request: web.Request, length: int) -> tuple[int, int]:
    """Return where the wanted bytes begin and end; the same place where none can be had (RFC 9110, Range Requests)."""
    try:
        start, stop, _ = request.http_range.indices(length)
    except ValueError:
        return 0, 0
    return start, stop


def _page(request: web.Request, key: str, names: list[str], extra: dict[str, Any]) -> web.Response:
    """Answer the next ``n`` of some sorted names after ``last``, with a link to the rest (Listing Tags)."""
    wanted, last = request.query.get("n"), request.query.get("last", "")
    if wanted is not None and not (wanted.isascii() and wanted.isdigit() and len(wanted) < 10):
        raise RegistryError("n is not a number", status=400, codes=["PAGINATION_NUMBER_INVALID"])
    rest = [name for name in names if name > last]
    page = rest if wanted is None else rest[: int(wanted)]
    headers = {}
    if page and len(page) < len(rest):
        headers["Link"] = f'<{request.path}?{urlencode({"last": page[-1], "n": wanted})}>; rel="next"'
    return web.json_response({**extra, key: page}, headers=headers)
