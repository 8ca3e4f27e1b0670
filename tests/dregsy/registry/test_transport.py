"""Finding the scheme, logging in, following redirects and trying again, against real registries."""

import asyncio
import base64
import json
import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.errors import NotFound, RateLimited, RegistryError, Unauthorized, Unreachable
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Anonymous, Endpoint
from dregsy.model.timeouts import Timeouts
from dregsy.registry.addresses import is_loopback
from dregsy.registry.limits import Lane
from dregsy.registry.pool import Registries
from dregsy.registry.retry import Backoff
from dregsy.registry.wire import Body, NoTLS, UntrustedCertificate
from tests.testbed.certificates import Authority
from tests.testbed.clients import given, held, registries, tasks, trusting
from tests.testbed.faults import Fault, Gate
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.raw import TLS_HELLO, Conversation, ForwardProxy, RawServer, head, saying
from tests.testbed.servers import DockerRegistry
from tests.testbed.tokens import Grant, TokenServer

ODD_PASSWORD = 'p%41"\\:@/ü€ß '


def at(host: str, **settings: object) -> Endpoint:
    """An endpoint without any login."""
    return Endpoint(host, **{"credentials": Anonymous(), **settings})  # type: ignore[arg-type] # checked by the class


# --- https or http ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True), ("localhost:5000", True), ("127.0.0.1:5000", True), ("127.8.9.1", True),
        ("[::1]:5000", True), ("[::1]", True),
        ("localhost.example.com", False), ("x.localhost", False), ("127.0.0.1.example.com", False),
        ("10.0.0.1:5000", False), ("[::ffff:10.0.0.1]", False), ("127.1", False), ("2130706433", False),
        ("0.0.0.1", False), ("[::]:5000", False), ("[::1", False), ("", False),
    ],
)  # fmt: skip
def test_loopback_is_told_by_name_and_address_alone(host: str, expected: bool) -> None:
    """Only what can be no other machine may speak plain http unasked."""
    assert expected == is_loopback(host)


async def test_loopback_may_speak_plain_http(registry_a: DockerRegistry, clients: Registries) -> None:
    """A registry on this machine needs no TLS and no setting."""
    assert await clients.at(at(registry_a.host)).is_plain()


async def test_another_host_never_gets_plain_http_unasked(registry_a: DockerRegistry) -> None:
    """A host that speaks no TLS is an error that names the setting, and no request leaves without TLS."""
    async with ForwardProxy(registry_a.host) as way, registries(environ=proxied(way)) as pool:
        with pytest.raises(NoTLS) as caught:
            await pool.at(at("registry.test:5000")).ping()

    assert "skip-tls-verify" in caught.value.hint
    assert way.asked() == ["CONNECT registry.test:5000"]


async def test_skip_tls_verify_permits_plain_http(registry_a: DockerRegistry) -> None:
    """With verification off plain http is tried, after https."""
    async with ForwardProxy(registry_a.host) as way, registries(environ=proxied(way)) as pool:
        await pool.at(at("registry.test:5000", verify=False)).ping()

    assert way.asked() == ["CONNECT registry.test:5000", "GET http://registry.test:5000/v2/"]


def proxied(way: RawServer, login: str = "") -> dict[str, str]:
    """The environment of somebody behind a proxy."""
    return {"HTTPS_PROXY": f"http://{login}{way.host}", "HTTP_PROXY": f"http://{login}{way.host}"}


async def test_tls_with_an_own_ca(tmp_path: Path, authority: Authority, clients: Registries) -> None:
    """A registry whose certificate the CA in its folder signed is spoken to."""
    with DockerRegistry(tmp_path / "r", tls=authority.issue("own-ca")) as registry:
        assert not await clients.at(trusting(tmp_path, registry.host, authority.ca_file)).is_plain()


async def test_skip_tls_verify_permits_any_certificate(
    tmp_path: Path, authority: Authority, clients: Registries
) -> None:
    """With verification off an unknown CA, a wrong name and an expired certificate will do."""
    pair = authority.issue("any", names=["other.test"], start_days=-5, days=-1)
    with DockerRegistry(tmp_path, tls=pair) as registry:
        assert not await clients.at(at(registry.host, verify=False)).is_plain()


