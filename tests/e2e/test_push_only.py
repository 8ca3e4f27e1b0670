"""Targets whose login may push and not read, and registries that answer 403 for what is not there."""

import asyncio
import base64
from pathlib import Path

import pytest
from aiohttp import web

from dregsy.embedded import images
from tests.testbed.command import Done, Dregsy, mirror
from tests.testbed.proxy import Fault, RecordingProxy, Seen
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo

AUTH = base64.b64encode(b'{"username": "pusher", "password": "secret"}').decode()
GREETING = Fault(path="^/v2/$", status=401, headers={"WWW-Authenticate": 'Basic realm="target"'}, times=-1)
UNREADABLE = [
    Fault(path="/(manifests|blobs/sha256)", method="HEAD", status=403, times=-1),
    Fault(path="/(manifests|blobs/sha256)", method="GET", status=403, times=-1),
]


async def run(
    folder: Path, source: str, target: RecordingProxy, repo: str, *, relay: str = "native", **location: str
) -> Done:
    """Mirror a repository."""
    document = mirror(source, target.host, {"from": repo, "to": f"{repo}/copy"})
    document["tasks"][0]["target"] |= location
    dregsy = Dregsy(folder / "user")
    return await asyncio.to_thread(dregsy.run, "-config", dregsy.config({"relay": relay, "retries": 0, **document}))


async def test_a_login_that_may_only_push(
    tmp_path: Path, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """What the login cannot see counts as absent: it is pushed, all of it."""
    image = images.index(images.image(repo))
    push(registry_a.host, repo, image, "v1")
    with RecordingProxy(registry_b.host, GREETING, *UNREADABLE) as target:
        done = await run(tmp_path, registry_a.host, target, repo, auth=AUTH)

    assert (done.code, done.err) == (0, "")
    assert skopeo.inspect_raw(f"{registry_b.host}/{repo}/copy:v1") == image.top.raw


async def test_skopeo_needs_to_pull(
    tmp_path: Path, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """Skopeo looks before it writes: a login that may push only is told as what it is, with what to do about it."""
    push(registry_a.host, repo, images.image(repo), "v1")
    with RecordingProxy(registry_b.host, GREETING, *UNREADABLE) as target:
        done = await run(tmp_path, registry_a.host, target, repo, relay="skopeo", auth=AUTH)

    assert done.code == 1
    assert "the login needs the right to pull, too; or use relay native" in done.said


class Discreet(RecordingProxy):
    """Answers as Artifactory does: 403 for what is not there."""

    async def answer(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        """Look before asking."""
        if request.method in {"GET", "HEAD"} and ("/manifests/" in request.path or "/blobs/sha256" in request.path):
            async with self.client.head(self.upstream + request.path_qs, headers=request.headers) as found:
                if found.status == 404:
                    return web.Response(status=403)
        return await super().answer(request, seen)


async def test_what_is_not_there_is_hidden(
    tmp_path: Path, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """Verify takes it for missing, as a run does, and mends it."""
    image = images.index(images.image(repo))
    push(registry_a.host, repo, image, "v1")
    dregsy = Dregsy(tmp_path / "user")
    with Discreet(registry_b.host, GREETING) as target:
        document = mirror(registry_a.host, target.host, {"from": repo, "to": f"{repo}/copy"})
        document["tasks"][0]["target"] |= {"auth": AUTH}
        file = dregsy.config(document)
        found, mended, again = [
            await asyncio.to_thread(dregsy.run, "verify", "-config", file, *flags) for flags in ([], ["--repair"], [])
        ]

    assert (found.code, mended.code, again.code) == (1, 0, 0)
    assert "missing" in found.out
    assert skopeo.inspect_raw(f"{registry_b.host}/{repo}/copy:v1") == image.top.raw


@pytest.mark.parametrize("login", [{}, {"auth": AUTH}])
async def test_nobody_and_a_wrong_login(
    tmp_path: Path, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, login: dict[str, str]
) -> None:
    """Where the registry does not know who asks, nothing counts as absent, and nothing is pushed."""
    push(registry_a.host, repo, images.image(repo), "v1")
    wrong = Fault(path="/", status=401, headers={"WWW-Authenticate": 'Basic realm="target"'}, times=-1)
    with RecordingProxy(registry_b.host, wrong) as target:
        done = await run(tmp_path, registry_a.host, target, repo, **login)
        assert target.count("POST", "") == 0

    assert done.code == 1
    assert "answered 401" in done.said
