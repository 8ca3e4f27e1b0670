"""AWS's public registry from end to end: read by everybody, written with a login of AWS's API."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dregsy.embedded import images
from tests.testbed.aws import Moto
from tests.testbed.command import Done, Dregsy, mirror
from tests.testbed.publicecr import ALIAS, HOST, PublicEcr
from tests.testbed.pushing import push
from tests.testbed.raw import ForwardProxy
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo


@pytest.fixture
def public(tmp_path: Path, moto: Moto) -> Iterator[PublicEcr]:
    """The public registry."""
    with PublicEcr(tmp_path / "public", moto) as server:
        yield server


async def run(public: PublicEcr, folder: Path, document: dict[str, Any], **environ: str) -> Done:
    """Run the command where AWS is the test bed."""
    document = {"relay": "native", "retries": 0, "native": {"certs-dir": str(public.certs)}, **document}
    async with ForwardProxy(public.front.host) as proxy:
        variables = {**public.api.environ, "HTTPS_PROXY": f"http://{proxy.host}", "NO_PROXY": "127.0.0.1", **environ}
        dregsy = Dregsy(folder / "user", {name: value for name, value in variables.items() if value})
        return await asyncio.to_thread(dregsy.run, "-config", dregsy.config(document))


async def test_written_and_read(
    public: PublicEcr, tmp_path: Path, registry_a: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """A missing repository is made by its name without the alias; what came to it is then read by nobody special."""
    image = images.index(images.image(repo))
    push(registry_a.host, repo, image, "v1")
    there = mirror(registry_a.host, f"{HOST}/{ALIAS}", {"from": repo, "to": f"{repo}/new"})
    there["tasks"][0]["target"]["auth-refresh"] = "10h"
    written = await run(public, tmp_path, there)
    asked = [one.operation for one in public.api.asked]
    public.api.asked.clear()
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    back = mirror(f"{HOST}/{ALIAS}", registry_a.host, {"from": f"{repo}/new", "to": f"{repo}/back"})
    read = await run(public, tmp_path, back, **nobody)

    assert (written.code, written.err) == (0, "")
    assert asked == ["GetAuthorizationToken", "DescribeRepositories", "CreateRepository"]
    assert public.api.public == {f"{repo}/new"}
    assert (read.code, read.err, public.api.asked) == (0, "", [])
    assert skopeo.inspect_raw(f"{registry_a.host}/{repo}/back:v1") == image.top.raw


async def test_nobody_may_write(public: PublicEcr, tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """Without ``auth-refresh`` there is no login, and the failure says so; AWS is not asked."""
    push(registry_a.host, repo, images.image(repo), "v1")
    done = await run(public, tmp_path, mirror(registry_a.host, f"{HOST}/{ALIAS}", {"from": repo}))

    assert done.code == 1
    assert "answered 403" in done.said
    assert public.api.asked == []
