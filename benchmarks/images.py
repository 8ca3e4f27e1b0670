"""Makes the images of the workloads: the same bytes for the same seed, straight in docker-registry's file layout.

They are true images (gzipped tar layers, configs that tell the truth) of noise, so that no tool can
compress, skip or repair anything. Nothing is pushed: 2,000 tags are there in a second or two.
"""

import hashlib
import json
import random
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIB = 2**20
_ROOT = "docker/registry/v2"
_TYPES = "application/vnd.oci.image."
_PIECE = MIB


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer in the store: its compressed digest and size, and the digest of what is in it."""

    digest: str
    size: int
    diff_id: str


class Stock:
    """The ``data`` folder of a docker-registry, to be filled by hand while that registry is not looking."""

    def __init__(self, data: Path) -> None:
        self._root = data / _ROOT

    def layer(self, seed: str, size: int) -> Layer:
        """Make a layer with one file of ``size`` bytes of noise, which depend on ``seed`` alone."""
        entry = tarfile.TarInfo(f"noise/{seed}")
        entry.size = size
        noise = random.Random(seed)  # noqa: S311 - noise, no secret
        packer = zlib.compressobj(0, zlib.DEFLATED, 31)
        packed, plain, length = hashlib.sha256(), hashlib.sha256(), 0
        rough = self._root / "blobs" / "rough"
        rough.parent.mkdir(parents=True, exist_ok=True)
        with rough.open("wb") as file:
            for piece in _archive(entry, noise):
                plain.update(piece)
                data = packer.compress(piece)
                packed.update(data)
                length += file.write(data)
            data = packer.flush()
            packed.update(data)
            length += file.write(data)
        digest = f"sha256:{packed.hexdigest()}"
        place = self._blob_path(digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        rough.rename(place)
        return Layer(digest, length, f"sha256:{plain.hexdigest()}")

    def image(self, repository: str, tag: str, layers: Sequence[Layer], *, config: str = "", text: str = "") -> str:
        """Put an image of ``layers`` under a tag and return its digest.

        Images with the same ``config`` text and layers share their config; ``text`` makes their manifests differ.
        """
        rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
        labels = {"Labels": {"org.opencontainers.image.title": config}}
        raw = _encode({"architecture": "amd64", "os": "linux", "config": labels, "rootfs": rootfs})
        named = self._blob(raw)
        manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": f"{_TYPES}manifest.v1+json",
            "config": {"mediaType": f"{_TYPES}config.v1+json", "digest": named, "size": len(raw)},
            "layers": [
                {"mediaType": f"{_TYPES}layer.v1.tar+gzip", "digest": layer.digest, "size": layer.size}
                for layer in layers
            ],
            "annotations": {"org.opencontainers.image.description": text},
        }
        digest = self._blob(_encode(manifest))
        home = self._root / "repositories" / repository
        for blob in (named, *(layer.digest for layer in layers)):
            _link(home / "_layers" / _folder(blob), blob)
        _link(home / "_manifests/revisions" / _folder(digest), digest)
        self.point(repository, tag, digest)
        return digest

    def point(self, repository: str, tag: str, digest: str) -> None:
        """Let a tag name a manifest that is there."""
        place = self._root / "repositories" / repository / "_manifests/tags" / tag
        _link(place / "index" / _folder(digest), digest)
        _link(place / "current", digest)

    def tags(self) -> dict[str, dict[str, str]]:
        """Tell what is there: for each repository its tags, and for each tag its digest."""
        found: dict[str, dict[str, str]] = {}
        base = self._root / "repositories"
        for folder in sorted(base.glob("**/_manifests/tags")):
            repository = folder.parent.parent.relative_to(base).as_posix()
            links = {tag.name: tag / "current/link" for tag in sorted(folder.iterdir())}
            found[repository] = {tag: link.read_text() for tag, link in links.items() if link.exists()}
        return found

    def blobs(self) -> set[tuple[str, str]]:
        """Tell which repository has which layers and configs."""
        base = self._root / "repositories"
        links = base.glob("**/_layers/sha256/*/link")
        return {(link.parents[3].relative_to(base).as_posix(), link.read_text()) for link in links}

    def size(self) -> int:
        """How many bytes all blobs of all repositories have, each counted once."""
        return sum(self._blob_path(digest).stat().st_size for digest in {digest for _, digest in self.blobs()})

    def _blob(self, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        place = self._blob_path(digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return digest

    def _blob_path(self, digest: str) -> Path:
        value = digest.partition(":")[2]
        return self._root / "blobs/sha256" / value[:2] / value / "data"


def stocked(data: Path, recipe: str, fill: Callable[[Stock], None]) -> Stock:
    """Have ``data`` filled; what the same ``recipe`` filled before is taken as it is."""
    stock = Stock(data)
    mark = data / "recipe"
    if not mark.exists() or mark.read_text() != recipe:
        data.mkdir(parents=True, exist_ok=True)
        fill(stock)
        mark.write_text(recipe)
    return stock


def _archive(entry: tarfile.TarInfo, noise: random.Random) -> Iterator[bytes]:
    """Give a tar archive with one file in pieces."""
    yield entry.tobuf(tarfile.USTAR_FORMAT)
    for begin in range(0, entry.size, _PIECE):
        yield noise.randbytes(min(_PIECE, entry.size - begin))
    yield bytes(-entry.size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def _folder(digest: str) -> str:
    return digest.replace(":", "/")


def _link(folder: Path, digest: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "link").write_text(digest)


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode()
