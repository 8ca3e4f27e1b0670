"""Google's registries under their own names: real registries behind a proxy that leads those names to them.

Their one login is the newest token that Google issued: what was issued before is refused.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dregsy.cloud.gcp import USER
from dregsy.credentials import Logins
from dregsy.embedded import images
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.registry.pool import Registries
from tests.testbed.certificates import Authority
from tests.testbed.command import Done, Dregsy, mirror
from tests.testbed.google import Google, only_login
from tests.testbed.pushing import push
from tests.testbed.raw import ForwardProxy
from tests.testbed.servers import DockerRegistry

HOST = "europe-west3-docker.pkg.dev"


@pytest.fixture
def artifacts(tmp_path: Path, authority: Authority) -> Iterator[DockerRegistry]:
    """Artifact Registry, with the certificate of its name."""
    pair = authority.issue("artifacts", names=(HOST, "127.0.0.1"))
    with DockerRegistry(tmp_path / "artifacts", tls=pair, users={USER: "nothing yet"}) as registry:
        yield registry


@pytest.fixture
def google(artifacts: DockerRegistry) -> Iterator[Google]:
    """Google, whose tokens the registry accepts, the newest only."""
    with Google(lambda token: only_login(artifacts, token)) as server:
        yield server


@dataclass
class User:
    """Somebody who runs dregsy behind the proxy."""

    command: Dregsy
    config: dict[str, Any]

    async def run(self, *arguments: str, **target: Any) -> Done:
        """Run the config with more keys for its target."""
        self.config["tasks"][0]["target"].update(target)
        return await asyncio.to_thread(self.command.run, *arguments, "-config", self.command.config(self.config))


@pytest.fixture
async def user(
    tmp_path: Path, authority: Authority, artifacts: DockerRegistry, registry_a: DockerRegistry, repo: str
) -> AsyncIterator[User]:
    """A user with one image to mirror into a project at Artifact Registry."""
    push(registry_a.host, repo, images.image(repo), "v1")
    certificates = tmp_path / "certs.d" / HOST
    certificates.mkdir(parents=True)
    (certificates / "ca.crt").write_bytes(authority.ca_file.read_bytes())
    config = mirror(registry_a.host, HOST, {"from": repo, "to": f"project/{repo}"})
    for relay in ("native", "skopeo"):
        config[relay] = {"certs-dir": str(certificates.parent)}
    async with ForwardProxy(artifacts.host) as way:
        environ = {"HTTPS_PROXY": f"http://{way.host}", "NO_PROXY": "127.0.0.1"}
        yield User(Dregsy(tmp_path / "user", environ), config)


async def test_service_account(user: User, google: Google, artifacts: DockerRegistry, repo: str) -> None:
    """The file of a service account is all it takes; a run fetches one token, and the next one another."""
    user.config["relay"] = "native"
    user.command.environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(google.service_account(user.command.folder))

    done = await user.run()

    assert (done.code, done.err) == (0, "")
    assert len(google.tokens) == 1
    assert google.tokens[0] not in done.said
    assert (artifacts.data / f"docker/registry/v2/repositories/project/{repo}/_manifests/tags/v1").is_dir()
    assert (await user.run()).code == 0
    assert len(google.tokens) == 2


async def test_skopeo_relay_and_metadata_server(
    user: User, google: Google, artifacts: DockerRegistry, repo: str
) -> None:
    """The other relays get the token as well, of a machine's own account too."""
    user.config["relay"] = "skopeo"
    user.command.environ["GCE_METADATA_HOST"] = google.host

    done = await user.run()

    assert (done.code, done.err) == (0, "")
    assert google.asked == ["metadata"]
    assert (artifacts.data / f"docker/registry/v2/repositories/project/{repo}/_manifests/tags/v1").is_dir()


async def test_renewed_in_the_middle(user: User, google: Google, tmp_path: Path, repo: str) -> None:
    """A client that is at work when its token ends goes on with a new one; the old one is refused by then."""
    environ = {**user.command.environ, "GOOGLE_APPLICATION_CREDENTIALS": str(google.workload(tmp_path))}
    now = [0.0]
    logins = Logins(environ, tmp_path, clock=lambda: now[0])
    async with Registries(logins, environ) as registries:
        registry = registries.at(Endpoint(HOST, certs=(tmp_path / "certs.d",)))
        for _ in range(3):
            assert await registry.has_blob(repo, Digest.of(b"nothing")) is False
        now[0] += google.ttl
        for _ in range(3):
            assert await registry.has_blob(repo, Digest.of(b"nothing")) is False

    assert len(google.tokens) == 2


async def test_no_credentials(user: User) -> None:
    """Without any, the registry's refusal says which are looked for; with ``auth: none`` none are."""
    user.command.environ["NO_GCE_CHECK"] = "true"
    user.config["relay"] = "native"

    looked_for, unwanted = await user.run(), await user.run(auth="none")

    assert (looked_for.code, unwanted.code) == (1, 1)
    assert "no Google credentials were found: set GOOGLE_APPLICATION_CREDENTIALS" in looked_for.said
    assert "GOOGLE_APPLICATION_CREDENTIALS" not in unwanted.said


async def test_broken_credentials(user: User, google: Google) -> None:
    """Credentials that are named and cannot be used are an error, not a run as nobody; ``show`` needs none."""
    user.command.environ["GOOGLE_APPLICATION_CREDENTIALS"] = "missing.json"
    user.config["relay"] = "native"

    done = await user.run()

    assert done.code == 1
    assert "missing.json cannot be read: No such file or directory" in done.said
    assert (await user.run("show")).code == 0
    assert google.asked == []
