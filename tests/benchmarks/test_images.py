import gzip
import hashlib
import json
import subprocess
import tarfile
from pathlib import Path

from benchmarks.images import Stock, stocked
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo

SIZE = 100_000


def fill(stock: Stock) -> None:
    """Two repositories with a layer in common."""
    layers = [stock.layer(f"layer {number}", SIZE + number) for number in range(3)]
    stock.image("bench/one", "v1", layers[:2], config="one")
    stock.image("bench/two", "v1", layers[1:], config="two")
    stock.point("bench/one", "v2", stock.image("bench/one", "v1", layers[:2], config="one"))


def test_a_registry_serves_what_was_made(tmp_path: Path, skopeo: Skopeo) -> None:
    """What is made on disk is a set of true images: another tool reads each of their bytes and finds it right."""
    stock = Stock(tmp_path / "registry/data")
    fill(stock)

    with DockerRegistry(tmp_path / "registry") as registry:
        tags = {name: sorted(skopeo.tags(f"{registry.host}/{name}")) for name in stock.tags()}
        skopeo.run("copy", "--src-tls-verify=false", f"docker://{registry.host}/bench/two:v1", f"dir:{tmp_path}/two")

    assert tags == {"bench/one": ["v1", "v2"], "bench/two": ["v1"]}
    manifest = json.loads((tmp_path / "two/manifest.json").read_bytes())
    config = json.loads((tmp_path / "two" / manifest["config"]["digest"][7:]).read_bytes())
    packed = [(tmp_path / "two" / layer["digest"][7:]).read_bytes() for layer in manifest["layers"]]
    plain = [gzip.decompress(layer) for layer in packed]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in plain]


def test_layers_are_archives_that_other_tools_unpack(tmp_path: Path) -> None:
    """A layer is an archive with one file of the size that was asked for."""
    layer = Stock(tmp_path).layer("some layer", SIZE)
    (path,) = [path for path in tmp_path.rglob("data") if hashlib.sha256(path.read_bytes()).hexdigest() in layer.digest]

    listed = subprocess.run(["tar", "-tvzf", str(path)], capture_output=True, text=True, check=True).stdout

    with tarfile.open(path) as archive:
        assert [entry.size for entry in archive] == [SIZE]
    assert "noise/some layer" in listed
    assert path.stat().st_size == layer.size


def test_the_same_recipe_gives_the_same_images_and_is_made_once(tmp_path: Path) -> None:
    """Images depend on their seeds alone; those of another call are used again, unless the recipe changed."""
    made = [stocked(tmp_path / place, "recipe", fill) for place in ("one", "other")]

    again = stocked(tmp_path / "one", "recipe", lambda _: (tmp_path / "made again").touch())
    stocked(tmp_path / "other", "other recipe", lambda stock: stock.point("bench/one", "v3", "sha256:0"))

    assert made[0].tags() == again.tags()
    assert made[0].blobs() == made[1].blobs()
    assert not (tmp_path / "made again").exists()
    assert made[1].tags()["bench/one"]["v3"] == "sha256:0"


def test_what_is_there_can_be_told(tmp_path: Path) -> None:
    """Blobs are known by repository, and bytes that several share are counted once."""
    stock = stocked(tmp_path, "recipe", fill)
    files = {path.parent.name: path.stat().st_size for path in tmp_path.rglob("data") if path.is_file()}

    assert len(stock.blobs()) == 6
    assert stock.size() == sum(files[digest[7:]] for digest in {digest for _, digest in stock.blobs()})
