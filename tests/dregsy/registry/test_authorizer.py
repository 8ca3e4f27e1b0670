"""Logins and tokens over time, with a real token server and a clock that the tests turn."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from inspect import signature
from pathlib import Path

import pytest

from dregsy.credentials import Logins
from dregsy.errors import RegistryError, Unauthorized, Unreachable
from dregsy.model.endpoint import Anonymous, Credentials, Endpoint, Given, Login, Secret
from dregsy.registry.authorizer import Authorizer
from dregsy.registry.challenge import Challenge
from dregsy.registry.wire import Wire
from tests.testbed.certificates import Authority
from tests.testbed.clients import given
from tests.testbed.faults import Fault
from tests.testbed.home import Home
from tests.testbed.proxy import RecordingProxy
from tests.testbed.raw import RawServer, saying
from tests.testbed.servers import DockerRegistry
from tests.testbed.tokens import Grant, TokenServer

PULL = ("repository:a/b:pull",)


@dataclass
class Clock:
    """A clock that stands still."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def tokens(authority: Authority) -> Iterator[TokenServer]:
    """A token server with one user."""
    grants = [Grant("", "*", frozenset({"pull"})), Grant("user", "*", frozenset({"pull", "push"}))]
    with TokenServer(authority, users={"user": "word"}, grants=grants, ttl=300) as server:
        yield server


@pytest.fixture
def registry(tokens: TokenServer, tmp_path: Path) -> Iterator[DockerRegistry]:
    """A registry that trusts it."""
    with DockerRegistry(tmp_path / "registry", extra=tokens.config()) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    """A clock to be turned."""
    return Clock()


@pytest.fixture
async def wire(registry: DockerRegistry) -> AsyncIterator[Wire]:
    """Connections to that registry."""
    opened = Wire(Endpoint(registry.host), {})
    yield opened
    await opened.close()


async def authorizer(wire: Wire, host: str, clock: Clock, credentials: Credentials | None = None) -> Authorizer:
    """An authorizer that has seen the registry's greeting."""
    endpoint = Endpoint(host, credentials=credentials or Anonymous())
    made = Authorizer(endpoint, Logins({}, Path("/nonexistent")), wire, clock)
    greeting = await wire.exchange("GET", f"http://{host}/v2/", {})
    made.learn(greeting)
    await greeting.release()
    return made


async def test_a_login_that_the_token_server_refuses(
    tokens: TokenServer, registry: DockerRegistry, wire: Wire, clock: Clock, tmp_path: Path
) -> None:
    """A login that is kept, such as a cloud's token, is had anew and tried once; if that fails too, not on and on."""
    home = Home(tmp_path)
    home.write({"credsStore": "test"})
    home.answering("test", "user", "old")
    made = Authorizer(Endpoint(registry.host), home.logins(), wire, clock)
    greeting = await wire.exchange("GET", f"http://{registry.host}/v2/", {})
    made.learn(greeting)
    await greeting.release()
    await made.login("a/b")
    home.answering("test", "user", "word")
    good = await made.headers("a/b", PULL)
    home.answering("test", "user", "bad")
    clock.now += 290
    home.now += 60
    for _ in range(3):
        with pytest.raises(Unauthorized):
            await made.headers("a/b", PULL)

    assert good["Authorization"].startswith("Bearer ")
    assert [one.status for one in tokens.requests] == [401, 200, 401]
    assert len(home.asked()) == 4


async def test_a_token_is_used_until_shortly_before_its_end(
    tokens: TokenServer, registry: DockerRegistry, wire: Wire, clock: Clock
) -> None:
    """One token serves a scope for as long as it is good for a while yet; then another is fetched."""
    one = await authorizer(wire, registry.host, clock)
    first = await one.headers("a/b", PULL)
    clock.now += 280
    assert first == await one.headers("a/b", PULL)
    assert len(tokens.requests) == 1
    clock.now += 10
    second = await one.headers("a/b", PULL)

    assert first != second
    assert len(tokens.requests) == 2


async def test_one_token_for_all_who_want_it_at_once(
    tokens: TokenServer, registry: DockerRegistry, wire: Wire, clock: Clock
) -> None:
    """Twenty requests for one scope cause one request to the token server; other scopes have tokens of their own."""
    one = await authorizer(wire, registry.host, clock)
    found = await asyncio.gather(*(one.headers("a/b", PULL) for _ in range(20)))
    await one.headers("a/c", ("repository:a/c:pull",))

    assert len({each["Authorization"] for each in found}) == 1
    assert [*PULL, "repository:a/c:pull"] == tokens.scopes()