@pytest.mark.parametrize(
    ("name", "start", "days", "trusted", "reason", "advice"),
    [
        ("127.0.0.1", -1.0, 5.0, False, "is signed by 'testbed authority', whom nobody here trusts", "ca.crt"),
        ("127.0.0.1", -5.0, -1.0, True, "expired on 2", "have the registry's certificate renewed"),
        ("other.test", -1.0, 5.0, True, "it is for other.test", "a name that its certificate has"),
    ],
)
async def test_an_untrusted_certificate_never_leads_to_plain_http(
    tmp_path: Path, authority: Authority, clients: Registries, name: str, start: float, days: float, trusted: bool,
    reason: str, advice: str,
) -> None:  # fmt: skip
    """A wrong CA, an expired certificate or a wrong name end it, even on loopback, and say what to do."""
    pair = authority.issue(f"bad-{days}-{trusted}", names=[name], start_days=start, days=days)
    first_bytes: list[int] = []
    with DockerRegistry(tmp_path / "r", tls=pair) as registry:

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await spy(registry.host, first_bytes, reader, writer)

        async with RawServer(forward) as front:
            ca_file = (authority if trusted else Authority(tmp_path / "stranger", "stranger")).ca_file
            with pytest.raises(UntrustedCertificate, match=reason) as caught:
                await clients.at(trusting(tmp_path, front.host, ca_file)).tags("any")

    assert first_bytes == [TLS_HELLO]
    assert advice in caught.value.hint


