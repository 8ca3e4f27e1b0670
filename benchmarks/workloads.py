"""The workloads: what is copied, by whom, and what is written down about it."""

import hashlib
import json
import random
import statistics
import subprocess
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.measure import DREGSY, MIB, clean_environ, in_turn, requests_in, run
from dregsy.embedded import images
from dregsy.embedded.images import Image
from dregsy.model.digest import Digest
from dregsy.model.manifest import Manifest
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry, stop
from tests.testbed.usage import Usage

ACCESS_LOG = {"log": {"accesslog": {"disabled": False}}}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: the figure, ours, the other's, and the limit that we set ourselves."""

    what: str
    ours: str
    other: str
    limit: str


class Bench:
    """Two registries, and the tools between them; ``times`` is how often each contender runs."""

    def __init__(self, folder: Path, times: int) -> None:
        self.folder = folder
        self.times = times
        self.environ = clean_environ(folder / "home")
        self.source = DockerRegistry(folder / "source", extra=ACCESS_LOG)
        self.target = DockerRegistry(folder / "target", extra=ACCESS_LOG)

    def config(self, name: str, mapping: str, extra: str = "") -> str:
        """Write a config with one mapping and return its path."""
        path = self.folder / f"{name}.yaml"
        path.write_text(
            f"relay: native\ntasks:\n- name: {name}\n{extra}"
            f"  source: {{registry: {self.source.host}}}\n  target: {{registry: {self.target.host}}}\n"
            f"  mappings:\n  - {{{mapping}}}\n"
        )
        return str(path)

    def dregsy(self, config: str) -> Usage:
        """Run the command as a user does."""
        return run([DREGSY, f"-config={config}"], self.environ)

    def skopeo(self, *arguments: str) -> Usage:
        """Run skopeo against the plain registries."""
        return run(["skopeo", "--insecure-policy", *arguments], self.environ)

    def big_layer(self) -> list[Row]:
        """An image with one layer of 1 GiB: time, processor time, peak memory."""
        tags = [f"run{number}" for number in range(self.times)]
        self._push_big("bench/big")

        def ours(number: int) -> Usage:
            return self.dregsy(self.config("big", f"from: bench/big, to: ours/{tags[number]}, tags: [latest]"))

        def theirs(number: int) -> Usage:
            source, target = f"{self.source.host}/bench/big:latest", f"{self.target.host}/theirs/{tags[number]}:latest"
            flags = ("--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests")
            figures = self.skopeo("copy", "--all", *flags, f"docker://{source}", f"docker://{target}")
            self._forget_blobs()
            return figures

        one, other = in_turn(self.times, ours, theirs)
        return [
            Row("image with a 1 GiB layer: peak memory", f"{one.peak:.0f} MiB", f"{other.peak:.0f} MiB", "100 MiB"),
            Row("the same: wall time", f"{one.seconds:.1f} s", f"{other.seconds:.1f} s", ""),
            Row("the same: processor time of the tool", f"{one.cpu:.1f} s", f"{other.cpu:.1f} s", ""),
        ]

    def no_op(self, count: int = 2000) -> list[Row]:
        """A run over tags that are all up to date: requests, time, processor time."""
        image = images.image("no-op")
        push(self.source.host, "bench/tags", image, "t0000")
        push(self.target.host, "bench/tags", image, "t0000")
        tags = [f"t{number:04}" for number in range(count)]
        for registry in (self.source, self.target):
            registry.write_tags("bench/tags", image.digest, tags)
        config = self.config("tags", "from: bench/tags")
        flags = ("--src=docker", "--dest=docker", "--src-tls-verify=false", "--dest-tls-verify=false")
        asked = {"ours": 0, "theirs": 0}

        def ours(_: int) -> Usage:
            begin = self._logged()
            usage = self.dregsy(config)
            asked["ours"] += self._logged() - begin
            return usage

        def theirs(_: int) -> Usage:
            begin = self._logged()
            usage = self.skopeo("sync", *flags, f"{self.source.host}/bench/tags", f"{self.target.host}/bench")
            asked["theirs"] += self._logged() - begin
            return usage

        one, other = in_turn(self.times, ours, theirs)
        requests = {name: count / self.times for name, count in asked.items()}
        return [
            Row(
                f"{count} unchanged tags: requests",
                f"{requests['ours']:.0f}",
                f"{requests['theirs']:.0f}",
                f"{2 * count} + listing",
            ),
            Row("the same: wall time", f"{one.seconds:.2f} s", f"{other.seconds:.1f} s", ""),
            Row("the same: processor time of the tool", f"{one.cpu:.2f} s", f"{other.cpu:.1f} s", ""),
        ]

    def version(self) -> list[Row]:
        """How long the shortest command takes."""
        times = max(self.times, 15)
        one, other = in_turn(
            times, lambda _: run([DREGSY, "--version"], self.environ), lambda _: self.skopeo("--version")
        )
        return [
            Row("--version: wall time", f"{one.seconds * 1000:.0f} ms", f"{other.seconds * 1000:.0f} ms", "150 ms"),
        ]

    def idle(self) -> list[Row]:
        """Memory of a daemon that has done its first run and waits for the next."""
        image = images.image("idle")
        push(self.source.host, "bench/idle", image, "v1")
        config = self.config("idle", "from: bench/idle, to: idle", extra="  interval: 3600\n")
        sizes = [self._idle_once(config, number) for number in range(self.times)]
        return [Row("idle daemon: resident memory", f"{statistics.median(sizes):.0f} MiB", "has no daemon", "60 MiB")]

    def _idle_once(self, config: str, number: int) -> float:
        out = self.folder / f"idle-{number}.log"
        with out.open("wb") as log:
            daemon = subprocess.Popen([DREGSY, f"-config={config}"], env=self.environ, stdout=log, stderr=log)
        try:
            end = time.monotonic() + 60
            while b"finished" not in out.read_bytes() and time.monotonic() < end:
                time.sleep(0.1)
            time.sleep(3)  # the run's last line is out; connections and caches settle
            if daemon.poll() is not None:
                raise RuntimeError(f"the daemon ended: {out.read_text()[-2000:]}")
            size: int = psutil.Process(daemon.pid).memory_info().rss
            return size / MIB
        finally:
            stop(daemon)

    def _logged(self) -> int:
        return requests_in(self.source.log) + requests_in(self.target.log)

    def _forget_blobs(self) -> None:
        """Drop what skopeo knows about blobs at registries, so that each run starts alike."""
        for cache in (self.folder / "home").rglob("blob-info-cache*"):
            cache.unlink()
        for cache in Path("/var/lib/containers/cache").glob("blob-info-cache*"):
            cache.unlink()

    def _push_big(self, repository: str) -> None:
        layer = self.folder / "layer.gz"
        digest, size, plain = _write_layer(layer)
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [plain]}}
        ).encode()
        kinds = "application/vnd.oci.image."
        document = {
            "schemaVersion": 2,
            "mediaType": f"{kinds}manifest.v1+json",
            "config": {"mediaType": f"{kinds}config.v1+json", "size": len(config), "digest": str(Digest.of(config))},
            "layers": [{"mediaType": f"{kinds}layer.v1.tar+gzip", "size": size, "digest": digest}],
        }
        manifest = Manifest.parse(json.dumps(document).encode())
        blobs = {Digest.parse(digest): layer.read_bytes(), Digest.of(config): config}
        push(self.source.host, repository, Image(blobs, (manifest,)), "latest")
        layer.unlink()


def _write_layer(path: Path) -> tuple[str, int, str]:
    """Write 1 GiB of noise as an uncompressed gzip stream; digest, size, and digest of the content."""
    noise = random.Random(1).randbytes(MIB)  # noqa: S311 - noise, no secret
    packed, plain = hashlib.sha256(), hashlib.sha256()
    packer = zlib.compressobj(0, zlib.DEFLATED, 31)
    with path.open("wb") as file:
        for number in range(1025):
            chunk = noise[number:] + noise[:number] if number < 1024 else None
            data = packer.flush() if chunk is None else packer.compress(chunk)
            if chunk is not None:
                plain.update(chunk)
            packed.update(data)
            file.write(data)
    return f"sha256:{packed.hexdigest()}", path.stat().st_size, f"sha256:{plain.hexdigest()}"
