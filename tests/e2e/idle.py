"""What an idle daemon holds in memory, with AWS's library loaded and without: figures for docs/kubernetes.md.

``.venv/bin/python -m pytest -s tests/e2e/idle.py``; no test, since other machines have other figures.
"""

import asyncio
import re
from pathlib import Path

import pytest

from dregsy.embedded import images
from tests.testbed.aws import Moto
from tests.testbed.command import mirror
from tests.testbed.daemon import Daemon
from tests.testbed.ecr import HOST, Ecr
from tests.testbed.pushing import push
from tests.testbed.raw import ForwardProxy
from tests.testbed.servers import DockerRegistry


@pytest.mark.parametrize("relay", ["native", "skopeo"])
async def test_plain(
    daemon: Daemon, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, relay: str
) -> None:
    """A daemon that has copied an image from one plain registry to another, and serves metrics."""
    push(registry_a.host, repo, images.image(repo), "v1")
    document = mirror(registry_a.host, registry_b.host, {"from": repo}, interval=3600)

    print(f"\nplain, {relay}:", measured(daemon, {"relay": relay, **document}))  # noqa: T201 - the purpose


async def test_aws(tmp_path: Path, moto: Moto, daemon: Daemon, registry_a: DockerRegistry, repo: str) -> None:
    """A daemon that has asked AWS for a token and a repository, and copied an image there."""
    push(registry_a.host, repo, images.image(repo), "v1")
    with Ecr(tmp_path / "ecr", moto) as ecr:
        async with ForwardProxy(ecr.front.host) as proxy:
            daemon.dregsy.environ |= ecr.api.environ
            daemon.dregsy.environ |= {"HTTPS_PROXY": f"http://{proxy.host}", "NO_PROXY": "127.0.0.1"}
            document = mirror(registry_a.host, HOST, {"from": repo}, interval=3600)
            document["tasks"][0]["target"]["auth-refresh"] = "10h"
            given = {"native": {"certs-dir": str(ecr.certs)}, **document}
            print("\nECR:", await asyncio.to_thread(measured, daemon, given))  # noqa: T201 - the purpose


def measured(daemon: Daemon, document: dict[str, object]) -> str:
    """Let a daemon finish its first run, and return what it holds now and held at most."""
    daemon.start("-config", daemon.dregsy.config({"listen": ":0", **document}))
    daemon.said("1 copied")
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    now, most = (int(re.findall(rf"{name}:\s+(\d+) kB", status)[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    assert daemon.stop() == 0
    return f"{now:.1f} MiB now, {most:.1f} MiB at most"