async def spy(
    upstream: str, first_bytes: list[int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Pass a connection on, and note its first byte."""
    host, _, port = upstream.rpartition(":")
    first = await reader.readexactly(1)
    first_bytes.append(first[0])
    upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))

    async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(2**16):
                sink.write(chunk)
        finally:
            sink.close()

    upstream_writer.write(first)
    async with asyncio.TaskGroup() as group:
        group.create_task(pipe(reader, upstream_writer))
        group.create_task(pipe(upstream_reader, writer))


async def test_mutual_tls_with_a_pair(tmp_path: Path, authority: Authority, clients: Registries) -> None:
    """The client certificate in the folder is shown to a registry that wants one."""
    with DockerRegistry(tmp_path / "r", tls=authority.issue("mtls"), client_ca=authority.ca_file) as registry:
        pair = authority.issue("mtls-client", client=True)
        assert not await clients.at(trusting(tmp_path, registry.host, authority.ca_file, pair)).is_plain()


async def test_mutual_tls_without_a_pair(tmp_path: Path, authority: Authority, clients: Registries) -> None:
    """Without a client certificate the error says where to put one."""
    with DockerRegistry(tmp_path / "r", tls=authority.issue("mtls-2"), client_ca=authority.ca_file) as registry:
        client = clients.at(trusting(tmp_path, registry.host, authority.ca_file))
        with pytest.raises(Unreachable) as caught:
            await client.ping()

    assert "client.cert" in caught.value.hint
    assert not caught.value.retryable


async def test_the_scheme_is_asked_for_once(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """Twenty requests at once cause one greeting."""
    with RecordingProxy(registry_a.host) as proxy:
        client = clients.at(at(proxy.host))
        await asyncio.gather(*(client.head_manifest(repo, f"v{n}") for n in range(20)))

        assert proxy.count("GET", r"^/v2/\?") == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_greeting_of_who_is_busy_says_nothing_of_logins(status: int) -> None:
    """A registry that hides private repositories by 404 is asked with the login all the same: it is greeted anew."""
    answers = [b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nWWW-Authenticate: Basic realm=x\r\n\r\n"]
    answers.append(f"HTTP/1.1 {status} Busy\r\nContent-Length: 0\r\nRetry-After: 0\r\n\r\n".encode())

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await head(reader):
            if asked[0] == TLS_HELLO:
                writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                return
            if asked.startswith(b"GET /v2/ "):
                writer.write(answers.pop())
            elif b"authorization: basic " in asked.lower():
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"tags":["v"]}')
            else:
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

    async with RawServer(talk) as server, registries() as clients:
        client = clients.at(Endpoint(server.host, credentials=given("user", "a-long-word")))
        assert await client.tags("private/app") == ["v"]


async def test_a_registry_that_is_always_busy(registry_a: DockerRegistry, clients: Registries) -> None:
    """It is told what it answers, and it is not asked for anything else."""
    fault = Fault(path="^/v2/$", status=503, times=-1)
    with RecordingProxy(registry_a.host, fault) as proxy:
        with pytest.raises(RegistryError, match="answered 503") as caught:
            await clients.at(at(proxy.host)).tags("a/b")

        assert {one.path for one in proxy.seen} == {"/v2/"}
    assert caught.value.retryable


async def test_all_who_wait_share_one_refusal(clients: Registries) -> None:
    """Twenty requests to a registry that is down try as often as one does, and all say the same."""
    async with RawServer(saying()) as dead:
        client = clients.at(at(dead.host, verify=False))
        errors = await asyncio.gather(*(client.tags("a/b") for _ in range(20)), return_exceptions=True)

    assert {type(error) for error in errors} == {Unreachable}
    assert dead.connections == Backoff().attempts


@pytest.mark.parametrize("down", [0.0, 3600.0])
async def test_a_registry_that_comes_up_later_is_found(tmp_path: Path, down: float) -> None:
    """A registry that was not reached fails at once for a while; then it is asked again."""
    with DockerRegistry(tmp_path) as registry:
        registry.stop()
        async with registries(timeouts=Timeouts(down=down)) as clients:
            client = clients.at(at(registry.host))
            with pytest.raises(Unreachable, match="cannot connect"):
                await client.ping()
            registry.start()
            if down:
                with pytest.raises(Unreachable, match="cannot connect"):
                    await client.ping()
            else:
                await client.ping()


async def test_a_registry_that_never_answers() -> None:
    """One that takes the connection and says nothing is given up after its time, and not asked again and again."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with RawServer(silent) as mute, registries(timeouts=Timeouts(greeting=0.05)) as clients:
        with pytest.raises(Unreachable, match="does not answer"):
            await clients.at(at(mute.host)).ping()


def dying(state: list[str]) -> Conversation:
    """Answer greetings, and the rest only while ``state`` says "up"."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await head(reader)
        if asked[0] == TLS_HELLO:
            writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        elif state == ["up"] or b" /v2/ " in asked:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    return talk


async def test_a_registry_that_goes_down_is_given_up(registry_a: DockerRegistry, repo: str) -> None:
    """All that want something of a host that went down fail at once, under any login; other hosts are not touched."""
    state = ["down"]
    async with RawServer(dying(state)) as dead, registries() as clients:
        one, other = clients.at(at(dead.host)), clients.at(Endpoint(dead.host, credentials=given("user", "word")))
        await asyncio.gather(one.ping(), other.ping())
        before = dead.connections
        for _ in range(20):
            for client in (one, other):
                with pytest.raises(Unreachable, match="broke"):
                    await client.head_manifest("a/b", "v1")

        assert dead.connections - before <= 2 * Backoff().attempts  # the HTTP library has attempts of its own
        assert await clients.at(at(registry_a.host)).head_manifest(repo, "v1") is None


async def test_a_registry_that_comes_back_is_let_in() -> None:
    """A probe finds out that the host is back; from then on all are let through."""
    state = ["down"]
    async with RawServer(dying(state)) as server, registries(timeouts=Timeouts(down=0)) as clients:
        client = clients.at(at(server.host))
        with pytest.raises(Unreachable):
            await client.head_manifest("a/b", "v1")
        state[0] = "up"
        found = await asyncio.gather(*(client.head_manifest("a/b", f"v{number}") for number in range(20)))

    assert found == [None] * 20


async def test_a_host_that_only_fails_gets_no_second_chances(registry_a: DockerRegistry, repo: str) -> None:
    """A host that answers nothing but errors is not asked four times as much as one that works."""
    fault = Fault(path="/manifests/", status=500, times=-1)
    with RecordingProxy(registry_a.host, fault) as proxy:
        async with registries() as clients:
            client = clients.at(at(proxy.host))
            for _ in range(50):
                with pytest.raises(RegistryError):
                    await client.head_manifest(repo, "v1")

        assert proxy.count("HEAD", "/manifests/") == 50 + 100


# --- logins ----------------------------------------------------------------------------------------------------------


async def test_any_password_reaches_the_registry(tmp_path: Path, clients: Registries) -> None:
    """Passwords with percent signs, quotes, backslashes, colons, blanks and other alphabets are sent as they are."""
    with DockerRegistry(tmp_path, users={"jörg": ODD_PASSWORD}) as registry:
        right = clients.at(Endpoint(registry.host, credentials=given("jörg", ODD_PASSWORD)))
        assert await right.head_manifest("a/b", "v1") is None
        with pytest.raises(Unauthorized) as caught:
            await clients.at(Endpoint(registry.host, credentials=given("jörg", "wrong"))).head_manifest("a/b", "v1")

    assert caught.value.status == 401
    assert "check the login" in caught.value.hint


async def test_no_login_sends_nothing(tmp_path: Path) -> None:
    """An endpoint with ``auth: none`` sends no login, though docker's config has one."""
    auth = base64.b64encode(b"user:secret").decode()
    with DockerRegistry(tmp_path / "r", users={"user": "secret"}) as registry, RecordingProxy(registry.host) as proxy:
        (tmp_path / "config.json").write_text(json.dumps({"auths": {proxy.host: {"auth": auth}}}))
        async with registries(environ={"DOCKER_CONFIG": str(tmp_path)}) as pool:
            with pytest.raises(Unauthorized):
                await pool.at(at(proxy.host)).tags("a/b")
            sent_by_nobody = [seen.headers.get("Authorization") for seen in proxy.seen]
            assert await pool.at(Endpoint(proxy.host)).head_manifest("a/b", "v1") is None

        assert {None} == set(sent_by_nobody)
        assert proxy.seen[-1].headers["Authorization"] == f"Basic {auth}"


async def test_the_first_request_carries_the_login(tmp_path: Path, clients: Registries) -> None:
    """A registry that asks for Basic at the greeting is not asked again in vain."""
    with DockerRegistry(tmp_path, users={"user": "secret"}) as registry, RecordingProxy(registry.host) as proxy:
        await clients.at(Endpoint(proxy.host, credentials=given("user", "secret"))).head_manifest("a/b", "v1")

        assert [(seen.method, seen.status) for seen in proxy.seen] == [("GET", 401), ("HEAD", 404)]


@pytest.fixture(scope="module")
def tokens(authority: Authority) -> object:
    """A token server where a user may do everything and everybody may read below ``public/``."""
    grants = [
        Grant("", "public/*", frozenset({"pull"})),
        Grant("user", "*", frozenset({"pull", "push"})),
    ]
    with TokenServer(authority, users={"user": ODD_PASSWORD}, grants=grants) as server:
        yield server


@pytest.fixture(scope="module")
def token_registry(tokens: TokenServer, tmp_path_factory: pytest.TempPathFactory) -> object:
    """A registry that trusts that token server and holds ``public/app:v1``."""
    with DockerRegistry(tmp_path_factory.mktemp("tokens"), extra=tokens.config()) as registry:
        token = tokens.mint("user", "repository:public/app:pull,push")
        push(
            registry.host, "public/app", images.image("public/app"), "v1", headers={"Authorization": f"Bearer {token}"}
        )
        yield registry


async def test_anonymous_tokens(tokens: TokenServer, token_registry: DockerRegistry, clients: Registries) -> None:
    """Without a login a token is fetched for what everybody may read; one for each scope, used again."""
    tokens.requests.clear()
    client = clients.at(at(token_registry.host))
    assert await client.tags("public/app") == ["v1"]
    assert await client.tags("public/app") == ["v1"]
    with pytest.raises(Unauthorized):
        await client.tags("private/app")

    wanted = ["repository:public/app:pull", *["repository:private/app:pull"] * 2]
    assert [(one.user, *one.scopes) for one in tokens.requests] == [("", scope) for scope in wanted]


async def test_a_login_becomes_a_token(
    tokens: TokenServer, token_registry: DockerRegistry, clients: Registries
) -> None:
    """User and password go to the token server as they are, and only there."""
    tokens.requests.clear()
    with RecordingProxy(token_registry.host) as proxy:
        client = clients.at(Endpoint(proxy.host, credentials=given("user", ODD_PASSWORD)))
        location = await client.begin_upload("private/new")

        assert f"http://{proxy.host}/v2/private/new/blobs/uploads/" in location
        assert [one.user for one in tokens.requests] == ["user"]
        assert not [seen for seen in proxy.seen if seen.headers.get("Authorization", "").startswith("Basic")]


async def test_a_wrong_password_names_the_token_server(token_registry: DockerRegistry, clients: Registries) -> None:
    """A refusal by the token server is told from one by the registry, without the password."""
    client = clients.at(Endpoint(token_registry.host, credentials=given("user", "wr0ng-pass")))
    with pytest.raises(Unauthorized, match="token server") as caught:
        await client.tags("public/app")

    assert "check user name and password" in caught.value.hint
    assert "wr0ng" not in spoken(caught.value)


def spoken(error: RegistryError) -> str:
    """All that an error may show to anybody, its causes included."""
    parts = []
    one: BaseException | None = error
    while one is not None:
        parts.append(f"{one} {one!r} {vars(one)}")
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return " ".join(parts)


async def test_identity_tokens(tokens: TokenServer, token_registry: DockerRegistry, tmp_path: Path) -> None:
    """An identity token from docker's config is posted to the token server."""
    tokens.requests.clear()
    entry = {"identitytoken": tokens.identity_token("user")}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {token_registry.host: entry}}))
    async with registries(environ={"DOCKER_CONFIG": str(tmp_path)}) as pool:
        await pool.at(Endpoint(token_registry.host)).begin_upload("private/other")

    assert [(one.grant, one.user, one.status) for one in tokens.requests] == [("refresh_token", "user", 200)]


