"""An image with real content is mirrored, and runs from the mirror."""

import gzip
import io
import json
import subprocess
import tarfile
from pathlib import Path

from dregsy.embedded.images import DOCKER_CONFIG, DOCKER_LAYER, Image
from dregsy.model.digest import Digest
from dregsy.model.manifest import DOCKER_MANIFEST, Manifest
from tests.testbed.command import Dregsy, mirror
from tests.testbed.dockerd import Dockerd
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

DOCKER = "/usr/bin/docker"
"""Debian's client, which fits its daemon; another may come first in PATH."""


def busybox() -> Image:
    """Make an image whose one file is Debian's static busybox."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add("/bin/busybox", "bin/busybox")
    plain = buffer.getvalue()
    layer = gzip.compress(plain, 1, mtime=0)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": ["/bin/busybox"]},
            "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(plain))]},
        }
    ).encode()
    blobs = {Digest.of(blob): blob for blob in (config, layer)}
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {"mediaType": DOCKER_CONFIG, "size": len(config), "digest": str(Digest.of(config))},
        "layers": [{"mediaType": DOCKER_LAYER, "size": len(layer), "digest": str(Digest.of(layer))}],
    }
    return Image(blobs, (Manifest.parse(json.dumps(document).encode()),))


def test_a_mirrored_image_runs(
    tmp_path: Path, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A docker daemon pulls the mirrored tag from the target and runs the program in it."""
    digest = push(registry_a.host, repo, busybox(), "1.36")
    dregsy = Dregsy(tmp_path / "user")

    done = dregsy.run(
        "-config", dregsy.config(mirror(registry_a.host, registry_b.host, {"from": repo, "to": f"m/{repo}"}))
    )

    assert (done.code, done.err) == (0, "")
    with Dockerd() as daemon:
        image = f"{registry_b.host}/m/{repo}@{digest}"
        command = [DOCKER, f"--host={daemon.host}", "run", "--rm", "--network=none", image, "echo", "it runs"]
        ran = subprocess.run(command, env=dregsy.environ, capture_output=True, text=True, timeout=60, check=False)

    assert (ran.returncode, ran.stdout) == (0, "it runs\n"), ran.stderr
