import json
import socket
from pathlib import Path

from dregsy.embedded import images
from tests.dregsy.cli.conftest import Dregsy, Pair

LAYER = images.image("app-a", layers=1, size=100).top.blobs[-1].digest


async def test_whole(dregsy: Dregsy, config: str, embedded_pair: Pair) -> None:
    """What is whole is counted, with exit code 0; as JSON as well."""
    await dregsy("-config", config, "-run", "first")
    embedded_pair[1].log.clear()

    ran = await dregsy("verify", "-config", config, "-run", "first")
    data = json.loads((await dregsy("verify", "-config", config, "-run", "first", "--json")).out)

    assert (ran.code, ran.out, ran.err) == (0, "1 whole\n", "")
    assert data == {"ok": True, "complete": True, "counts": {"whole": 1}, "images": []}
    assert {request.method for request in embedded_pair[1].requests} <= {"GET", "HEAD"}


async def test_broken(dregsy: Dregsy, config: str, embedded_pair: Pair) -> None:
    """Each part that is missing is named with its image; the exit code is 1 until it was mended."""
    source, target = embedded_pair
    await dregsy("-config", config, "-run", "first")
    target.store.find("mirror/a").delete_blob(LAYER)

    ran = await dregsy("verify", "-config", config)
    mended = await dregsy("verify", "--repair", "-config", config, "-run", "first")
    again = await dregsy("verify", "--deep", "-config", config, "-run", "first")

    name = f"{source.host}/test/a:1.0 -> {target.host}/mirror/a:1.0"
    assert ran.code == 1
    assert ran.out.splitlines() == [
        f"  broken     {name}: layer {LAYER} is missing",
        f"  missing    {source.host}/test/b:1.0 -> {target.host}/test/b:1.0: the tag is missing",
        f"  missing    {source.host}/test/b:2.0 -> {target.host}/test/b:2.0: the tag is missing",
        "0 whole, 2 missing, 1 broken",
    ]
    assert (mended.code, mended.out) == (
        0,
        f"  mended     {name}: layer {LAYER} is missing\n0 whole, 1 mended\n",
    )
    assert (again.code, again.out) == (0, "1 whole\n")


async def test_as_json(dregsy: Dregsy, config: str, embedded_pair: Pair) -> None:
    """As JSON there is an entry for each image that is not whole, with its parts, and why it was not mended."""
    source, target = embedded_pair
    await dregsy("-config", config, "-run", "first")
    for registry, name in ((source, "test/a"), (target, "mirror/a")):
        registry.store.find(name).delete_blob(LAYER)

    ran = await dregsy("verify", "--repair", "--json", "-config", config, "-run", "first")

    data = json.loads(ran.out)
    (image,) = data["images"]
    (part,) = image["parts"]
    assert (ran.code, data["ok"], data["counts"]) == (1, False, {"broken": 1})
    assert (image["task"], image["status"], image["kind"]) == ("first", "broken", "not-found")
    assert (part["status"], part["what"], part["digest"]) == ("missing", "layer", str(LAYER))
    assert len(part["path"]) == 1


async def test_unknown(dregsy: Dregsy, config: str, embedded_pair: Pair) -> None:
    """What could not be looked at makes the exit code 1, and tells why and where it is asked for."""
    file = Path(config)
    with socket.socket() as nobody:  # has a port that nobody else gets, and does not listen
        nobody.bind(("127.0.0.1", 0))
        file.write_text(file.read_text().replace(embedded_pair[1].host, f"127.0.0.1:{nobody.getsockname()[1]}"))

        ran = await dregsy("verify", "-config", config, "-run", "first")

    assert (ran.code, ran.out.splitlines()[-1]) == (1, "0 whole, 1 unknown")
    assert "the tag is unknown: " in ran.out


async def test_help(dregsy: Dregsy) -> None:
    """The help says what becomes of tags that are not selected."""
    ran = await dregsy("verify", "--help")

    assert "neither looked at nor changed" in " ".join(ran.out.split())
