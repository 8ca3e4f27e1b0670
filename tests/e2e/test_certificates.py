"""Certificates while a daemon runs, and for all that a registry is made of: lists, token servers, storage."""

import asyncio
import os
import shutil
import signal
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from dregsy import app
from dregsy.config.load import load
from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.model.report import CopyFinished, Event, TaskFinished
from tests.testbed.certificates import Authority, serving
from tests.testbed.command import Done, Dregsy, mirror
from tests.testbed.pushing import bearer, push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo
from tests.testbed.tokens import Grant, TokenServer
from tests.testbed.vendors.harbor import Harbor

ALL = Grant("jo", "*", frozenset({"pull", "push", "*"}))
LOGIN = "eyJ1c2VybmFtZSI6ICJqbyIsICJwYXNzd29yZCI6ICJ3b3JkIn0="
SECTIONS: dict[str, dict[str, Any]] = {"native": {}, "skopeo": {"relay": "skopeo"}}


@pytest.fixture(autouse=True)
def no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have skopeo keep its memory of blobs in the test's folder, also when it runs as root."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("_CONTAINERS_ROOTLESS_UID", "1000")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    """Another authority."""
    return Authority(tmp_path / "stranger", "stranger")


def folder(tmp_path: Path, host: str, *authorities: Authority, pair: tuple[Path, Path] | None = None) -> Path:
    """Fill the folder of a host in tmp_path/certs.d; each authority has a file of its own."""
    home = tmp_path / "certs.d" / host
    home.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(authorities):
        shutil.copy(one.ca_file, home / f"{number}.crt")
    for file, name in zip(pair or (), ("client.cert", "client.key"), strict=False):
        shutil.copy(file, home / name)
    return home


def configured(tmp_path: Path, relay: str, document: dict[str, Any]) -> dict[str, Any]:
    """Complete a config: its relay, and tmp_path/certs.d."""
    return {**document, **SECTIONS[relay], relay: {"certs-dir": str(tmp_path / "certs.d")}, "retries": 0}


# --- renewed while the daemon runs -----------------------------------------------------------------------------------


class Days:
    """A clock whose waits are over at once. After its first run ``deed`` is done, after the second the daemon ends."""

    def __init__(self, deed: Callable[[], object]) -> None:
        self.events: list[Event] = []
        self._deeds: list[Callable[[], object]] = [deed, partial(os.kill, os.getpid(), signal.SIGTERM)]
        self._time = 1e9

    def now(self) -> float:
        """Return the time."""
        return self._time

    async def sleep_until(self, when: float, wake: asyncio.Event) -> None:
        """Let time pass."""
        self._time = when
        runs = sum(isinstance(event, TaskFinished) for event in self.events)
        if runs + len(self._deeds) > 2:
            self._deeds.pop(0)()
        if not self._deeds:
            await wake.wait()


@pytest.mark.parametrize("relay", list(SECTIONS))
async def test_all_is_renewed_while_the_daemon_runs(
    tmp_path: Path, authority: Authority, stranger: Authority, registry_a: DockerRegistry, repo: str, relay: str
) -> None:
    """Registry and client get certificates from another authority; the daemon goes on without a restart."""
    server, clients = tmp_path / "server", tmp_path / "clients.crt"

    def issue(one: Authority) -> None:
        pair = one.issue(f"{relay}-{one.folder.name}")
        shutil.copy(pair[0], server.with_suffix(".crt"))
        shutil.copy(pair[1], server.with_suffix(".key"))
        shutil.copy(one.ca_file, clients)

    def know(one: Authority) -> None:
        folder(tmp_path, target.host, one, pair=one.issue(f"{relay}-client-{one.folder.name}", client=True))

    def renew() -> None:
        target.stop()
        issue(stranger)
        know(stranger)
        target.start()
        push(registry_a.host, repo, images.image(f"{repo} 2"), "v2")

    issue(authority)
    push(registry_a.host, repo, images.image(repo), "v1")
    days = Days(renew)
    pair = server.with_suffix(".crt"), server.with_suffix(".key")
    with DockerRegistry(tmp_path / "target", tls=pair, client_ca=clients) as target:
        know(authority)
        config = configured(tmp_path, relay, mirror(registry_a.host, target.host, {"from": repo}, interval=3600))
        (tmp_path / "sync.yaml").write_text(yaml.safe_dump(config))
        plan = load(str(tmp_path / "sync.yaml"), environ={}).plan
        code = await app.run(plan, environ=os.environ, listeners=[days.events.append], clock=days)

    told = [
        (str(one.outcome.copy.source.tag), str(one.outcome.status))
        for one in days.events
        if isinstance(one, CopyFinished)
    ]
    assert (code, [one.outcome.failure for one in days.events if isinstance(one, CopyFinished)]) == (0, [None] * 3)
    assert sorted(told) == [("v1", "copied"), ("v1", "current"), ("v2", "copied")]