async def test_a_mount_asks_for_both_repositories(
    tokens: TokenServer, token_registry: DockerRegistry, clients: Registries
) -> None:
    """The token for a mount may push to the one repository and pull from the other."""
    tokens.requests.clear()
    digest = images.image("public/app").top.blobs[0].digest
    client = clients.at(Endpoint(token_registry.host, credentials=given("user", ODD_PASSWORD)))

    assert await client.mount_blob("private/mounted", digest, "public/app") is None
    assert tokens.scopes() == ["repository:private/mounted:pull,push", "repository:public/app:pull"]


async def test_a_stale_token_is_renewed_once_for_all(
    tokens: TokenServer, token_registry: DockerRegistry, clients: Registries
) -> None:
    """When twenty requests meet a token that the registry no longer takes, one new one is fetched, and all succeed."""
    with RecordingProxy(token_registry.host, revoked=tokens.is_revoked) as proxy:
        client = clients.at(at(proxy.host))
        await client.tags("public/app")
        tokens.requests.clear()
        tokens.revoke()
        found = await asyncio.gather(*(client.head_manifest("public/app", "v1") for _ in range(20)))

        assert {images.image("public/app").digest} == {one.digest for one in found if one}
        assert len(tokens.requests) == 1


async def test_a_refused_new_token_ends_it(token_registry: DockerRegistry, clients: Registries) -> None:
    """A registry that takes no token at all is asked twice, not for ever."""
    with RecordingProxy(token_registry.host, revoked=bool) as proxy:
        with pytest.raises(Unauthorized):
            await clients.at(at(proxy.host)).tags("public/app")

        assert proxy.count("GET", "tags/list") == 2