async def test_dead_tokens_are_forgotten(registry: DockerRegistry, wire: Wire, clock: Clock) -> None:
    """A daemon that walks through thousands of repositories does not keep their tokens for ever."""
    one = await authorizer(wire, registry.host, clock)
    for number in range(5):
        await one.headers(f"a/{number}", (f"repository:a/{number}:pull",))
    clock.now += 3600
    await one.headers("a/b", PULL)
    gc.collect()

    assert (len(one._tokens), len(one._locks)) == (1, 0)


async def test_renewal_tells_stale_from_hopeless(
    tokens: TokenServer, registry: DockerRegistry, wire: Wire, clock: Clock
) -> None:
    """Only the first of many that were refused with the same token throws it away."""
    one = await authorizer(wire, registry.host, clock)
    refused = await wire.exchange("GET", f"http://{registry.host}/v2/", {})
    stale = (await one.headers("a/b", PULL))["Authorization"]
    assert await one.renew(refused, "a/b", PULL, stale)
    fresh = (await one.headers("a/b", PULL))["Authorization"]
    assert await one.renew(refused, "a/b", PULL, stale)
    await refused.release()

    assert fresh == (await one.headers("a/b", PULL))["Authorization"]
    assert len(tokens.requests) == 2


async def test_a_refused_password_is_not_sent_again(tmp_path: Path, clock: Clock) -> None:
    """With Basic there is nothing to renew: the same login would be refused again."""
    with DockerRegistry(tmp_path, users={"user": "word"}) as registry:
        wire = Wire(Endpoint(registry.host), {})
        one = await authorizer(wire, registry.host, clock, given("user", "wrong"))
        sent = await one.headers("a/b", PULL)
        refused = await wire.exchange("GET", f"http://{registry.host}/v2/", sent)
        assert not await one.renew(refused, "a/b", PULL, sent["Authorization"])
        await refused.release()
        await wire.close()


async def test_a_registry_without_logins(registry_a: DockerRegistry, clock: Clock) -> None:
    """Where no login is wanted none is sent, though there is one."""
    wire = Wire(Endpoint(registry_a.host), {})
    one = await authorizer(wire, registry_a.host, clock, given("user", "word"))
    await wire.close()

    assert await one.headers("a/b", PULL) == {}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, b"", RegistryError),
        (404, b"", RegistryError),
        (200, b"no json s3cret", RegistryError),
        (200, b'{"token": ""}', RegistryError),
        (200, b'{"token": "s3cret\\r\\nX: y"}', RegistryError),
        (200, b"x" * (2**20 + 1), RegistryError),
        (401, b'{"details": "wrong"}', Unauthorized),
        (403, b"", Unauthorized),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_token_servers_that_give_no_token(
    wire: Wire, clock: Clock, status: int, body: bytes, error: type[RegistryError]
) -> None:
    """What is no token is an error that says so, without the login, the query and the answer's text."""
    token = Fault(path="^/token", status=status, body=body, times=-1)
    with RecordingProxy("127.0.0.1:9", token) as proxy:
        challenge = f'Bearer realm="http://{proxy.host}/token?x=qu3ry",service="s"'
        proxy.faults.append(Fault(path="^/v2/", status=401, headers={"WWW-Authenticate": challenge}, times=-1))
        one = await authorizer(wire, proxy.host, clock, given("user", "pa55word"))
        with pytest.raises(error) as caught:
            await one.headers("a/b", PULL)

    shown = f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert not [secret for secret in ("s3cret", "qu3ry", "pa55word", "dXNlcjpw") if secret in shown]


async def test_a_token_server_that_hangs_up(wire: Wire, clock: Clock) -> None:
    """A token server that cannot be reached is told from the registry by its address."""
    async with RawServer(saying()) as dead:
        challenge = f'Bearer realm="http://{dead.host}/token"'
        greeting = Fault(path="^/v2/", status=401, headers={"WWW-Authenticate": challenge})
        with RecordingProxy("127.0.0.1:9", greeting) as proxy:
            one = await authorizer(wire, proxy.host, clock)
            with pytest.raises(Unreachable, match=dead.host):
                await one.headers("a/b", PULL)


async def test_bearer_is_preferred(tokens: TokenServer, wire: Wire, clock: Clock) -> None:
    """Of two ways to log in the one that keeps the password from the registry is taken."""
    both = f'Basic realm="r", Bearer realm="{tokens.scheme}://{tokens.host}/token",service="s"'
    with RecordingProxy("127.0.0.1:9", Fault(path="^/v2/", status=401, headers={"WWW-Authenticate": both})) as proxy:
        one = await authorizer(wire, proxy.host, clock, given("user", "word"))
        sent = await one.headers("a/b", PULL)

    assert sent["Authorization"].startswith("Bearer ")
    assert [request.user for request in tokens.requests] == ["user"]