# --- lists, token servers, addresses ---------------------------------------------------------------------------------


@pytest.fixture
def tokens(authority: Authority, stranger: Authority) -> Iterator[TokenServer]:
    """A token server whose own certificate is from another authority than the registry's."""
    tls = serving(stranger.issue("tokens"))
    with TokenServer(authority, users={"jo": "word"}, grants=[ALL], tls=tls) as server:
        yield server


@pytest.fixture
def guarded(tmp_path: Path, authority: Authority, tokens: TokenServer) -> Iterator[DockerRegistry]:
    """A TLS registry that wants its tokens."""
    pair = authority.issue(f"guarded-{tmp_path.name}")
    with DockerRegistry(tmp_path / "guarded", tls=pair, extra=tokens.config()) as registry:
        yield registry


def mirrored(tmp_path: Path, relay: str, source: DockerRegistry, target: str, repo: str, **location: Any) -> Done:
    """Mirror what the source's catalog lists."""
    config = mirror(source.host, target, {"from": f"regex:{repo}", "to": relay})
    config["tasks"][0]["source"].update({"auth": LOGIN, "lister": {"type": "catalog"}, **location})
    environ = {name: os.environ[name] for name in ("XDG_DATA_HOME", "_CONTAINERS_ROOTLESS_UID")}
    dregsy = Dregsy(tmp_path / relay, environ)
    return dregsy.run("-config", dregsy.config(configured(tmp_path, relay, config)))


@pytest.fixture
def stocked(guarded: DockerRegistry, tokens: TokenServer, authority: Authority, repo: str) -> DockerRegistry:
    """The registry with an image in it."""
    token = tokens.mint("jo", f"repository:{repo}:pull,push")
    context = ssl.create_default_context(cafile=authority.ca_file)
    push(guarded.host, repo, images.image(repo), "v1", headers=bearer(token), tls=context)
    return guarded


@pytest.mark.parametrize("relay", list(SECTIONS))
def test_the_registrys_folder_counts_for_its_token_server(
    tmp_path: Path, relay: str, authority: Authority, stranger: Authority, stocked: DockerRegistry,
    registry_b: DockerRegistry, repo: str, skopeo: Skopeo,
) -> None:  # fmt: skip
    """The CAs of registry and token server stand in the registry's folder; catalog, tags and images are all read."""
    folder(tmp_path, stocked.host, authority, stranger)
    done = mirrored(tmp_path, relay, stocked, registry_b.host, repo)

    assert (done.code, done.err) == (0, "")
    assert skopeo.tags(f"{registry_b.host}/{relay}/{repo}") == ["v1"]


def test_a_token_server_with_a_folder_of_its_own(
    tmp_path: Path, authority: Authority, stranger: Authority, stocked: DockerRegistry, tokens: TokenServer,
    registry_b: DockerRegistry, repo: str,
) -> None:  # fmt: skip
    """A token server's own folder goes before that of the registry."""
    folder(tmp_path, stocked.host, authority)
    folder(tmp_path, tokens.host, stranger)

    assert ((done := mirrored(tmp_path, "native", stocked, registry_b.host, repo)).code, done.err) == (0, "")


def test_an_unknown_token_server(
    tmp_path: Path, authority: Authority, stocked: DockerRegistry, tokens: TokenServer, registry_b: DockerRegistry,
    repo: str,
) -> None:  # fmt: skip
    """Which server was refused is told, for which registry it was asked, and which file can help."""
    home = folder(tmp_path, stocked.host, authority)
    done = mirrored(tmp_path, "native", stocked, registry_b.host, repo)

    assert done.code == 1
    assert f"the certificate of {tokens.host} is signed by 'stranger', whom nobody here trusts" in done.said
    assert f"{home}/0.crt" in done.said
    assert f"(on behalf of {stocked.host})" in done.said
    assert f"put its certificate into {home}/ca.crt" in done.said


