import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dregsy import inspection
from dregsy.embedded import images
from dregsy.embedded.images import Image
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.inspection import Fault, Faults, Flaw, Inspector, anew
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.manifest import OCI_INDEX, Manifest
from dregsy.model.platform import Platform
from dregsy.model.ref import Ref
from tests.testbed.clients import given
from tests.testbed.copying import Workshop, retopped
from tests.testbed.proxy import Fault as ProxyFault
from tests.testbed.proxy import RecordingProxy

Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]
ARM = Platform.parse("linux/arm64")
ONE, OTHER = images.image("x/1"), images.image("x/2", platform=ARM)
INDEX = images.index(ONE, OTHER, attested=True)
LAYER = OTHER.top.blobs[-1].digest


async def inspect(folder: Path, host: str, *, tag: str = "v1", deep: bool = False) -> Faults:
    """Look at one tag."""
    async with Workshop(folder) as shop:
        return await Inspector(shop.registries, deep=deep).faults(Endpoint(host), Ref.parse(f"{host}/app:{tag}"))


@pytest.mark.parametrize("deep", [False, True])
async def test_whole(deep: bool, tmp_path: Path, embedded_pair: Pair) -> None:
    """An image that is whole has no faults, of whatever kind it is."""
    a, _ = embedded_pair
    foreign = {"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar", "urls": ["https://x.example"]}
    elsewhere = retopped(ONE, layers=[{**foreign, "digest": str(Digest.of(b"far")), "size": 3}])
    for tag, image in {"v1": INDEX, "v2": images.artifact(ONE), "v3": elsewhere}.items():
        await images.seed(a, "app", image, tag)
        assert await inspect(tmp_path / tag, a.host, tag=tag, deep=deep) == ()


def delete_layer(registry: EmbeddedRegistry) -> None:
    """Lose a layer."""
    registry.store.find("app").delete_blob(LAYER)


def cut_layer(registry: EmbeddedRegistry) -> None:
    """Lose the end of a layer."""
    blobs = registry.store.find("app").blobs
    blobs[LAYER] = bytes(blobs[LAYER])[:-1]


def flip_layer(registry: EmbeddedRegistry) -> None:
    """Change a byte of a layer."""
    blobs = registry.store.find("app").blobs
    blobs[LAYER] = bytes(blobs[LAYER])[:-1] + b"?"


def delete_config(registry: EmbeddedRegistry) -> None:
    """Lose a config."""
    assert OTHER.top.config is not None
    registry.store.find("app").delete_blob(OTHER.top.config.digest)


def delete_child(registry: EmbeddedRegistry) -> None:
    """Lose the manifest of one platform."""
    del registry.store.find("app").manifests[OTHER.digest]


def change_child(registry: EmbeddedRegistry) -> None:
    """Have another manifest where that of one platform should be."""
    registry.store.find("app").manifests[OTHER.digest] = replace(ONE.top, digest=OTHER.digest)


def delete_tag(registry: EmbeddedRegistry) -> None:
    """Lose the tag."""
    registry.store.find("app").tags.clear()


def change_top(registry: EmbeddedRegistry) -> None:
    """Have other bytes below the tag than its digest says."""
    registry.store.find("app").manifests[INDEX.digest] = replace(ONE.top, digest=INDEX.digest)


