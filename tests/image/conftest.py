"""The image, built for real by a real docker daemon, on a base that a registry of our own serves by its digest."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docker import APIClient

from tests.testbed.debian import write_base
from tests.testbed.dockerd import Dockerd
from tests.testbed.servers import DockerRegistry

ROOT = Path(__file__).resolve().parents[2]
NAME = "dregsy:test"
SECONDS = 900
"""The longest that a step of the build may take: it fetches from PyPI and Debian."""


@dataclass(frozen=True)
class Ended:
    """How a container ended, and what it wrote."""

    code: int
    said: str


class Containers:
    """Runs the image as its documentation says: read-only, without any rights, with a file as config."""

    def __init__(self, daemon: Dockerd, client: APIClient, folder: Path) -> None:
        self.daemon = daemon
        self.client = client
        self.folder = folder

    def start(self, config: str = "", **options: Any) -> str:
        """Begin to run it, with ``options`` of ``create_container`` and of ``create_host_config``; return its id."""
        file = self.folder / "sync.yaml"
        file.write_text(config)
        file.chmod(0o644)
        host = {
            "binds": [f"{file}:/config.yaml:ro", *options.pop("binds", ())],
            "network_mode": "host",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "tmpfs": options.pop("tmpfs", {"/tmp": ""}),  # noqa: S108 - in the container
            "group_add": options.pop("group_add", []),
        }
        made = self.client.create_container(NAME, host_config=self.client.create_host_config(**host), **options)
        container = str(made["Id"])
        self.client.start(container)
        return container

    def run(self, config: str = "", **options: Any) -> Ended:
        """Run it to its end."""
        return self.end(self.start(config, **options))

    def end(self, container: str) -> Ended:
        """Wait for its end."""
        code = int(self.client.wait(container, timeout=120)["StatusCode"])
        return Ended(code, self.said(container))

    def said(self, container: str) -> str:
        """Return what it has written so far."""
        return bytes(self.client.logs(container)).decode()

    def state(self, container: str) -> Mapping[str, Any]:
        """Return what the daemon knows about it."""
        found: Mapping[str, Any] = self.client.inspect_container(container)["State"]
        return found


def streamed(lines: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Read what a daemon tells of its work to the end; RuntimeError when that is an error."""
    told = list(lines)
    errors = [line["error"] for line in told if "error" in line]
    if errors:
        raise RuntimeError("".join(str(line.get("stream", "")) for line in told)[-3000:] + errors[0])
    return told


@dataclass(frozen=True)
class Built:
    """The daemon that has built the image, and the base that it was built on."""

    daemon: Dockerd
    client: APIClient
    base: str

    def build(self, name: str, **arguments: str) -> str:
        """Build the image with packages of today, or as ``arguments`` say; return what was said."""
        given = {"BASE": self.base, "SNAPSHOT": "", **arguments}
        lines = self.client.build(path=str(ROOT), tag=name, buildargs=given, network_mode="host", decode=True, rm=True)
        return "".join(str(line.get("stream", "")) for line in streamed(lines))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """A daemon that has built the image."""
    folder = tmp_path_factory.mktemp("image")
    with DockerRegistry(folder / "hub") as hub, Dockerd() as daemon:
        client = APIClient(base_url=daemon.host, timeout=SECONDS)
        try:
            base = f"{hub.host}/library/python"
            write_base(folder / "base.tar")
            client.import_image_from_file(str(folder / "base.tar"), repository=base, tag="slim")
            pushed = streamed(client.push(base, tag="slim", stream=True, decode=True))
            digest = next(line["aux"]["Digest"] for line in pushed if "aux" in line)
            client.remove_image(f"{base}:slim")
            made = Built(daemon, client, f"{base}@{digest}")
            made.build(NAME)
            yield made
        finally:
            client.close()


@pytest.fixture
def containers(built: Built, tmp_path: Path) -> Iterator[Containers]:
    """Run containers of the image; none is left afterwards."""
    client = built.client
    yield Containers(built.daemon, client, tmp_path)
    for container in client.containers(all=True):
        client.remove_container(container["Id"], force=True)
