import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError

from dregsy.credentials import Logins
from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.errors import (
    CredentialsError,
    DigestMismatch,
    DregsyError,
    RateLimited,
    RelayError,
    RelayUnavailable,
    Unauthorized,
    Unreachable,
)
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Anonymous, Endpoint, Given, Login, Secret
from dregsy.model.plan import Copy
from dregsy.model.platform import Platform
from dregsy.model.ref import Ref
from dregsy.model.report import Moved
from dregsy.registry.pool import Registries
from dregsy.relay import Feature, Toolbox
from relays.skopeo import Settings, SkopeoRelay, certificates
from tests.testbed.certificates import Authority
from tests.testbed.faults import Fault
from tests.testbed.processes import ends
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.tokens import Grant, TokenServer

NOWHERE = "127.0.0.1:1"
ELSEWHERE = "registry.invalid"
"""Not this machine, so nobody asks it before skopeo does."""
ALICE = Given(Login("alice", Secret("alice's long: password")))
BOB = Given(Login("bob", Secret("bob's other password")))
USERS = {"alice": "alice's long: password", "bob": "bob's other password"}


@pytest.fixture(autouse=True)
def no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have skopeo keep its memory of blobs in the test's folder, also when it runs as root."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("_CONTAINERS_ROOTLESS_UID", "1000")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """The folder for large temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@asynccontextmanager
async def relaying(scratch: Path, *, timeout: float = 60.0, **settings: object) -> AsyncIterator[SkopeoRelay]:
    """Run a relay with real registries, real logins and these settings."""
    logins = Logins(os.environ, Path(os.environ["HOME"]))
    async with Registries(logins, os.environ) as registries:
        toolbox = Toolbox(registries, logins, scratch, lambda _event: None, timeout)
        async with SkopeoRelay(Settings.model_validate(settings), toolbox) as relay:
            yield relay


def script(path: Path, *lines: str) -> str:
    """Write an executable that stands in for skopeo, or in front of it."""
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)
    return str(path)


def order(source: Ref, digest: Digest, *targets: Ref) -> Copy:
    """Ask for one image at some targets."""
    return Copy("task", source.with_tag("v1", digest), targets, tuple(range(len(targets))))


@pytest.fixture
def multi(repo: str) -> images.Image:
    """Make an index of two platforms with attestations."""
    arm = images.image(repo, platform=Platform("linux", "arm64"))
    return images.index(images.image(repo), arm, attested=True)


async def test_two_logins_for_one_host(scratch: Path, repo: str, multi: images.Image) -> None:
    """Source and target may be one registry with different users; no login is on a command line or on a disk."""
    log = scratch.parent / "log"
    binary = script(
        scratch.parent / "spy",
        f'echo "$@" >> {log}; env >> {log}; cat $(find {scratch} -type f) /dev/null >> {log}',
        f'for a in "$@"; do case $a in *authfile=*) stat -L -c "%a %h" "${{a#*=}}" >> {log}.modes;; esac; done',
        'exec skopeo "$@"',
    )
    async with EmbeddedRegistry(users=USERS) as registry, relaying(scratch, binary=binary) as relay:
        await images.seed(registry, repo, multi, "v1")
        copy = order(Ref(registry.host, repo), multi.digest, Ref(registry.host, f"{repo}/copy", "v1"))

        results = await relay.copy(
            copy, Endpoint(registry.host, credentials=ALICE), [Endpoint(registry.host, credentials=BOB)]
        )

    assert [Moved(multi.digest)] == results
    assert [word for word in ("password", "YWxpY2U6", "Ym9iO") if word in log.read_text()] == []
    assert Path(f"{log}.modes").read_text().splitlines() == ["600 0", "600 0"]
    assert list(scratch.iterdir()) == []


async def test_a_wrong_login_is_told_without_showing_it(scratch: Path, repo: str, multi: images.Image) -> None:
    """A refused login is Unauthorized, whose text holds neither the password nor its encoding."""
    wrong = Given(Login("alice", Secret("not the password")))
    async with EmbeddedRegistry(users=USERS) as registry, relaying(scratch) as relay:
        await images.seed(registry, repo, multi, "v1")
        copy = order(Ref(registry.host, repo), multi.digest, Ref(registry.host, f"{repo}/copy", "v1"))

        [error] = await relay.copy(
            copy, Endpoint(registry.host, credentials=ALICE), [Endpoint(registry.host, credentials=wrong)]
        )

    assert isinstance(error, Unauthorized)
    assert "not the password" not in str(error)