async def test_a_login_that_is_wanted_late(tmp_path: Path, clients: Registries) -> None:
    """A registry that greets everybody and asks for a login only then gets one."""
    greeting = Fault(path="^/v2/$", status=200, times=-1)
    with (
        DockerRegistry(tmp_path, users={"user": "secret"}) as registry,
        RecordingProxy(registry.host, greeting) as proxy,
    ):
        client = clients.at(Endpoint(proxy.host, credentials=given("user", "secret")))
        assert await client.head_manifest("a/b", "v1") is None


# --- redirects -------------------------------------------------------------------------------------------------------


async def test_storage_hosts_never_get_the_login(tmp_path: Path, clients: Registries) -> None:
    """A blob that lies on another host is fetched there without the registry's login."""
    image = images.image("redirected")
    with DockerRegistry(tmp_path, users={"user": "secret"}) as registry:
        push(registry.host, "a/b", image, "v1", headers={"Authorization": "Basic dXNlcjpzZWNyZXQ="})
        with RecordingProxy(registry.host, Fault(path="/blobs/", redirect=True)) as proxy:
            client = clients.at(Endpoint(proxy.host, credentials=given("user", "secret")))
            async with client.read_blob("a/b", image.top.blobs[0]) as stream:
                content = b"".join([chunk async for chunk in stream.chunks])

            assert image.top.blobs[0].digest == Digest.of(content)
            assert [(seen.method, seen.status) for seen in proxy.cdn.seen] == [("GET", 200)]
            assert "Authorization" not in proxy.cdn.seen[0].headers


