"""Targets that lost, or changed, what they were given: found and healed, as far as a registry lets itself be healed."""

import json
import shutil
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.model.platform import Platform
from tests.testbed.command import Dregsy, mirror
from tests.testbed.faults import Fault
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo

ARM = Platform.parse("linux/arm64")


@pytest.fixture
def target(tmp_path: Path) -> DockerRegistry:
    """A registry whose disk is the test's own."""
    return DockerRegistry(tmp_path / "target")


@pytest.fixture
def dregsy(tmp_path: Path) -> Dregsy:
    """The command."""
    return Dregsy(tmp_path / "user")


def config(dregsy: Dregsy, source: str, target: str, *repositories: str) -> str:
    """Write a config with a journal, which remembers what it brought."""
    mappings = ({"from": name} for name in repositories)
    return dregsy.config({**mirror(source, target, *mappings), "state": "state"})


def test_garbage_collected(
    target: DockerRegistry, dregsy: Dregsy, registry_a: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """docker-registry's garbage collection deletes the images of an index, and its tag stays: that is found and healed.

    A run alone, which compares digests of tags, takes it for current.
    """
    index = images.index(images.image(f"{repo}/1"), images.image(f"{repo}/2", platform=ARM), attested=True)
    push(registry_a.host, repo, index, "v1", "v2")
    with target:
        file = config(dregsy, registry_a.host, target.host, repo)
        assert dregsy.run("-config", file).code == 0
        target.collect_garbage()
        assert dregsy.run("-config", file).code == 0

        found = dregsy.run("verify", "--json", "-config", file)
        mended = dregsy.run("verify", "--repair", "-config", file)
        again = dregsy.run("verify", "--deep", "-config", file)

        images_found = json.loads(found.out)["images"]
        assert (found.code, [one["status"] for one in images_found]) == (1, ["broken", "broken"])
        lost = {part["digest"] for one in images_found for part in one["parts"]}
        assert lost == {str(child.digest) for child in index.top.children}
        assert (mended.code, mended.out.splitlines()[-1]) == (0, "0 whole, 2 mended")
        assert (again.code, again.out) == (0, "2 whole\n")
        assert skopeo.same_image(f"{registry_a.host}/{repo}:v1", f"{target.host}/{repo}:v1")


def test_deleted_layer(target: DockerRegistry, dregsy: Dregsy, registry_a: DockerRegistry, repo: str) -> None:
    """A layer whose file is gone, which two repositories share, is read once from the source and sent."""
    shared = images.image(f"{repo}/one")
    layer = shared.top.blobs[-1].digest
    push(registry_a.host, f"{repo}/a", shared, "v1")
    push(registry_a.host, f"{repo}/b", shared, "v1")
    with target:
        assert dregsy.run("-config", config(dregsy, registry_a.host, target.host, f"{repo}/a", f"{repo}/b")).code == 0
        target.blob_file(layer).unlink()
        with RecordingProxy(registry_a.host) as source:
            file = config(dregsy, source.host, target.host, f"{repo}/a", f"{repo}/b")
            assert dregsy.run("verify", "-config", file).out.endswith("0 whole, 2 broken\n")
            mended = dregsy.run("verify", "--repair", "-config", file)
            assert (mended.code, source.count("GET", "/blobs/")) == (0, 1)
        assert dregsy.run("verify", "--deep", "-config", file).code == 1  # the proxy is gone
        file = config(dregsy, registry_a.host, target.host, f"{repo}/a", f"{repo}/b")
        assert dregsy.run("verify", "--deep", "-config", file).out == "2 whole\n"


@pytest.mark.parametrize("deep", [False, True])
def test_changed_layer(
    deep: bool, target: DockerRegistry, dregsy: Dregsy, registry_a: DockerRegistry, repo: str
) -> None:
    """docker-registry keeps a file that is wrong whatever it is sent: that is told, and once it is deleted, healed."""
    image = images.image(repo)
    layer = image.top.blobs[-1].digest
    push(registry_a.host, repo, image, "v1")
    with target:
        file = config(dregsy, registry_a.host, target.host, repo)
        assert dregsy.run("-config", file).code == 0
        kept = target.blob_file(layer)
        kept.write_bytes(b"?" * kept.stat().st_size if deep else b"?")
        options = ["--deep"] if deep else []

        first = dregsy.run("verify", "--repair", "-config", file, *options)
        kept.unlink()
        second = dregsy.run("verify", "--repair", "-config", file, *options)

        assert (first.code, "deleted from its storage" in first.out) == (1, True)
        assert (second.code, second.out.splitlines()[-1]) == (0, "0 whole, 1 mended")
        assert kept.read_bytes() == image.blobs[layer]


@pytest.mark.parametrize("part", ["tag", "revision", "manifest"])
def test_lost_links(
    part: str, target: DockerRegistry, dregsy: Dregsy, registry_a: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """What docker-registry knows of tags and manifests is written anew where it was lost, or is empty after a crash."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    with target:
        file = config(dregsy, registry_a.host, target.host, repo)
        assert dregsy.run("-config", file).code == 0
        manifests = target.data / "docker/registry/v2/repositories" / repo / "_manifests"
        if part == "tag":
            (manifests / "tags/v1/current/link").write_text("")
        elif part == "revision":
            shutil.rmtree(manifests / "revisions")
        else:
            target.blob_file(image.digest).unlink()

        assert dregsy.run("verify", "-config", file).code == 1
        mended = dregsy.run("verify", "--repair", "-config", file)

        assert (mended.code, mended.out.splitlines()[-1]) == (0, "0 whole, 1 mended")
        assert skopeo.same_image(f"{registry_a.host}/{repo}:v1", f"{target.host}/{repo}:v1")


def test_run_verifies(
    target: DockerRegistry, dregsy: Dregsy, registry_a: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """``run --verify`` notices what a target said that it stored, and did not, and writes it once more."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    lie = Fault(path="/manifests/v1", method="PUT", status=201, headers={"Docker-Content-Digest": str(image.digest)})
    with target, RecordingProxy(target.host, lie) as proxy:
        ran = dregsy.run("--verify", "-config", config(dregsy, registry_a.host, proxy.host, repo))
        assert (ran.code, proxy.count("PUT", "/manifests/v1")) == (0, 2)
        assert skopeo.same_image(f"{registry_a.host}/{repo}:v1", f"{target.host}/{repo}:v1")


def test_skopeo_mends(target: DockerRegistry, dregsy: Dregsy, registry_a: DockerRegistry, repo: str) -> None:
    """Whatever relay a file names does the mending; to look, its tool is not needed."""
    image = images.image(repo)
    push(registry_a.host, repo, image, "v1")
    with target:
        file = dregsy.config({**mirror(registry_a.host, target.host, {"from": repo}), "relay": "skopeo"})
        assert dregsy.run("-config", file).code == 0
        target.blob_file(image.top.blobs[-1].digest).unlink()
        assert dregsy.run("verify", "--repair", "-config", file).out.endswith("0 whole, 1 mended\n")
        without = Dregsy(dregsy.folder, {"PATH": "/nowhere"})
        assert without.run("verify", "--deep", "-config", file).out == "1 whole\n"
