"""Proves that the test bed tells the truth: real servers in each dress, and faults that really happen."""

import asyncio
import http.client
import json
import shutil
import signal
import ssl
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dregsy.embedded.images import image, index
from tests.testbed import forked
from tests.testbed.certificates import Authority
from tests.testbed.command import Dregsy, mirror
from tests.testbed.leaks import files_below
from tests.testbed.proxy import Fault, Gate, Paging, RecordingProxy
from tests.testbed.pushing import basic, bearer, push
from tests.testbed.servers import DockerRegistry
from tests.testbed.skopeo import Skopeo
from tests.testbed.tokens import Grant, TokenRequest, TokenServer

EVERYTHING = Grant("jo", "*", frozenset({"pull", "push", "delete", "*"}))
READING = Grant("", "test/*", frozenset({"pull"}))
Got = tuple[int, dict[str, str], bytes]


def get(host: str, path: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes = b"") -> Got:
    """Ask for something with the standard library's client."""
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.request(method, path, headers=headers or {}, body=body)
        answer = connection.getresponse()
        return answer.status, {name.title(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.fixture
def stocked(registry_a: DockerRegistry, repo: str) -> str:
    """Return a repository of registry_a that holds an image as v1."""
    push(registry_a.host, repo, image(repo), "v1")
    return repo


@pytest.fixture
def proxied(registry_a: DockerRegistry) -> Iterator[RecordingProxy]:
    """Run a proxy in front of registry_a."""
    with RecordingProxy(registry_a.host) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def tokens(authority: Authority) -> Iterator[TokenServer]:
    """Run a token service where jo may do everything, and everybody may pull below test/."""
    with TokenServer(authority, users={"jo": "word"}, grants=[EVERYTHING, READING]) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(tokens: TokenServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """Run a registry that trusts these tokens."""
    with DockerRegistry(tmp_path_factory.mktemp("guarded"), extra=tokens.config()) as registry:
        yield registry


def blob_path(repo: str) -> str:
    """Return the path of the first layer of the image in a stocked repository."""
    return f"/v2/{repo}/blobs/{image(repo).top.blobs[1].digest}"


def blob_of(repo: str) -> bytes:
    """Return that layer."""
    return image(repo).blobs[image(repo).top.blobs[1].digest]


def test_files_that_vanish_while_they_are_looked_at(tmp_path: Path) -> None:
    """All files at any depth are read; those that are gone before their turn, with their folders or not, are not."""
    every = {tmp_path / name: name.encode() for name in ("1", "2", "a/3", "a/b/4")}
    (tmp_path / "a/b").mkdir(parents=True)
    for file, content in every.items():
        file.write_bytes(content)
    assert dict(files_below(tmp_path, tmp_path / "none")) == every

    found = files_below(tmp_path)
    first, _ = next(found)
    for file in every.keys() - {first}:
        file.unlink()
    shutil.rmtree(tmp_path / "a")
    assert list(found) == []


def test_a_registry_comes_back_with_its_data(tmp_path: Path, skopeo: Skopeo) -> None:
    """After a kill and a restart the registry has the same address and the same images."""
    with DockerRegistry(tmp_path / "registry") as registry:
        host = registry.host
        push(host, "a", image("a"), "v1")
        registry.stop(signal.SIGKILL)
        registry.start()
        assert (host, ["v1"]) == (registry.host, skopeo.tags(f"{registry.host}/a"))


def test_thousands_of_tags(registry_a: DockerRegistry, repo: str) -> None:
    """Tags written to the disk are served."""
    push(registry_a.host, repo, image("a"), "v1")
    registry_a.write_tags(repo, image("a").digest, [f"t{number}" for number in range(500)])
    assert len(json.loads(get(registry_a.host, f"/v2/{repo}/tags/list")[2])["tags"]) == 501
    assert (
        image("a").top.raw
        == get(registry_a.host, f"/v2/{repo}/manifests/t499", {"Accept": image("a").top.media_type})[2]
    )


def test_a_registry_with_logins(tmp_path: Path) -> None:
    """Only users get in."""
    with DockerRegistry(tmp_path / "registry", users={"jo": "word"}) as registry:
        push(registry.host, "a", image("a"), "v1", headers=basic("jo", "word"))
        assert [
            get(registry.host, "/v2/a/tags/list", headers)[0] for headers in (basic("jo", "word"), basic("jo", "x"), {})
        ] == [200, 401, 401]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_registry_with_tls(address: str, tmp_path: Path, authority: Authority) -> None:
    """Who trusts the authority can talk to a registry with its certificate, over both kinds of addresses."""
    with DockerRegistry(tmp_path / "registry", tls=authority.issue(uuid.uuid4().hex), address=address) as registry:
        assert push(registry.host, "a", image("a"), "v1", tls=ssl.create_default_context(cafile=authority.ca_file))
        with pytest.raises(ssl.SSLCertVerificationError):
            push(registry.host, "a", image("a"), tls=ssl.create_default_context())


def test_a_registry_that_wants_client_certificates(tmp_path: Path, authority: Authority) -> None:
    """Only clients with a certificate of the authority get in."""
    trusting = ssl.create_default_context(cafile=authority.ca_file)
    known = ssl.create_default_context(cafile=authority.ca_file)
    known.load_cert_chain(*authority.issue(uuid.uuid4().hex, client=True))
    certificate = authority.issue(uuid.uuid4().hex)
    with DockerRegistry(tmp_path / "registry", tls=certificate, client_ca=authority.ca_file) as registry:
        assert push(registry.host, "a", image("a"), "v1", tls=known)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            push(registry.host, "a", image("a"), tls=trusting)


@pytest.mark.parametrize(
    "issue",
    [
        lambda authority, name: authority.issue(name, start_days=-5, days=-1),
        lambda authority, name: authority.issue(name, start_days=5),
        lambda authority, name: authority.issue(name, names=("other.test",)),
        lambda authority, name: authority.issue(name, names=()),
    ],
    ids=["expired", "not yet", "other name", "no name"],
)
def test_bad_certificates_are_bad(
    issue: Callable[[Authority, str], tuple[Path, Path]], tmp_path: Path, authority: Authority
) -> None:
    """Each kind of bad certificate is refused by a careful client."""
    with (
        DockerRegistry(tmp_path / "registry", tls=issue(authority, uuid.uuid4().hex)) as registry,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        push(registry.host, "a", image("a"), tls=ssl.create_default_context(cafile=authority.ca_file))


def test_skopeo_gets_along_with_tokens(tokens: TokenServer, guarded: DockerRegistry, repo: str, tmp_path: Path) -> None:
    """A user may push, everybody may pull; the service has seen who asked for what."""
    push(guarded.host, repo, image(repo), "v1", headers=bearer(tokens.mint("jo", f"repository:{repo}:pull,push")))
    user, nobody = Skopeo(tmp_path / "jo", login="jo:word"), Skopeo(tmp_path / "nobody")
    user.copy(f"{guarded.host}/{repo}:v1", f"{guarded.host}/{repo}-copy:v1")
    assert nobody.tags(f"{guarded.host}/{repo}-copy") == ["v1"]
    assert TokenRequest("get", "", (f"repository:{repo}-copy:pull",), 200) in tokens.requests
    assert any(scope.startswith(f"repository:{repo}-copy:") and "push" in scope for scope in tokens.scopes())


def test_tokens_are_limited_to_the_grants(tokens: TokenServer, guarded: DockerRegistry, repo: str) -> None:
    """A token for less than is asked for does not open the door."""
    with pytest.raises(AssertionError, match="401"):
        push(guarded.host, repo, image(repo), headers=bearer(tokens.mint("", f"repository:{repo}:pull,push")))


def test_a_token_may_be_born_dead(tokens: TokenServer, guarded: DockerRegistry, repo: str) -> None:
    """A spoiled token is refused, the next one is good."""
    tokens.spoil(1)
    path = f"/v2/{repo}/tags/list"
    statuses = [get(guarded.host, path, bearer(tokens.mint("jo", f"repository:{repo}:pull")))[0] for _ in range(2)]
    assert statuses == [401, 404]


def test_tokens_can_be_revoked(tokens: TokenServer, guarded: DockerRegistry, repo: str) -> None:
    """Behind the proxy a revoked token is worth nothing, and the registry says where to get another."""
    login = bearer(tokens.mint("jo", f"repository:{repo}:pull"))
    with RecordingProxy(guarded.host, revoked=tokens.is_revoked) as proxy:
        before = get(proxy.host, f"/v2/{repo}/tags/list", login)[0]
        tokens.revoke()
        after, headers, _ = get(proxy.host, f"/v2/{repo}/tags/list", login)
    assert (before, after) == (404, 401)
    assert f'realm="http://{tokens.host}/token"' in headers["Www-Authenticate"]


def test_identity_tokens(tokens: TokenServer) -> None:
    """A refresh token gets a token by POST; a wrong one does not, and neither does a wrong password."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    good = f"grant_type=refresh_token&service=x&refresh_token={tokens.identity_token('jo')}".encode()
    bad = b"grant_type=refresh_token&service=x&refresh_token=nonsense"
    wrong = b"grant_type=password&service=x&username=jo&password=x"
    assert [get(tokens.host, "/token", form, "POST", body)[0] for body in (good, bad, wrong)] == [200, 401, 401]
    assert get(tokens.host, "/token", basic("jo", "x"))[0] == 401


def test_skopeo_copies_through_the_proxy(
    registry_a: DockerRegistry, proxied: RecordingProxy, repo: str, skopeo: Skopeo
) -> None:
    """Uploads and downloads stay on the proxy, which counts them; the images are the same."""
    one = index(image(f"{repo}-1"), image(f"{repo}-2"))
    push(registry_a.host, repo, one, "v1")
    skopeo.copy(f"{proxied.host}/{repo}:v1", f"{proxied.host}/{repo}-copy:v1")
    assert skopeo.same_image(f"{registry_a.host}/{repo}:v1", f"{registry_a.host}/{repo}-copy:v1")
    sent = sum(seen.bytes_up for seen in proxied.seen if "/blobs/uploads/" in seen.path)
    assert (sent, sum(len(blob) for blob in one.blobs.values())) == (
        sum(seen.bytes_down for seen in proxied.seen if seen.method == "GET" and "/blobs/sha256:" in seen.path),
        sent,
    )
    assert proxied.count("PUT", rf"/{repo}-copy/manifests/") == 3


def test_skopeo_is_a_strict_judge(registry_a: DockerRegistry, repo: str, skopeo: Skopeo) -> None:
    """Images that differ only in an attestation are not the same."""
    push(registry_a.host, repo, index(image("a")), "v1")
    push(registry_a.host, repo, index(image("a"), attested=True), "v2")
    assert not skopeo.same_image(f"{registry_a.host}/{repo}:v1", f"{registry_a.host}/{repo}:v2")


def test_an_answer_instead_of_the_registrys(proxied: RecordingProxy) -> None:
    """A fault hits so many requests after so many that pass, and only those that match."""
    proxied.faults.append(Fault(path="/v2/$", skip=1, times=2, status=429, headers={"Retry-After": "7"}, body=b"slow"))
    answers = [get(proxied.host, "/v2/") for _ in range(4)]
    assert [status for status, _, _ in answers] == [200, 429, 429, 200]
    assert (answers[1][1]["Retry-After"], answers[1][2]) == ("7", b"slow")
    assert [seen.status for seen in proxied.seen] == [200, 429, 429, 200]


def test_a_body_that_breaks_off(proxied: RecordingProxy, stocked: str) -> None:
    """The announced length is right, but the bytes stop."""
    proxied.faults.append(Fault(path="/blobs/", cut_at=10))
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        get(proxied.host, blob_path(stocked))
    assert get(proxied.host, blob_path(stocked))[2] == blob_of(stocked)
    assert proxied.seen[0].bytes_down == 10


def test_a_byte_that_is_wrong(proxied: RecordingProxy, stocked: str) -> None:
    """Exactly one byte differs."""
    proxied.faults.append(Fault(path="/blobs/", flip_at=10))
    blob, got = blob_of(stocked), get(proxied.host, blob_path(stocked))[2]
    assert [place for place, (one, other) in enumerate(zip(blob, got, strict=True)) if one != other] == [10]


def test_an_upload_that_breaks_off(proxied: RecordingProxy, repo: str) -> None:
    """The connection is reset when so much has arrived."""
    proxied.faults.append(Fault(path="/blobs/uploads/", method="PUT", cut_upload_at=100))
    with pytest.raises(ConnectionError):
        push(proxied.host, repo, image(repo, size=2_000_000))
    assert proxied.seen[-1].bytes_up == 100


def test_headers_that_are_missing(proxied: RecordingProxy, stocked: str) -> None:
    """A header can be left out or replaced."""
    accept = {"Accept": image(stocked).top.media_type}
    proxied.faults.append(Fault(path="/manifests/", strip=("Docker-Content-Digest",), headers={"Content-Type": "a/b"}))
    _, headers, _ = get(proxied.host, f"/v2/{stocked}/manifests/v1", accept)
    assert (headers["Content-Type"], headers.get("Docker-Content-Digest")) == ("a/b", None)


async def test_a_request_that_hangs(proxied: RecordingProxy) -> None:
    """A held request goes on when the gate opens."""
    gate = Gate()
    proxied.faults.append(Fault(path="/v2/$", gate=gate))
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        asking = group.create_task(asyncio.to_thread(get, proxied.host, "/v2/"))
        await gate.arrival()
        assert (asking.done(), proxied.seen[0].status) == (False, 0)
        gate.open()
    assert asking.result()[0] == 200


def test_blobs_from_a_content_network(guarded: DockerRegistry, tokens: TokenServer, repo: str) -> None:
    """The client is sent elsewhere, where a login is an error and an old address is worthless."""
    login = bearer(tokens.mint("jo", f"repository:{repo}:pull,push"))
    push(guarded.host, repo, image(repo), headers=login)
    with RecordingProxy(guarded.host, Fault(path="/blobs/sha256", redirect=True)) as proxy:
        status, headers, _ = get(proxy.host, blob_path(repo), login)
        host, _, path = headers["Location"].removeprefix("http://").partition("/")
        assert (307, (200, blob_of(repo))) == (status, get(host, f"/{path}")[::2])
        assert get(host, f"/{path}", login)[0] == 400
        proxy.cdn.expire()
        assert get(host, f"/{path}")[0] == 403
        assert ["Authorization" in seen.headers for seen in proxy.cdn.seen] == [False, True, False]


@pytest.mark.parametrize(
    ("paging", "link"),
    [
        (Paging.RELATIVE, "</v2/REPO/tags/list?n=2&last=b>"),
        (Paging.LIMITED, "</v2/REPO/tags/list?n=2&last=b>"),
        (Paging.ABSOLUTE, "<http://HOST/v2/REPO/tags/list?n=2&last=b>"),
        (Paging.FOREIGN, "<http://CDN/v2/REPO/tags/list?n=2&last=b>"),
        (Paging.STUCK, "</v2/REPO/tags/list?n=2>"),
    ],
)
def test_pages_of_tags(paging: Paging, link: str, registry_a: DockerRegistry, repo: str) -> None:
    """Tags come in pages, sorted, each with the wanted kind of link to the next."""
    push(registry_a.host, repo, image("a"), "c", "a", "b")
    with RecordingProxy(registry_a.host, paging=paging, page_size=2) as proxy:
        _, headers, body = get(proxy.host, f"/v2/{repo}/tags/list?n=2")
        expected = link.replace("HOST", proxy.host).replace("CDN", proxy.cdn.host).replace("REPO", repo)
        assert (["a", "b"], f'{expected}; rel="next"') == (json.loads(body)["tags"], headers["Link"])
        rest, headers, body = get(proxy.host, f"/v2/{repo}/tags/list?n=2&last=b")
        assert (rest, json.loads(body)["tags"], "Link" in headers) == (200, ["c"], False)
        assert get(proxy.host, f"/v2/{repo}/tags/list?n=3")[0] == (400 if paging is Paging.LIMITED else 200)
        assert get(proxy.host, "/v2/none/tags/list")[0] == 404


@pytest.mark.parametrize("words", ["check --json -config -", "-config no.yaml", "relays --format=splunge", "--version"])
def test_a_forked_command_is_like_any_other(words: str, tmp_path: Path) -> None:
    """What it writes to which stream, and how it ends, is the same; it reads what it is given."""
    one, other = Dregsy(tmp_path), Dregsy(tmp_path, within=("env",))
    config = '{relay: "${RELAY}", lister: é}'

    assert other.run(*words.split(), stdin=config) == one.run(*words.split(), stdin=config)


async def test_forked_commands_have_environments_of_their_own(tmp_path: Path) -> None:
    """Their variables and folders are those that each is given, also of some that run at the same time."""
    names = ["one", "two", "three", "four"]
    commands = [Dregsy(tmp_path / name, {"SOURCE": f"{name}.example.com"}) for name in names]
    for dregsy in commands:
        dregsy.config(mirror("${SOURCE}", "target.example.com", {"from": "a"}))
    ran = await asyncio.gather(*(asyncio.to_thread(one.run, "show", "-config", "sync.yaml") for one in commands))

    assert [0] * len(names) == [one.code for one in ran]
    assert names == [name for name, one in zip(names, ran, strict=True) if f"{name}.example.com" in one.out]


async def test_a_forked_command_has_its_time(tmp_path: Path) -> None:
    """One that does not end in time is ended, and that is told."""
    dregsy = Dregsy(tmp_path)
    dregsy.config({**mirror("a.example.com", "b.example.com", {"from": "a"}, schedule="0 0 1 1 *")})
    with pytest.raises(TimeoutError, match="took longer than"):
        forked.run(["-config", "sync.yaml"], environ=dregsy.environ, folder=dregsy.folder, stdin=b"", seconds=0.01)