@pytest.mark.parametrize("name", [".docker/config.json", ".config/containers/auth.json"])
async def test_anonymous_is_anonymous(scratch: Path, repo: str, multi: images.Image, name: str) -> None:
    """``auth: none`` uses no login that lies about in the home folder."""
    async with EmbeddedRegistry(users=USERS) as registry, relaying(scratch) as relay:
        await images.seed(registry, repo, multi, "v1")
        ambient = Path(os.environ["HOME"]) / name
        ambient.parent.mkdir(parents=True, exist_ok=True)
        ambient.write_text(json.dumps({"auths": {registry.host: {"auth": "Ym9iOmJvYidzIG90aGVyIHBhc3N3b3Jk"}}}))
        copy = order(Ref(registry.host, repo), multi.digest, Ref(registry.host, f"{repo}/copy", "v1"))

        [error] = await relay.copy(
            copy, Endpoint(registry.host, credentials=Anonymous()), [Endpoint(registry.host, credentials=BOB)]
        )

    assert isinstance(error, Unauthorized)


async def test_an_identity_token_is_a_login(
    tmp_path: Path, scratch: Path, repo: str, multi: images.Image, authority: Authority
) -> None:
    """What ``docker login`` keeps for a token server works as well as a password."""
    everything = Grant("alice", "*", frozenset({"pull", "push"}))
    with (
        TokenServer(authority, users=USERS, grants=(everything,)) as tokens,
        DockerRegistry(tmp_path / "registry", extra=tokens.config()) as registry,
    ):
        scope = f"repository:{repo}:pull,push"
        push(registry.host, repo, multi, "v1", headers={"Authorization": f"Bearer {tokens.mint('alice', scope)}"})
        login = Login(identity_token=Secret(tokens.identity_token("alice")))
        endpoint = Endpoint(registry.host, credentials=Given(login))
        async with relaying(scratch) as relay:
            copy = order(Ref(registry.host, repo), multi.digest, Ref(registry.host, f"{repo}/copy", "v1"))

            results = await relay.copy(copy, endpoint, [endpoint])

    assert [Moved(multi.digest)] == results