async def test_an_address_that_ran_out_is_asked_for_again(
    registry_a: DockerRegistry, repo: str, clients: Registries
) -> None:
    """When the storage host refuses a signed address, the registry is asked for another; the login is not blamed."""
    image = images.image(repo)
    push(registry_a.host, repo, image)
    with RecordingProxy(registry_a.host) as proxy:
        stale = {"Location": f"http://{proxy.cdn.host}/content?X-Amz-Signature=s3cret"}
        proxy.faults += [Fault(path="/blobs/", status=307, headers=stale), Fault(path="/blobs/", redirect=True)]
        client = clients.at(at(proxy.host))
        async with client.read_blob(repo, image.top.blobs[0]) as stream:
            assert [chunk async for chunk in stream.chunks]
        proxy.faults.append(Fault(path="/blobs/", status=307, headers=stale, times=-1))
        with pytest.raises(RegistryError, match="answered 403") as caught:
            await client.has_blob(repo, image.top.blobs[0].digest)

        assert [seen.status for seen in proxy.cdn.seen] == [403, 200, *[403] * Backoff().attempts]
    assert not isinstance(caught.value, Unauthorized)
    assert "s3cret" not in spoken(caught.value)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("ftp://files.test/x?sig=s3cret", "not safe: ftp://files.test/x"),
        ("file:///etc/passwd", "not safe: file:///etc/passwd"),
        ("http://[half/x?sig=s3cret", "an address that is none"),
        ("http://host:99999/x?sig=s3cret", "an address that is none"),
    ],
)
async def test_unsafe_redirects_are_refused(clients: Registries, location: str, message: str) -> None:
    """A redirect out of the web, or to nowhere, is an error that hides the query."""
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", redirect(location)]
    async with RawServer(saying(*answers)) as server:
        with pytest.raises(RegistryError, match=message) as caught:
            await clients.at(at(server.host)).tags("a/b")

    assert "s3cret" not in spoken(caught.value)


def redirect(location: str) -> bytes:
    """An answer that sends its client elsewhere."""
    return f"HTTP/1.1 307 T\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


async def test_redirects_from_https_to_http_are_refused(
    tmp_path: Path, authority: Authority, clients: Registries
) -> None:
    """What began with TLS does not go on without."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("redirecting"))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await head(reader)
            writer.write(redirect("http://elsewhere.test/x?sig=s3cret"))

    async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(RegistryError, match=r"not safe: http://elsewhere\.test/x") as caught:
            await clients.at(trusting(tmp_path, host, authority.ca_file)).tags("a/b")

    assert "s3cret" not in spoken(caught.value)


@pytest.mark.parametrize("verify", [True, False])
async def test_logins_and_uploads_do_not_leave_https_either(
    tmp_path: Path, authority: Authority, clients: Registries, verify: bool
) -> None:
    """A registry that speaks https sends neither a login nor an upload to http, whether or not it is verified."""
    answers = [
        b'HTTP/1.1 401 U\r\nWWW-Authenticate: Bearer realm="http://elsewhere.test/t"\r\nContent-Length: 0\r\n\r\n',
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        redirect("http://elsewhere.test/u?_state=1").replace(b"307 T", b"202 A"),
    ]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answers and await head(reader):
            writer.write(answers.pop(0))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("leading-away"))
    async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        endpoint = replace(trusting(tmp_path, host, authority.ca_file), verify=verify)
        with pytest.raises(RegistryError, match=r"token server http://elsewhere\.test is no safe place"):
            await clients.at(replace(endpoint, credentials=given("user", "word"))).begin_upload("a/b")
        with pytest.raises(RegistryError, match=r"not safe: http://elsewhere\.test/u"):
            await clients.at(endpoint).begin_upload("a/b")


@pytest.mark.parametrize("header", ["307 T", "202 A"])
async def test_an_address_that_repeats_a_login(clients: Registries, header: str) -> None:
    """Where a registry leads is told without what was sent to it."""
    greeting = b'HTTP/1.1 401 U\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'
    away = redirect("ftp://files.test/pa55word/x").replace(b"307 T", header.encode())
    async with RawServer(saying(greeting, away)) as server:
        client = clients.at(Endpoint(server.host, credentials=given("user", "pa55word")))
        with pytest.raises(RegistryError, match=r"not safe: ftp://files\.test/\*\*\*/x"):
            await (client.tags("a/b") if "307" in header else client.begin_upload("a/b"))


async def test_a_storage_host_cannot_ask_for_the_login(registry_a: DockerRegistry, clients: Registries) -> None:
    """A 401 of another host is no challenge of the registry: its token server never hears of the login."""
    thief = RawServer(saying())
    async with thief:
        challenge = f'Bearer realm="http://{thief.host}/token"'
        answer = f"HTTP/1.1 401 No\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n".encode()
        async with RawServer(saying(answer)) as storage:
            moved = Fault(path="/blobs/", status=307, headers={"Location": f"http://{storage.host}/x"}, times=-1)
            with RecordingProxy(registry_a.host, moved) as proxy:
                client = clients.at(Endpoint(proxy.host, credentials=given("user", "secret")))
                with pytest.raises(RegistryError, match="answered 401"):
                    await client.has_blob("a/b", Digest.of(b""))

    assert thief.connections == 0


async def test_redirects_have_an_end(registry_a: DockerRegistry, clients: Registries) -> None:
    """A registry that redirects to itself for ever is given up."""
    fault = Fault(path="tags/list", status=307, headers={"Location": "/v2/a/b/tags/list"}, times=-1)
    with RecordingProxy(registry_a.host, fault) as proxy, pytest.raises(RegistryError, match="redirects too often"):
        await clients.at(at(proxy.host)).tags("a/b")


# --- trying again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_passing_faults_are_tried_again(
    registry_a: DockerRegistry, repo: str, clients: Registries, status: int
) -> None:
    """A request that may be sent twice outlives three bad answers."""
    fault = Fault(path="/manifests/", status=status, headers={"Retry-After": "0"}, times=3)
    with RecordingProxy(registry_a.host, fault) as proxy:
        assert await clients.at(at(proxy.host)).head_manifest(repo, "v1") is None
        assert proxy.count("HEAD", "/manifests/") == 4


@pytest.mark.parametrize("status", [400, 403, 404, 416, 501])
async def test_lasting_faults_are_not_tried_again(registry_a: DockerRegistry, clients: Registries, status: int) -> None:
    """An answer that will not get better is passed on at once, with the registry's words."""
    body = json.dumps({"errors": [{"code": "MADE_UP", "message": "for a reason"}]}).encode()
    fault = Fault(path="/uploads/", status=status, body=body, times=-1)
    with RecordingProxy(registry_a.host, fault) as proxy:
        with pytest.raises(RegistryError, match="MADE_UP for a reason") as caught:
            await clients.at(at(proxy.host)).begin_upload("a/b")

        assert proxy.count("POST", "/uploads/") == 1
    assert (caught.value.status, caught.value.codes, caught.value.retryable) == (status, ("MADE_UP",), False)
    assert isinstance(caught.value, NotFound) == (status == 404)