@pytest.mark.parametrize("relay", list(SECTIONS))
def test_skip_tls_verify_covers_what_the_registry_names(
    tmp_path: Path, relay: str, stocked: DockerRegistry, registry_b: DockerRegistry, repo: str, skopeo: Skopeo
) -> None:
    """Where a registry is not verified neither is its token server, as it is that registry which names it."""
    (tmp_path / "certs.d").mkdir()
    done = mirrored(tmp_path, relay, stocked, registry_b.host, repo, **{"skip-tls-verify": True})

    assert (done.code, done.err) == (0, "")
    assert skopeo.tags(f"{registry_b.host}/{relay}/{repo}") == ["v1"]


def test_skip_tls_verify_covers_nothing_else(
    tmp_path: Path, authority: Authority, stocked: DockerRegistry, repo: str
) -> None:
    """Another registry of the same task is verified as ever."""
    (tmp_path / "certs.d").mkdir()
    with DockerRegistry(tmp_path / "target", tls=authority.issue(f"target-{tmp_path.name}")) as target:
        done = mirrored(tmp_path, "native", stocked, target.host, repo, **{"skip-tls-verify": True})

    assert done.code == 1
    assert f"the certificate of {target.host} is signed by 'testbed authority', whom nobody here trusts" in done.said


async def test_a_makers_own_lists(tmp_path: Path, authority: Authority) -> None:
    """Harbor's API is read with the folder of the Harbor: with it the project is found, without it nothing is."""
    tls = serving(authority.issue(f"harbor-{tmp_path.name}"))
    async with Harbor(users={"jo": "word"}, tls=tls) as source, EmbeddedRegistry() as target:
        source.put("team/app", ("v1", "v2"))
        config = configured(
            tmp_path, "native", mirror(f"{source.host}/team", target.host, {"from": "regex:.*", "to": "copies"})
        )
        config["tasks"][0]["source"]["auth"] = LOGIN
        dregsy = Dregsy(tmp_path / "user")
        (tmp_path / "certs.d").mkdir()
        without = await asyncio.to_thread(dregsy.run, "-config", dregsy.config(config))
        asked = source.log.count("GET", "")
        folder(tmp_path, source.host, authority)
        done = await asyncio.to_thread(dregsy.run, "-config", dregsy.config(config))

        assert (without.code, asked, "whom nobody here trusts" in without.said) == (1, 0, True)
        assert (done.code, target.store.names()) == (0, ["copies/app"])
        assert source.log.count("GET", "/api/v2.0/projects/team/repositories") > 0


@pytest.mark.parametrize("name", ["[::1]:{port}", "::1:{port}", "[::1]", "::1"])
def test_ipv6(tmp_path: Path, authority: Authority, registry_a: DockerRegistry, repo: str, name: str) -> None:
    """A registry that is named by an IPv6 address has a folder, however that is spelt."""
    push(registry_a.host, repo, images.image(repo), "v1")
    pair = authority.issue(f"six-{tmp_path.name}")
    with DockerRegistry(tmp_path / "six", tls=pair, client_ca=authority.ca_file, address="::1") as target:
        port = target.host.rpartition(":")[2]
        client = authority.issue(f"client-{tmp_path.name}", client=True)
        folder(tmp_path, name.format(port=port), authority, pair=client)
        dregsy = Dregsy(tmp_path / "user")
        config = configured(tmp_path, "native", mirror(registry_a.host, target.host, {"from": repo}))
        done = dregsy.run("-config", dregsy.config(config))

    assert (done.code, done.err) == (0, "")


def test_the_systems_variables(
    tmp_path: Path, authority: Authority, stranger: Authority, registry_a: DockerRegistry, repo: str
) -> None:
    """SSL_CERT_FILE stands for the system's authorities; when it is no help, it is named."""
    push(registry_a.host, repo, images.image(repo), "v1")
    with DockerRegistry(tmp_path / "target", tls=authority.issue(f"system-{tmp_path.name}")) as target:
        codes, said = [], ""
        for one in (stranger, authority):
            dregsy = Dregsy(tmp_path / one.folder.name, {"SSL_CERT_FILE": str(one.ca_file)})
            done = dregsy.run("-config", dregsy.config(mirror(registry_a.host, target.host, {"from": repo})))
            codes.append(done.code)
            said += done.said

    assert codes == [1, 0]
    assert f"trusted are the authorities of SSL_CERT_FILE={stranger.ca_file}" in said