BELOW = (INDEX.digest, OTHER.digest)
DAMAGES: dict[Callable[[EmbeddedRegistry], None], tuple[Flaw, str, Digest | None, tuple[Digest, ...]]] = {
    delete_layer: (Flaw.MISSING, "layer", LAYER, BELOW),
    cut_layer: (Flaw.WRONG, "layer", LAYER, BELOW),
    delete_config: (Flaw.MISSING, "config", OTHER.top.blobs[0].digest, BELOW),
    delete_child: (Flaw.MISSING, "manifest", OTHER.digest, BELOW[:1]),
    change_child: (Flaw.WRONG, "manifest", OTHER.digest, BELOW[:1]),
    delete_tag: (Flaw.MISSING, "the tag", None, ()),
    change_top: (Flaw.WRONG, "manifest", INDEX.digest, ()),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damage(damage: Callable[[EmbeddedRegistry], None], tmp_path: Path, embedded_pair: Pair) -> None:
    """Each kind of damage is named, with the part that it is in and the manifests that lead there."""
    a, _ = embedded_pair
    await images.seed(a, "app", INDEX, "v1")
    damage(a)
    for deep in (False, True):
        (fault,) = await inspect(tmp_path / str(deep), a.host, deep=deep)
        assert (fault.flaw, fault.what, fault.part, fault.path) == DAMAGES[damage]


async def test_wrong_bytes(tmp_path: Path, embedded_pair: Pair) -> None:
    """Bytes that are wrong though there are as many as there should be are found where they are read: ``deep``."""
    a, _ = embedded_pair
    await images.seed(a, "app", INDEX, "v1")
    flip_layer(a)
    assert await inspect(tmp_path / "a", a.host) == ()
    (fault,) = await inspect(tmp_path / "b", a.host, deep=True)
    assert (fault.flaw, fault.part, "are really sha256:" in fault.reason) == (Flaw.WRONG, LAYER, True)


BLOB = f"/blobs/{LAYER}"
ANSWERS = {
    "said to be there": (ProxyFault(path=BLOB, method="GET", status=404, times=-1), Flaw.WRONG),
    "unreadable": (ProxyFault(path=BLOB, status=500, times=-1), Flaw.UNREADABLE),
    "forbidden": (ProxyFault(path=BLOB, status=403, times=-1), Flaw.UNKNOWN),
    "broken on its way": (ProxyFault(path=BLOB, method="GET", flip_at=10), None),
    "without HEAD": (ProxyFault(path=BLOB, method="HEAD", status=405, times=-1), None),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_answers(answer: str, tmp_path: Path, embedded_pair: Pair) -> None:
    """What a registry has but does not give is told apart from what it lacks, and from what nobody can know."""
    a, _ = embedded_pair
    await images.seed(a, "app", INDEX, "v1")
    fault, flaw = ANSWERS[answer]
    with RecordingProxy(a.host, fault) as proxy:
        found = await inspect(tmp_path, proxy.host, deep=True)
    assert [one.flaw for one in found] == ([flaw] if flaw else [])


HIDDEN = {"layer": BLOB, "child": f"/manifests/{OTHER.digest}", "tag": "/manifests/v1"}


@pytest.mark.parametrize("hidden", [Flaw.UNKNOWN, Flaw.MISSING])
@pytest.mark.parametrize("what", HIDDEN)
async def test_what_a_good_login_is_refused(what: str, hidden: Flaw, tmp_path: Path) -> None:
    """Artifactory says 403 for what it lacks; of a tag that may also mean that the login may only write."""
    async with EmbeddedRegistry(users={"user": "word"}) as registry, Workshop(tmp_path) as shop:
        await images.seed(registry, "app", INDEX, "v1")
        with RecordingProxy(registry.host, ProxyFault(path=HIDDEN[what], status=403, times=-1)) as proxy:
            endpoint = Endpoint(proxy.host, credentials=given("user", "word"))
            inspector = Inspector(shop.registries, hidden=hidden)
            (fault,) = await inspector.faults(endpoint, Ref.parse(f"{proxy.host}/app:v1"))

    assert fault.flaw is (hidden if what == "tag" else Flaw.MISSING)
    assert ("403" in fault.reason) == (fault.flaw is Flaw.UNKNOWN)


async def test_without_head(tmp_path: Path, embedded_pair: Pair) -> None:
    """A registry that does not answer HEAD for blobs has its layers read, those it lacks as well."""
    a, _ = embedded_pair
    await images.seed(a, "app", INDEX, "v1")
    delete_layer(a)
    with RecordingProxy(a.host, ProxyFault(path="/blobs/", method="HEAD", status=405, times=-1)) as proxy:
        (fault,) = await inspect(tmp_path, proxy.host)
    assert (fault.flaw, fault.part) == (Flaw.MISSING, LAYER)


async def test_no_answer(tmp_path: Path) -> None:
    """A registry that is not there is no image that is not there."""
    (fault,) = await inspect(tmp_path, "127.0.0.1:1")
    assert (fault.flaw, fault.part) == (Flaw.UNKNOWN, None)


async def test_once(tmp_path: Path, embedded_pair: Pair) -> None:
    """However many tags share them, each manifest and each blob is looked at once, until it is forgotten."""
    a, _ = embedded_pair
    tags = [f"v{number}" for number in range(20)]
    await images.seed(a, "app", INDEX, *tags)
    async with Workshop(tmp_path) as shop:
        inspector = Inspector(shop.registries)
        for tag in tags:
            assert await inspector.faults(Endpoint(a.host), Ref.parse(f"{a.host}/app:{tag}")) == ()
        assert (a.count("GET", "/manifests/"), a.count("HEAD", "/blobs/")) == (len(INDEX.manifests), len(INDEX.blobs))
        delete_layer(a)
        inspector.finish()
        (fault,) = await inspector.faults(Endpoint(a.host), Ref.parse(f"{a.host}/app:v1"))
        a.store.find("app").blobs[LAYER] = INDEX.blobs[LAYER]
        a.log.clear()
        inspector.forget(Endpoint(a.host), "app", [fault])
        assert await inspector.faults(Endpoint(a.host), Ref.parse(f"{a.host}/app:v1")) == ()
        assert (a.count("GET", "/manifests/"), a.count("HEAD", "/blobs/")) == (2, 1)


async def test_bounded(tmp_path: Path, embedded_pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is remembered than has its place; what was let go is looked at again."""
    monkeypatch.setattr(inspection, "_MOST", 3)
    a, _ = embedded_pair
    await images.seed(a, "app", INDEX, "v1")
    async with Workshop(tmp_path) as shop:
        inspector = Inspector(shop.registries)
        for _ in range(2):
            assert await inspector.faults(Endpoint(a.host), Ref.parse(f"{a.host}/app:v1")) == ()
    assert a.count("HEAD", "/blobs/") >= len(INDEX.blobs)


async def test_endless(tmp_path: Path, embedded_pair: Pair) -> None:
    """Indexes within indexes without an end are no image."""
    a, _ = embedded_pair
    image: Image = ONE
    for _ in range(10):
        image = images.index(image)
    await images.seed(a, "app", image, "v1")
    (fault,) = await inspect(tmp_path, a.host)
    assert (fault.flaw, len(fault.path)) == (Flaw.WRONG, 9)


async def test_layers_in_an_index(tmp_path: Path, embedded_pair: Pair) -> None:
    """BuildKit's caches list layers where an index has manifests."""
    a, _ = embedded_pair
    layer = ONE.top.blobs[-1]
    entry = {"mediaType": images.OCI_LAYER, "digest": str(layer.digest), "size": layer.size}
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    repository = a.store.open("app")
    repository.manifests[Digest.of(raw)] = Manifest.parse(raw)
    repository.tags["v1"] = Digest.of(raw)
    (fault,) = await inspect(tmp_path / "a", a.host)
    assert (fault.flaw, fault.what, fault.part) == (Flaw.MISSING, "layer", layer.digest)
    repository.blobs[layer.digest] = ONE.blobs[layer.digest]
    assert await inspect(tmp_path / "b", a.host) == ()


def test_what_is_written_anew() -> None:
    """What is wrong is sent whatever the registry says; what is missing is asked for as ever, but all that lists it."""
    missing, wrong, tag = Digest.of(b"missing"), Digest.of(b"wrong"), Fault(Flaw.MISSING, "the tag")
    faults = [
        Fault(Flaw.MISSING, "layer", missing, BELOW),
        Fault(Flaw.WRONG, "layer", wrong, BELOW[:1], "for a reason"),
        tag,
    ]
    assert anew(faults) == (*BELOW, wrong)
    assert [str(fault) for fault in faults] == [
        f"layer {missing} is missing (listed in {BELOW[1]})",
        f"layer {wrong} is wrong: for a reason",
        "the tag is missing",
    ]
