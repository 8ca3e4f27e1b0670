import gzip
import io
import json
import tarfile

import pytest

from dregsy.embedded.images import AMD64, Image, artifact, image, index, seed
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.embedded.store import Store
from dregsy.model.digest import Digest
from dregsy.model.manifest import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from dregsy.model.platform import Platform
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo

ARM64 = Platform("linux", "arm64")
ARM7 = Platform("linux", "arm", "v7")


def every_kind() -> list[Image]:
    """Make one of each."""
    one, other = image("x/amd"), image("x/arm", platform=ARM7)
    return [
        one,
        image("d", docker=True),
        image("empty", layers=0),
        index(one, other),
        index(image("d", docker=True), docker=True),
        index(one, other, attested=True),
        index(index(one), other),
        artifact(one),
        artifact(),
    ]


@pytest.mark.parametrize("number", range(9))
def test_the_same_seed_gives_the_same_bytes(number: int) -> None:
    """What is made depends on nothing but the arguments."""
    assert every_kind()[number] == every_kind()[number]


def test_all_kinds_differ() -> None:
    """No two of them are the same image."""
    assert len({one.digest for one in every_kind()}) == 9


@pytest.mark.parametrize("number", range(9))
async def test_images_are_complete(number: int) -> None:
    """Children come before what lists them, so that a registry takes them in that order."""
    store = Store()
    await seed(store, "a", every_kind()[number], "v1")
    assert every_kind()[number].digest == store.find("a").resolve("v1")


def test_layers_unpack_to_what_the_config_says() -> None:
    """Each layer is a gzipped tar archive whose uncompressed digest is in the config."""
    one = image("x", layers=3, size=100)
    config = json.loads(one.blobs[one.top.blobs[0].digest])
    archives = [gzip.decompress(one.blobs[layer.digest]) for layer in one.top.blobs[1:]]
    assert config["rootfs"]["diff_ids"] == [str(Digest.of(archive)) for archive in archives]
    for number, archive in enumerate(archives):
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            assert [f"x-{number}/README", f"x-{number}/noise"] == opened.getnames()


def test_images_of_a_family_share_their_base() -> None:
    """Images whose texts agree up to the first slash have layer 0 in common, and nothing else."""
    one, other = image("base/one"), image("base/other")
    assert {one.top.blobs[1].digest} == one.blobs.keys() & other.blobs.keys()


def test_sizes_are_what_was_asked_for() -> None:
    """Random bytes do not compress, so a layer is as large as wanted, and a little more."""
    one = image("x", layers=1, size=1_000_000)
    assert 1_000_000 < one.top.blobs[1].size < 1_020_000


@pytest.mark.parametrize(
    ("docker", "types"), [(False, (OCI_INDEX, OCI_MANIFEST)), (True, (DOCKER_LIST, DOCKER_MANIFEST))]
)
def test_an_index_names_platforms(docker: bool, types: tuple[str, str]) -> None:
    """The entries of an index carry the platforms of their images."""
    top = index(image("a", docker=docker), image("b", platform=ARM7, docker=docker), docker=docker).top
    assert [child.platform for child in top.children] == [AMD64, ARM7]
    assert types == (top.media_type, top.children[0].media_type)


def test_attestations_are_told_from_images() -> None:
    """Each image of an attested index has an attestation, which names it."""
    one, other = image("a"), image("b", platform=ARM64)
    children = index(one, other, attested=True).top.children
    assert [child.is_attestation for child in children] == [False, False, True, True]
    named = [child.annotations["vnd.docker.reference.digest"] for child in children[2:]]
    assert [str(one.digest), str(other.digest)] == named


def test_an_artifact_refers_to_its_subject() -> None:
    """The subject of an artifact is the manifest it was made for."""
    subject = artifact(image("a")).top.subject
    assert subject is not None
    assert (image("a").digest, len(image("a").top.raw)) == (subject.digest, subject.size)


async def test_a_registry_can_be_seeded_while_it_runs() -> None:
    """What was put into the store of a running registry is served."""
    async with EmbeddedRegistry() as registry:
        await seed(registry, "a/b", image("a"), "v1", "v2")
        assert registry.store.tags("a/b") == ["v1", "v2"]


@pytest.mark.parametrize("number", range(9))
def test_a_real_registry_accepts_them(number: int, registry_a: DockerRegistry, repo: str, skopeo: Skopeo) -> None:
    """Debian's docker-registry takes every kind, and skopeo reads it back."""
    one = every_kind()[number]
    push(registry_a.host, repo, one, "v1")
    assert one.top.raw == skopeo.inspect_raw(f"{registry_a.host}/{repo}:v1")


def test_skopeo_understands_the_config(registry_a: DockerRegistry, repo: str, skopeo: Skopeo) -> None:
    """Skopeo picks the platform it runs on out of an index, and reads its config."""
    push(registry_a.host, repo, index(image("x", platform=ARM64), image("y")), "v1")
    told = json.loads(
        skopeo.run("inspect", "--override-arch=arm64", "--tls-verify=false", f"docker://{registry_a.host}/{repo}:v1")
    )
    assert (told["Architecture"], told["Labels"]) == ("arm64", {"org.opencontainers.image.title": "x"})
