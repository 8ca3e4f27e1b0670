"""Memory stays flat, whatever the size of a layer."""

import hashlib
import http.client
import json
import random
from collections.abc import Iterator
from pathlib import Path

from dregsy.model.digest import Digest
from tests.testbed.command import Dregsy, mirror
from tests.testbed.servers import DockerRegistry
from tests.testbed.usage import used_by

MIB = 2**20
SIZE = 1024
LIMIT_MIB = 100
PATIENCE = 300.0
"""How long, in seconds, a registry may take to write such a layer to a slow disk."""


def layer() -> Iterator[bytes]:
    """One GiB of noise, a MiB at a time."""
    noise = random.Random(7).randbytes(MIB)  # noqa: S311 - noise, no secret
    return (noise[number:] + noise[:number] for number in range(SIZE))


def test_one_gibibyte_in_a_hundred_mebibytes(tmp_path: Path) -> None:
    """Copying an image with a layer of 1 GiB to a real registry takes less than 100 MiB."""
    with DockerRegistry(tmp_path / "source") as source, DockerRegistry(tmp_path / "target") as target:
        digest = push_big(source.host)
        dregsy = Dregsy(tmp_path / "user")
        config = dregsy.config(mirror(source.host, target.host, {"from": "big", "tags": ["v1"]}))
        used = used_by([dregsy.program, "-config", config], dregsy.environ, dregsy.folder)

        assert used.code == 0, used.output
        assert used.peak < LIMIT_MIB
        connection = http.client.HTTPConnection(target.host, timeout=60)
        connection.request("HEAD", f"/v2/big/blobs/{digest}")
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(SIZE * MIB))


def push_big(host: str) -> str:
    """Push an image with that layer as big:v1, and return the layer's digest."""
    whole = hashlib.sha256()
    for chunk in layer():
        whole.update(chunk)
    digest = f"sha256:{whole.hexdigest()}"
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest]}})
    kind = "application/vnd.oci.image."
    named = {"mediaType": f"{kind}config.v1+json", "size": len(config), "digest": str(Digest.of(config.encode()))}
    document = {
        "schemaVersion": 2,
        "mediaType": f"{kind}manifest.v1+json",
        "config": named,
        "layers": [{"mediaType": f"{kind}layer.v1.tar", "size": SIZE * MIB, "digest": digest}],
    }
    connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    upload(connection, digest, SIZE * MIB, layer())
    upload(connection, named["digest"], len(config), iter([config.encode()]))
    headers = {"Content-Type": str(document["mediaType"])}
    connection.request("PUT", "/v2/big/manifests/v1", body=json.dumps(document), headers=headers)
    assert connection.getresponse().read() == b""
    connection.close()
    return digest


def upload(connection: http.client.HTTPConnection, digest: object, size: int, chunks: Iterator[bytes]) -> None:
    """Send one blob."""
    connection.request("POST", "/v2/big/blobs/uploads/")
    answer = connection.getresponse()
    answer.read()
    path = answer.headers["Location"].partition(connection.host)[2].partition("/")[2]
    connection.request("PUT", f"/{path}&digest={digest}", body=chunks, headers={"Content-Length": str(size)})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 201