async def test_a_refused_login_is_not_tried_again_for_a_while(wire: Wire, clock: Clock) -> None:
    """Forty images with a wrong password are one failed login, not forty: servers lock accounts for that."""
    token = Fault(path="^/token", status=401, times=-1)
    with RecordingProxy("127.0.0.1:9", token) as proxy:
        challenge = f'Bearer realm="http://{proxy.host}/token"'
        proxy.faults.append(Fault(path="^/v2/", status=401, headers={"WWW-Authenticate": challenge}, times=-1))
        one = await authorizer(wire, proxy.host, clock, given("user", "wrong"))
        for _ in range(40):
            with pytest.raises(Unauthorized):
                await one.headers("a/b", PULL)
        assert proxy.count("GET", "^/token") == 1
        clock.now += 61
        with pytest.raises(Unauthorized):
            await one.headers("a/b", PULL)
        assert proxy.count("GET", "^/token") == 2


async def test_a_failure_that_is_told_often_does_not_grow(wire: Wire, clock: Clock) -> None:
    """Whoever wants a token that is refused for now gets an error that keeps nothing of the others' who wanted it."""
    with RecordingProxy("127.0.0.1:9", Fault(path="^/token", status=401, times=-1)) as proxy:
        challenge = f'Bearer realm="http://{proxy.host}/token"'
        proxy.faults.append(Fault(path="^/v2/", status=401, headers={"WWW-Authenticate": challenge}, times=-1))
        one = await authorizer(wire, proxy.host, clock, given("user", "wrong"))
        depths = []
        for _ in range(5):
            with pytest.raises(Unauthorized) as caught:
                await one.headers("a/b", PULL)
            depths.append(len(caught.traceback))
    assert len(set(depths[1:])) == 1


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    """How old tokens and failures are is told by a clock that nobody sets."""
    assert signature(Authorizer).parameters["clock"].default is time.monotonic


async def test_many_tokens_are_swept_now_and_then(registry: DockerRegistry, wire: Wire, clock: Clock) -> None:
    """Dead tokens go when some time has passed, and not with every new one."""
    one = await authorizer(wire, registry.host, clock)
    await one.headers("a/1", ("repository:a/1:pull",))
    clock.now += 300
    await one.headers("a/2", ("repository:a/2:pull",))
    kept = one._tokens
    clock.now += 1
    await one.headers("a/3", ("repository:a/3:pull",))
    assert (one._tokens is kept, len(kept)) == (True, 2)


async def test_what_was_sent_is_taken_out_of_a_registrys_words(tmp_path: Path, clock: Clock) -> None:
    """A registry that repeats a login in its answers does not get it into our messages."""
    with DockerRegistry(tmp_path, users={"user": "pa55word"}) as registry:
        wire = Wire(Endpoint(registry.host), {})
        one = await authorizer(wire, registry.host, clock, given("user", "pa55word"))
        header = (await one.headers("a/b", PULL))["Authorization"]
        await wire.close()

    assert one.redacted(f"no: {header} or user:pa55word") == "no: Basic *** or user:***"


async def test_a_token_server_that_repeats_an_identity_token(tokens: TokenServer, clock: Clock) -> None:
    """What a token server says about a login is told without it, also where it says so in a form's coding."""
    identity = "an/identity+token"
    body = b'{"errors": [{"code": "UNSUPPORTED", "message": "no an/identity+token, no an%2Fidentity%2Btoken"}]}'
    with RecordingProxy(tokens.host, Fault(path="^/token", status=400, body=body, times=-1)) as proxy:
        endpoint = Endpoint(proxy.host, credentials=Given(Login(identity_token=Secret(identity))))
        wire = Wire(endpoint, {})
        one = Authorizer(endpoint, Logins({}, Path("/nonexistent")), wire, clock)
        one.challenge = Challenge("bearer", {"realm": f"http://{proxy.host}/token"})
        with pytest.raises(RegistryError) as caught:
            await one.headers("a/b", PULL)
        await wire.close()

    assert str(caught.value).endswith("answered 400: UNSUPPORTED no ***, no ***")
    assert "identity" not in repr(caught.value)


async def test_a_token_that_is_repeated(tokens: TokenServer, wire: Wire, clock: Clock) -> None:
    """The header that was sent last is taken out as well, though its token is no longer kept."""
    del tokens
    one = Authorizer(Endpoint("r.test"), Logins({}, Path("/nonexistent")), wire, clock)
    assert one.redacted("no: Bearer old-token", "Bearer old-token") == "no: Bearer ***"