async def test_a_broken_answer_is_read_again(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A list of tags that breaks off in the middle is asked for once more."""
    push(registry_a.host, repo, images.image(repo), "v1", "v2")
    with RecordingProxy(registry_a.host, Fault(path="tags/list", cut_at=10)) as proxy:
        assert await clients.at(at(proxy.host)).tags(repo) == ["v1", "v2"]


async def test_too_long_a_wait_is_the_callers(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A registry that asks for a pause of an hour is not waited for here; the error carries the seconds."""
    fault = Fault(path="/manifests/", status=429, headers={"Retry-After": "3600"}, times=-1)
    with RecordingProxy(registry_a.host, fault) as proxy:
        with pytest.raises(RateLimited) as caught:
            await clients.at(at(proxy.host)).head_manifest(repo, "v1")

        assert proxy.count("HEAD", "/manifests/") == 1
    assert (caught.value.retry_after, caught.value.retryable) == (3600.0, True)


async def test_streamed_bodies_are_sent_once(registry_a: DockerRegistry, repo: str, clients: Registries) -> None:
    """A 503 to an upload is for the caller, who alone can produce the bytes anew."""
    content = b"x" * 100_000
    digest = Digest.of(content)
    fault = Fault(path="/uploads/", method="PUT", status=503)
    with RecordingProxy(registry_a.host, fault) as proxy:
        client = clients.at(at(proxy.host))
        location = await client.begin_upload(repo)
        with pytest.raises(RegistryError) as caught:
            await client.finish_upload(repo, location, digest, Body(len(content), lambda: pieces(content)))

        assert proxy.count("PUT", "/uploads/") == 1
        assert (caught.value.status, caught.value.retryable) == (503, True)
        assert "digest=" not in spoken(caught.value)
        assert not await client.has_blob(repo, digest)


async def pieces(content: bytes, size: int = 8192) -> AsyncIterator[bytes]:
    """Give the content piece by piece."""
    for place in range(0, len(content), size):
        yield content[place : place + size]


async def test_a_login_that_runs_out_before_an_upload(clients: Registries) -> None:
    """A 401 to a streamed upload may be tried again by the caller."""
    with RecordingProxy(
        "127.0.0.1:9",
        Fault(path="^/v2/$", status=200),
        Fault(path="/uploads/", method="PUT", status=401, headers={"WWW-Authenticate": "Basic"}),
    ) as proxy:
        client = clients.at(Endpoint(proxy.host, credentials=given("user", "secret")))
        with pytest.raises(Unauthorized, match="in the middle of an upload") as caught:
            await client.finish_upload(
                "a/b", f"http://{proxy.host}/v2/a/b/blobs/uploads/1", Digest.of(b"x"), Body(1, lambda: pieces(b"x"))
            )

    assert caught.value.retryable


# --- stopping --------------------------------------------------------------------------------------------------------


async def test_a_cancelled_request_leaves_nothing(registry_a: DockerRegistry, clients: Registries) -> None:
    """When a request is cancelled while the registry thinks, connection, place and tasks are given back."""
    gate = Gate()
    with RecordingProxy(registry_a.host, Fault(path="tags/list", gate=gate)) as proxy:
        registry = clients.at(at(proxy.host))
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(registry.tags("a/b"))
            await gate.arrival()
            assert held(clients) == 1
            asking.cancel()
        gate.open()

        assert (held(clients), tasks()) == (0, [])
        assert registry._transport._limits.gate(Lane.CONTROL)._busy == 0


async def test_a_cancelled_renewal_leaves_nothing(registry_a: DockerRegistry, tmp_path: Path) -> None:
    """A 401 is released also when looking up the login for it is cancelled."""
    helper = tmp_path / "docker-credential-slow"
    helper.write_text("#!/bin/sh\ntouch $MARK\nexec sleep 60\n")
    helper.chmod(0o755)
    mark = tmp_path / "mark"
    (tmp_path / "config.json").write_text('{"credsStore": "slow"}')
    environ = {"DOCKER_CONFIG": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin", "MARK": str(mark)}
    faults = (
        Fault(path="^/v2/$", status=200),
        Fault(path="tags", status=401, headers={"WWW-Authenticate": "Basic"}, body=bytes(2**23)),
    )
    with RecordingProxy(registry_a.host, *faults) as proxy:
        async with registries(environ=environ) as pool:
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(pool.at(Endpoint(proxy.host)).tags("a/b"))
                while not mark.exists():
                    await asyncio.sleep(0.005)
                asking.cancel()
            assert (held(pool), tasks()) == (0, [])


async def test_an_upload_location_keeps_the_scheme_that_works(
    tmp_path: Path, authority: Authority, clients: Registries
) -> None:
    """Behind a proxy that ends TLS a registry names itself with http; https is kept."""
    ports: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await head(reader)
        writer.write(redirect(f"http://{ports[0]}/u?_state=1").replace(b"307 T", b"202 A"))
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("terminated"))
    async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context) as server:
        ports.append(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        location = await clients.at(trusting(tmp_path, ports[0], authority.ca_file)).begin_upload("a/b")

    assert f"https://{ports[0]}/u?_state=1" == location


async def test_unsafe_upload_locations_are_refused(clients: Registries) -> None:
    """The location of an upload must be on the web, and an address."""
    for location, message in (
        ("", "without saying where"),
        ("ftp://files.test/u?_state=s3cret", "not safe: ftp://files.test/u"),
        ("http://[half/u?_state=s3cret", "an address that is none"),
    ):
        answers = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            f"HTTP/1.1 202 A\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode(),
        ]
        async with RawServer(saying(*answers)) as server:
            with pytest.raises(RegistryError, match=message) as caught:
                await clients.at(at(server.host)).begin_upload("a/b")
        assert "s3cret" not in spoken(caught.value)


# --- the log ---------------------------------------------------------------------------------------------------------


async def test_requests_are_told_without_secrets(
    tmp_path: Path, clients: Registries, caplog: pytest.LogCaptureFixture
) -> None:
    """At level debug each request has a line with method, address and status, but no login and no query."""
    caplog.set_level(logging.DEBUG, logger="dregsy.registry")
    auth = base64.b64encode(b"user:secret").decode()
    with DockerRegistry(tmp_path, users={"user": "secret"}) as registry:
        push(registry.host, "a/b", images.image("b"), "v1", headers={"Authorization": f"Basic {auth}"})
        assert await clients.at(Endpoint(registry.host, credentials=given("user", "secret"))).tags("a/b") == ["v1"]

    lines = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(" in ")[0] for line in lines] == [
        f"GET http://{registry.host}/v2/: 401",
        f"GET http://{registry.host}/v2/a/b/tags/list: 200",
    ]
    assert [line for line in lines if auth in line or "secret" in line] == []
