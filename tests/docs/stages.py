"""Where a page's commands run: a folder with the files that the page shows, and registries for those that it names.

This is the table of what is put in the place of what: everything else runs as it stands on the page.
"""

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.model.platform import Platform
from tests.docs.pages import ROOT, Block, blocks
from tests.testbed.aws import Moto
from tests.testbed.certificates import Authority
from tests.testbed.command import Dregsy
from tests.testbed.ecr import HOST, Ecr
from tests.testbed.raw import ForwardProxy
from tests.testbed.servers import DockerRegistry, die_with_parent, held_port, stop, wait_port

SOURCES = ("docker.io", "quay.io", "ghcr.io", "harbor.example.com", "registry.gitlab.com")
TARGETS = ("registry.example.com:5000", "registry.example.com", "mirror.example.com")
STAGES = {
    "docs/recipes/dockerhub-to-ecr.md": "aws",
    "docs/registries/ecr.md": "aws",
    "docs/recipes/air-gapped-certificates.md": "tls",
}
"""Pages of which the target is more than a plain registry."""
SEEDS = {
    "library/busybox": ("1.36.0", "1.36.1", "1.37.0", "latest"),
    "library/alpine": ("3.20.0", "3.21.3", "latest"),
    "library/redis": ("7.2.4", "7.4.0", "latest"),
    "team/app": ("1.0.0", "1.1.0", "1.2.0-rc1"),
    "example/app": ("1.0.0", "latest"),
    "example/tool": ("1.0.0", "latest"),
}
"""What the sources have: an image each, under these tags."""
SHIMS = {
    "make": 'exec {make} --no-print-directory -n -C {root} "$@" >/dev/null',
    "docker": 'exec {python} {root}/tests/docs/shims/docker.py "$@"',
    "helm": 'exec {python} {root}/tests/docs/shims/helm.py {root} "$@"',
}
"""What programs do here: make tells what it would do, docker reads its flags only, and helm renders the chart."""


@dataclass
class Stage:
    """A folder, what stands for names, and the shell's environment from one block to the next."""

    folder: Path
    names: Mapping[str, str]
    environ: dict[str, str]
    port: int
    """What stands for a page's port 8080; it is held until a dregsy listens on it."""
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def put(self, text: str) -> str:
        """Put what is here in the place of what is on the page."""
        expression = "|".join(re.escape(name) for name in sorted(self.names, key=len, reverse=True))
        text = re.sub(rf"(?<![\w.-])({expression})(?![\w:-]|\.\w)", lambda found: self.names[found[0]], text)
        return text.replace(":8080", f":{self.port}")

    def write(self, block: Block, *, goes_on: bool = False) -> None:
        """Write a file that the page shows, under the name that stands above it; what goes on is made to end."""
        names = re.findall(r"`([\w-]+\.ya?ml)`", block.above)
        text = self.put(block.text)
        if not goes_on and names[-1:] != ["values.yaml"]:  # of a chart, which is rendered and not run
            text = re.sub(r"(?m)^ *(- )?(interval|schedule): .*\n", _once, text)
        path = self.folder / (names[-1] if names else "sync.yaml")
        path.write_text(text)
        path.chmod(0o600)

    def run(self, block: Block) -> "subprocess.CompletedProcess[str]":
        """Run a block's commands, in the shell that ran those before."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._script(block)],
            cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip

    def begin(self, block: Block) -> None:
        """Start a block that goes on, and wait until it serves."""
        with (self.folder / "daemon.log").open("wb") as log:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", f"{self._load()}exec {self.put(block.text)}"],
                cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl call, which takes no lock
            )  # fmt: skip
        self.running.append(process)
        wait_port(self.port, process)

    def end(self) -> list[int]:
        """End what goes on, and return how it ended."""
        for process in self.running:
            stop(process)
        return [process.returncode for process in self.running]

    def _script(self, block: Block) -> str:
        return f"{self._load()}{self.put(block.text)}\nexport -p > {self.folder}/.environ\n"

    def _load(self) -> str:
        return f"[ ! -e {self.folder}/.environ ] || . {self.folder}/.environ\n"


def _once(found: re.Match[str]) -> str:
    """Take a task's period away, but not the dash in front of it."""
    return f"{found[0].partition('-')[0]}- verbose: false\n" if found[1] else ""


@asynccontextmanager
async def stage(page: str, folder: Path, moto: Moto, authority: Authority) -> AsyncIterator[Stage]:
    """Set up what a page needs."""
    kind = STAGES.get(page, "plain")
    dregsy = Dregsy(folder, {"USER": "user", "NO_PROXY": "127.0.0.1"})
    environ = {**dregsy.environ, "PATH": f"{folder}/bin:{Path(sys.executable).parent}:{dregsy.environ['PATH']}"}
    _shims(folder)
    with held_port() as port:
        async with EmbeddedRegistry() as source, EmbeddedRegistry() as target:
            await _fill(source)
            names = {**dict.fromkeys(SOURCES, source.host), **dict.fromkeys(TARGETS, target.host)}
            if kind == "plain":
                yield Stage(folder, names, environ, port)
            elif kind == "tls":
                server = authority.issue(f"registry-{folder.name}")
                (folder / "authority.pem").write_bytes(authority.ca_file.read_bytes())
                with DockerRegistry(folder / "registry", tls=server) as registry:
                    yield Stage(folder, {**names, **dict.fromkeys(TARGETS, registry.host)}, environ, port)
            else:
                with Ecr(folder / "ecr", moto) as ecr:
                    async with ForwardProxy(ecr.front.host) as proxy:
                        there = {
                            "HTTPS_PROXY": f"http://{proxy.host}",
                            "SSL_CERT_FILE": str(ecr.certs / HOST / "ca.crt"),
                        }
                        region = {"eu-central-1": HOST.split(".")[3]}
                        hosts = {f"123456789012.dkr.ecr.{name}.amazonaws.com": HOST for name in region}
                        yield Stage(folder, {**names, **hosts}, {**environ, **ecr.api.environ, **there}, port)


def _shims(folder: Path) -> None:
    (folder / "bin").mkdir()
    for program, does in SHIMS.items():
        path = folder / "bin" / program
        path.write_text("#!/bin/sh\n" + does.format(make="/usr/bin/make", root=ROOT, python=sys.executable) + "\n")
        path.chmod(0o755)


async def _fill(registry: EmbeddedRegistry) -> None:
    for repository, tags in SEEDS.items():
        forms = [images.image(f"{repository}/{one}", platform=Platform("linux", one)) for one in ("amd64", "arm64")]
        await images.seed(registry, repository, images.index(*forms), *tags)


def files(page: Path) -> list[Block]:
    """Return the files that a page shows."""
    return [block for block in blocks(page) if block.kind == "yaml"]