async def test_a_broken_source_login_concerns_all_targets(
    scratch: Path, repo: str, multi: images.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a login for the source there is nothing to tell of single targets."""
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", "{")
    async with relaying(scratch) as relay:
        copy = order(Ref(NOWHERE, repo), multi.digest, Ref(NOWHERE, repo, "v1"))

        with pytest.raises(CredentialsError):
            await relay.copy(copy, Endpoint(NOWHERE), [Endpoint(NOWHERE, credentials=Anonymous())])


async def test_a_cancelled_copy_leaves_nothing(scratch: Path, repo: str, multi: images.Image) -> None:
    """Cancelling ends skopeo and its children at once and removes its temporary files."""
    started = scratch.parent / "started"
    os.mkfifo(started)
    binary = script(
        scratch.parent / "slow",
        'case "$*" in *--version*|*--help*) exec skopeo "$@";; esac',
        "sleep 1000 & child=$!; touch $TMPDIR/layer",
        f"echo $$ $child > {started}",
        "wait",
    )
    async with relaying(scratch, binary=binary) as relay:
        copy = order(Ref(ELSEWHERE, repo), multi.digest, Ref(ELSEWHERE, repo, "v1"))
        endpoint = Endpoint(ELSEWHERE, credentials=ALICE)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(relay.copy(copy, endpoint, [endpoint]))
            pids = (await asyncio.to_thread(started.read_text)).split()
            files = [file.name for folder in scratch.iterdir() for file in folder.iterdir()]
            running.cancel()

    assert files == ["layer"]
    assert list(scratch.iterdir()) == []
    assert [ends(int(pid)) for pid in pids] == [True, True]


async def test_a_hung_skopeo_is_killed_after_the_time_limit(scratch: Path, repo: str, multi: images.Image) -> None:
    """A copy that takes too long ends, with its children, and may be tried again."""
    pids = scratch.parent / "pids"
    binary = script(
        scratch.parent / "hung",
        'case "$*" in *--version*|*--help*) exec skopeo "$@";; esac',
        f"sleep 1000 & echo $$ $! > {pids}; wait",
    )
    pids.touch()
    copy = order(Ref(ELSEWHERE, repo), multi.digest, Ref(ELSEWHERE, repo, "v1"))
    for limit in (0.3, 3.0, 30.0):  # until it is long enough for a busy machine to begin them both
        async with relaying(scratch, timeout=limit, binary=binary) as relay:
            [error] = await relay.copy(copy, Endpoint(ELSEWHERE), [Endpoint(ELSEWHERE)])
        started = pids.read_text().split()
        if len(started) == 2:
            break

    assert isinstance(error, RelayError)
    assert error.retryable
    assert [ends(int(pid)) for pid in started] == [True, True]


@pytest.mark.parametrize(("old", "kind"), [(True, DigestMismatch), (False, RelayError)])
async def test_success_is_checked_at_the_target(
    scratch: Path,
    repo: str,
    multi: images.Image,
    old: bool,
    kind: type[DregsyError],
    embedded_pair: tuple[EmbeddedRegistry, EmbeddedRegistry],
) -> None:
    """A skopeo that says it is done and is not, or wrote something else, is found out."""
    source, target = embedded_pair
    if old:
        await images.seed(target, repo, images.image(f"other/{repo}"), "v1")
    binary = script(scratch.parent / "liar", 'case "$*" in *--version*|*--help*) exec skopeo "$@";; esac')
    async with relaying(scratch, binary=binary) as relay:
        copy = order(Ref(source.host, repo), multi.digest, Ref(target.host, repo, "v1"))

        [error] = await relay.copy(copy, Endpoint(source.host), [Endpoint(target.host)])

    assert isinstance(error, kind)


async def test_an_older_skopeo_works_without_preserve_digests(
    scratch: Path, repo: str, multi: images.Image, embedded_pair: tuple[EmbeddedRegistry, EmbeddedRegistry]
) -> None:
    """The option is only used where the binary, asked once, knows it; the digest is checked in any case."""
    source, target = embedded_pair
    await images.seed(source, repo, multi, "v1")
    asked = scratch.parent / "asked"
    binary = script(
        scratch.parent / "older",
        'case "$*" in',
        f'  *--help*) echo asked >> {asked}; skopeo "$@" | grep -v preserve-digests;;',
        '  *--preserve-digests*) echo "unknown flag" >&2; exit 1;;',
        '  *) exec skopeo "$@";;',
        "esac",
    )
    async with relaying(scratch, binary=binary) as relay:
        for tag in ("v1", "v2"):
            copy = order(Ref(source.host, repo), multi.digest, Ref(target.host, repo, tag))

            assert [Moved(multi.digest)] == await relay.copy(copy, Endpoint(source.host), [Endpoint(target.host)])

    assert asked.read_text().split() == ["asked"]


async def test_a_skopeo_that_changes_digests_is_found_out(
    scratch: Path, repo: str, embedded_pair: tuple[EmbeddedRegistry, EmbeddedRegistry]
) -> None:
    """Digests are preserved wherever the binary can do that, and a copy that came out as another image has failed."""
    source, target = embedded_pair
    image = images.image(repo, docker=True)
    await images.seed(source, repo, image, "v1")
    copy = order(Ref(source.host, repo), image.digest, Ref(target.host, repo, "v1"))
    older = script(scratch.parent / "older", 'case "$*" in *--help*) echo old;; *) exec skopeo "$@";; esac')
    async with (
        relaying(scratch, args=["--format=oci"]) as new,
        relaying(scratch, args=["--format=oci"], binary=older) as old,
    ):
        [kept] = await new.copy(copy, Endpoint(source.host), [Endpoint(target.host)])
        [changed] = await old.copy(copy, Endpoint(source.host), [Endpoint(target.host)])

    assert Moved(image.digest) == kept
    assert isinstance(changed, DigestMismatch)
    assert "newer" in changed.hint


async def test_what_skopeo_says_becomes_the_error(scratch: Path, repo: str, multi: images.Image) -> None:
    """The last line is the message, the lines before it the output; addresses lose what may be secret."""
    said = 'time="2024-01-01T00:00:00Z" level=fatal msg="writing \\"x\\": Get \\"https://u:p@h/x?sig=s\\": strange"'
    binary = script(
        scratch.parent / "failing",
        'case "$*" in *--version*|*--help*) exec skopeo "$@";; esac',
        f"echo first; printf '%s\\n' '{said}' >&2; exit 1",
    )
    async with relaying(scratch, binary=binary) as relay:
        copy = order(Ref(ELSEWHERE, repo), multi.digest, Ref(ELSEWHERE, repo, "v1"))

        [error] = await relay.copy(copy, Endpoint(ELSEWHERE), [Endpoint(ELSEWHERE)])

    assert isinstance(error, RelayError)
    assert error.message == 'skopeo: writing "x": Get "https://h/x": strange'
    assert error.output == 'first\nwriting "x": Get "https://h/x": strange'
    assert error.retryable


async def test_skopeo_gets_no_secrets_from_the_environment(
    scratch: Path, repo: str, multi: images.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what skopeo needs is passed on: proxies and certificates, not tokens."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("https_proxy", "http://proxy.test")
    log = scratch.parent / "log"
    binary = script(
        scratch.parent / "spy", 'case "$*" in *--version*|*--help*) exec skopeo "$@";; esac', f"env > {log}; exit 1"
    )
    async with relaying(scratch, binary=binary) as relay:
        copy = order(Ref(ELSEWHERE, repo), multi.digest, Ref(ELSEWHERE, repo, "v1"))
        await relay.copy(copy, Endpoint(ELSEWHERE), [Endpoint(ELSEWHERE)])

    names = {line.partition("=")[0] for line in log.read_text().splitlines()}
    assert "https_proxy" in names
    assert "AWS_SECRET_ACCESS_KEY" not in names


@pytest.mark.parametrize("lines", [None, (), ("exit 3",), ("echo some other program",)])
async def test_a_binary_that_does_not_work_is_unavailable(scratch: Path, lines: tuple[str, ...] | None) -> None:
    """A missing, mute, failing or foreign program is reported when the run begins, with what to do."""
    path = scratch.parent / "binary"
    binary = str(path) if lines is None else script(path, *lines)

    with pytest.raises(RelayUnavailable) as caught:
        async with relaying(scratch, binary=binary):
            pass

    assert "binary" in caught.value.message
    assert "skopeo.binary" in caught.value.hint


async def test_certificates_are_found_by_port_or_host(
    tmp_path: Path, scratch: Path, repo: str, multi: images.Image, authority: Authority
) -> None:
    """Own CAs and client certificates come from the folder of the registry; a wrong CA is refused."""
    pair, client = authority.issue("relay-server"), authority.issue("relay-client", client=True)
    with DockerRegistry(tmp_path / "registry", tls=pair, client_ca=authority.ca_file) as registry:
        good, wrong = tmp_path / "good", tmp_path / "wrong"
        trust(good / registry.host, authority.ca_file, client)
        trust(wrong / registry.host, Authority(tmp_path / "stranger").ca_file, client)
        trust(wrong / "127.0.0.1", authority.ca_file, client)
        targets = [Endpoint(registry.host, certs=(root,)) for root in (good, wrong)]
        async with EmbeddedRegistry() as source, relaying(scratch) as relay:
            await images.seed(source, repo, multi, "v1")
            refs = [Ref(registry.host, f"{repo}/{number}", "v1") for number in range(2)]

            moved, refused = await relay.copy(
                order(Ref(source.host, repo), multi.digest, *refs), Endpoint(source.host), targets
            )

    assert Moved(multi.digest) == moved
    assert isinstance(refused, Unreachable)
    assert "certificate" in refused.message
    assert not refused.retryable


async def test_certificates_of_a_host_leave_its_plain_registries_alone(
    tmp_path: Path, scratch: Path, repo: str, multi: images.Image, authority: Authority
) -> None:
    """A folder that is named after this machine counts for its registries with TLS; others may stay without."""
    pair, client = authority.issue("relay-server"), authority.issue("relay-client", client=True)
    trust(tmp_path / "certs.d/127.0.0.1", authority.ca_file, client)
    certs = (tmp_path / "certs.d",)
    with DockerRegistry(tmp_path / "registry", tls=pair, client_ca=authority.ca_file) as registry:
        async with EmbeddedRegistry() as plain, relaying(scratch) as relay:
            await images.seed(plain, repo, multi, "v1")
            refs = [Ref(host, f"{repo}/copy", "v1") for host in (registry.host, plain.host)]

            results = await relay.copy(
                order(Ref(plain.host, repo), multi.digest, *refs),
                Endpoint(plain.host, certs=certs),
                [Endpoint(ref.host, certs=certs) for ref in refs],
            )

    assert [Moved(multi.digest)] * 2 == results


async def test_this_machine_is_trusted_with_plain_http_only(
    tmp_path: Path, scratch: Path, repo: str, multi: images.Image, authority: Authority
) -> None:
    """A registry on this machine that speaks TLS is verified like any other, unless that is not wanted."""
    with DockerRegistry(tmp_path / "registry", tls=authority.issue("relay-untrusted")) as registry:
        async with EmbeddedRegistry() as source, relaying(scratch) as relay:
            await images.seed(source, repo, multi, "v1")
            refs = [Ref(registry.host, f"{repo}/{number}", "v1") for number in range(2)]
            targets = [Endpoint(registry.host), Endpoint(registry.host, verify=False)]

            refused, moved = await relay.copy(
                order(Ref(source.host, repo), multi.digest, *refs), Endpoint(source.host), targets
            )

    assert isinstance(refused, Unreachable)
    assert "certificate" in refused.message
    assert Moved(multi.digest) == moved


async def test_a_registry_that_asks_to_slow_down(
    scratch: Path, repo: str, multi: images.Image, registry_a: DockerRegistry, registry_b: DockerRegistry
) -> None:
    """When skopeo has given up waiting for a registry's limit the error has the kind that it has with every relay."""
    push(registry_a.host, repo, multi, "v1")
    busy = Fault(path="/v2/.*/manifests/", times=-1, status=429, headers={"Retry-After": "0"})
    with RecordingProxy(registry_a.host, busy) as source:
        async with relaying(scratch) as relay:
            copy = order(Ref(source.host, repo), multi.digest, Ref(registry_b.host, repo, "v1"))

            [error] = await relay.copy(copy, Endpoint(source.host), [Endpoint(registry_b.host)])

    assert isinstance(error, RateLimited)
    assert error.retryable


def trust(folder: Path, ca: Path, client: tuple[Path, Path]) -> None:
    """Make a folder of certs.d."""
    folder.mkdir(parents=True)
    for name, origin in (("ca.crt", ca), ("client.cert", client[0]), ("client.key", client[1])):
        (folder / name).write_bytes(origin.read_bytes())


@pytest.mark.parametrize(
    ("host", "folders", "found"),
    [
        ("h:5000", ("h:5000", "h"), "h:5000"),
        ("h:5000", ("h",), "h"),
        ("h", ("h", "h:5000"), "h"),
        ("[::1]:5000", ("[::1]:5000",), "[::1]:5000"),
        ("[::1]:5000", ("::1",), "::1"),
        ("h", ("other",), None),
    ],
)
def test_the_folder_with_the_port_goes_first(
    tmp_path: Path, host: str, folders: tuple[str, ...], found: str | None
) -> None:
    """Certificates are looked for under host and port, then under the host."""
    for folder in folders:
        (tmp_path / folder).mkdir()

    assert (tmp_path / found if found else None) == certificates(host, [tmp_path / "none", tmp_path])


async def test_more_options_reach_skopeo(
    scratch: Path, repo: str, multi: images.Image, embedded_pair: tuple[EmbeddedRegistry, EmbeddedRegistry]
) -> None:
    """``args`` are handed on; one that skopeo refuses is its error to tell."""
    source, target = embedded_pair
    await images.seed(source, repo, multi, "v1")
    copy = order(Ref(source.host, repo), multi.digest, Ref(target.host, repo, "v1"))
    async with relaying(scratch, args=["--retry-times", "2"]) as good, relaying(scratch, args=["--nonsense"]) as bad:
        [moved] = await good.copy(copy, Endpoint(source.host), [Endpoint(target.host)])
        [error] = await bad.copy(copy, Endpoint(source.host), [Endpoint(target.host)])

    assert Moved(multi.digest) == moved
    assert isinstance(error, RelayError)
    assert "--nonsense" in error.message


@pytest.mark.parametrize(
    "option",
    [
        "--src-creds=a:b",
        "--creds",
        "--dest-creds a:b",
        "--dest-password",
        "--src-registry-token=x",
        "--dest-username=x",
        "--authfile=/x",
        "--dest-authfile",
    ],
)
def test_logins_are_no_options(option: str) -> None:
    """An option that would show a login in the process list is refused, and so is an empty binary."""
    with pytest.raises(ValidationError, match="auth"):
        Settings.model_validate({"args": [option, "value"]})


def test_settings_have_the_names_of_the_config_file() -> None:
    """``certs-dir`` is the folder of dregsy, unless told otherwise; the relay copies whatever there is."""
    assert Path("/etc/skopeo/certs.d") == Settings.model_validate({}).certs_dir
    assert Path("/x") == Settings.model_validate({"certs-dir": "/x", "args": ["--src-no-creds"]}).certs_dir
    assert frozenset(Feature) - {Feature.SOME_PLATFORMS} == SkopeoRelay.features
