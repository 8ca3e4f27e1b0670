"""What the fault tests have in common: the faults, the phases of a copy, and what has to hold at the target."""

from collections.abc import Callable
from dataclasses import replace

from dregsy.embedded.images import Image
from dregsy.model.endpoint import Anonymous, Endpoint
from dregsy.model.timeouts import Timeouts
from dregsy.registry.pool import Registries
from tests.testbed.faults import Fault, Gate
from tests.testbed.hub import ABUSE

SHORT = Timeouts(connect=5.0, first=0.3, read=0.3, stall=0.3, commit=0.6, whole=0.6, greeting=5.0, down=0.0)
"""Seconds, so that what hangs does not hang for long, where nothing need come to its end; the machine may be busy."""

PATIENT = replace(SHORT, first=1.0, read=1.0, stall=1.0, commit=1.5, whole=1.5)
"""For what hangs at first and is then to arrive."""

LONG = replace(SHORT, first=20.0, read=20.0, stall=20.0, commit=20.0, whole=20.0)
"""For what never hangs: no limit is to strike, however busy the machine is."""

HANGING = frozenset({"hangs", "falls silent", "drips"})
"""Faults that only a limit ends."""

PHASES = {
    "list": Fault(method="GET", path="/tags/list"),
    "head": Fault(method="HEAD", path="/manifests/"),
    "manifest get": Fault(method="GET", path="/manifests/"),
    "blob get": Fault(method="GET", path="/blobs/sha256"),
    "upload start": Fault(method="POST", path="/blobs/uploads/"),
    "upload body": Fault(method="PUT", path="/blobs/uploads/"),
    "manifest put": Fault(method="PUT", path="/manifests/"),
}
AT_TARGET = frozenset({"upload start", "upload body", "manifest put"})

OTHER = "sha256:" + "a" * 64
FAULTS: dict[str, Callable[[Fault], Fault]] = {
    "answer lost": lambda at: replace(at, loses_answer=True),
    "body truncated": lambda at: replace(at, cut_at=20),
    "body sent in part": lambda at: replace(at, cut_upload_at=20),
    "body corrupted": lambda at: replace(at, flip_at=30),
    "503": lambda at: replace(at, status=503),
    "429 with Retry-After": lambda at: replace(at, status=429, headers={"Retry-After": "0"}),
    "429 of a gateway": lambda at: replace(at, status=429, body=ABUSE),
    "404": lambda at: replace(at, status=404),
    "garbage for JSON": lambda at: replace(at, status=200, body=b'{"errors": ['),
    "a page for people": lambda at: replace(at, status=200, headers={"Content-Type": "text/html"}, body=b"<p>Hello"),
    "wrong digest told": lambda at: replace(at, headers={"Docker-Content-Digest": OTHER}),
    "no digest told": lambda at: replace(at, strip=("Docker-Content-Digest", "ETag")),
    "wrong type told": lambda at: replace(at, headers={"Content-Type": "application/json"}),
    "hangs": lambda at: replace(at, gate=Gate()),
    "falls silent": lambda at: replace(at, gate=Gate(), stop_at=0),
    "drips": lambda at: replace(at, drips=True),
    "is slow": lambda at: replace(at, delay=0.05),
    "redirect to an old address": lambda at: replace(at, status=307, headers={"Location": "/v2/gone"}),
}


FINAL = frozenset(
    {
        *(("404", phase) for phase in ("list", "blob get", "upload start")),
        *(("redirect to an old address", phase) for phase in PHASES if phase not in {"manifest get", "head"}),
        ("wrong digest told", "manifest put"),
    }
)
"""What nobody should try again, because it is an answer: that something is not there, or not taken as it is."""


async def graph_at(clients: Registries, host: str, repository: str, tag: str, image: Image) -> str:
    """Say what a target has under a tag: ``nothing``, the ``whole`` of ``image``, or what is wrong with it."""
    client = clients.at(Endpoint(host, credentials=Anonymous()))
    found = await client.head_manifest(repository, tag)
    if found is None:
        return "nothing"
    if found.digest != image.digest:
        return f"another image: {found.digest}"
    for one in image.manifests:
        manifest = await client.get_manifest(repository, str(one.digest))
        for blob in manifest.blobs:
            async with client.read_blob(repository, blob) as stream:
                content = b"".join([chunk async for chunk in stream.chunks])
            if not blob.digest.matches(content):
                return f"a wrong blob: {blob.digest}"
    return "whole"
