"""certs.d-example, set up as its README says, with each relay and the real tools behind them."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dregsy.embedded import images
from tests.testbed.certificates import Authority
from tests.testbed.command import Done, Dregsy, mirror
from tests.testbed.dockerd import Dockerd
from tests.testbed.island import ADDRESS, Island
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

ROOT = Path(__file__).resolve().parents[2]
NAME = "registry.example.com"
FOLDER = "/etc/docker/certs.d"
SECTIONS: dict[str, dict[str, Any]] = {
    "native": {"native": {}},
    "skopeo": {"relay": "skopeo", "skopeo": {"certs-dir": FOLDER}},
    "docker": {"relay": "docker", "docker": {}},
}
"""The one folder that all three can share; native and docker look there by themselves."""


@dataclass(frozen=True, slots=True)
class Place:
    """A source, and a target with its own CA that wants certificates of clients, on an island."""

    island: Island
    folder: Path
    source: DockerRegistry
    target: DockerRegistry
    repo: str

    @property
    def address(self) -> str:
        """The target as a config names it."""
        return f"{NAME}:{self.target.host.rpartition(':')[2]}"

    def steps(self, first: str, last: str) -> None:
        """Follow the README's steps, with this target's name and files, from one that begins so to another."""
        text = (ROOT / "certs.d-example/README.md").read_text().partition("## Step by step")[2]
        lines = text.partition("```sh\n")[2].partition("```")[0].splitlines()
        begin, end = ([number for number, line in enumerate(lines) if line.startswith(word)] for word in (first, last))
        script = [line for line in lines if line.startswith("CERTS=")] + [f"HOST={self.address}"]
        script += lines[begin[0] : end[-1] + 1]
        self.island.run("sh", "-euc", "\n".join([f"cd {self.folder}", *script]))

    def run(self, relay: str, command: str = "", **environ: str) -> Done:
        """Mirror the image with a relay, or do something else with the config for that."""
        config = mirror(self.source.host, self.address, {"from": self.repo, "to": f"{relay}/copy"})
        dregsy = Dregsy(self.folder / relay, environ, within=self.island.within)
        name = dregsy.config({**config, **SECTIONS[relay], "retries": 0})
        return dregsy.run(*([command] if command else []), "-config", str(dregsy.folder / name))

    def has(self, relay: str) -> bool:
        """Whether the target has what a relay was to copy."""
        return (self.target.data / f"docker/registry/v2/repositories/{relay}/copy/_manifests/tags/v1").is_dir()


@pytest.fixture
def place(tmp_path: Path, authority: Authority, repo: str) -> Iterator[Place]:
    """The registries, the README's folder, and the files that its reader has."""
    with DockerRegistry(tmp_path / "source") as source:
        push(source.host, repo, images.image(repo), "v1")
    desk = tmp_path / "desk"
    shutil.copytree(ROOT / "certs.d-example", desk / "certs.d-example")
    client, key = authority.issue(f"reader-{tmp_path.name}", client=True)
    for file, name in ((authority.ca_file, "authority.pem"), (client, "client.pem"), (key, "client-key.pem")):
        shutil.copy(file, desk / name)
    server = authority.issue(f"server-{tmp_path.name}", names=[NAME])
    with (
        Island(tmp_path / "island", {NAME: ADDRESS}) as island,
        DockerRegistry(tmp_path / "source", within=island.within) as source,
        DockerRegistry(
            tmp_path / "target", tls=server, client_ca=authority.ca_file, address=ADDRESS, within=island.within
        ) as target,
    ):
        yield Place(island, desk, source, target, repo)


@pytest.mark.parametrize("relay", ["native", "skopeo"])
def test_the_readmes_folder(place: Place, relay: str) -> None:
    """With the folder made as the README says a relay reaches a registry with its own CA that wants certificates."""
    before = place.run(relay)
    place.steps("mkdir", "install")

    assert (before.code, "whom nobody here trusts" in before.said) == (1, True)
    assert ((after := place.run(relay)).code, after.err, place.has(relay)) == (0, "", True)


def test_the_readmes_folder_with_docker(place: Place) -> None:
    """A Docker daemon reads the same folder by itself, and dregsy beside it, from the next image on."""
    with Dockerd(within=place.island.within) as daemon:
        environ = {"DOCKER_HOST": daemon.host}
        before = place.run("docker", **environ)
        place.steps("mkdir", "install")
        after = place.run("docker", **environ)

    assert before.code == 1
    assert (after.code, after.err, place.has("docker")) == (0, "", True)


@pytest.mark.parametrize("relay", list(SECTIONS))
def test_check_knows_a_half_done_folder(place: Place, relay: str) -> None:
    """The README's last step finds what is missing, whichever relay the file is for."""
    place.steps("mkdir", "cp client.pem")
    half = place.run(relay, "check")
    place.steps("install", "install")

    assert (half.code, f"{FOLDER}/{place.address}/client.cert has no key" in half.err) == (1, True)
    assert (whole := place.run(relay, "check")).code == 0, whole.said


def test_nothing_in_the_example_is_taken_for_a_certificate() -> None:
    """The example has the names that the README tells, with an ending that keeps them from being read."""
    names = sorted(file.name for file in (ROOT / "certs.d-example" / NAME).iterdir())

    assert names == ["ca.crt.example", "client.cert.example", "client.key.example"]
