"""Copies blobs without checking anything, to learn what bytes cost between two registries."""

import http.client
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from benchmarks.bed import Bed
from benchmarks.images import Stock
from benchmarks.link import inside

AT_ONCE = 8
_PIECE = 256 * 1024
_SECONDS = 120


def copied(bed: Bed, stock: Stock) -> float:
    """Copy all blobs of ``stock`` to the first target of ``bed``; returns the seconds that this took."""
    with inside(bed.tool_namespace), ThreadPoolExecutor(AT_ONCE) as threads:
        begin = time.monotonic()
        done = [
            threads.submit(_copy, bed.hosts.source, bed.hosts.targets[0], repository, digest)
            for repository, digest in stock.blobs()
        ]
        for one in done:
            one.result()
        return time.monotonic() - begin


def round_trip(bed: Bed) -> float:
    """Seconds that it takes to connect to the source."""
    address, _, port = bed.hosts.source.rpartition(":")
    with inside(bed.tool_namespace):
        begin = time.monotonic()
        socket.create_connection((address, int(port)), _SECONDS).close()
        return time.monotonic() - begin


def _copy(source: str, target: str, repository: str, digest: str) -> None:
    reading = http.client.HTTPConnection(source, timeout=_SECONDS)
    writing = http.client.HTTPConnection(target, timeout=_SECONDS, blocksize=_PIECE)
    try:
        writing.request("POST", f"/v2/{repository}/blobs/uploads/", headers={"Content-Length": "0"})
        answer = writing.getresponse()
        answer.read()
        parts = urlsplit(answer.headers["Location"])
        reading.request("GET", f"/v2/{repository}/blobs/{digest}")
        blob = reading.getresponse()
        headers = {"Content-Length": blob.headers["Content-Length"]}
        writing.request("PUT", f"{parts.path}?{parts.query}&digest={digest}", body=blob, headers=headers)
        status = writing.getresponse().status
        if status != 201:
            raise RuntimeError(f"the bare copy failed with {status}")
    finally:
        reading.close()
        writing.close()
