"""What error answers of real and of made-up registries become."""

import json

import pytest

from dregsy.errors import NotFound, RateLimited, RegistryError, Unauthorized
from dregsy.model.endpoint import Anonymous, Endpoint
from dregsy.registry.answers import is_expired
from dregsy.registry.pool import Registries
from tests.testbed.clients import given
from tests.testbed.faults import Fault
from tests.testbed.proxy import RecordingProxy
from tests.testbed.raw import RawServer, saying
from tests.testbed.servers import DockerRegistry


async def refused(clients: Registries, upstream: str, status: int, body: bytes, **headers: str) -> RegistryError:
    """The error for an answer to an opened upload."""
    fault = Fault(path="/uploads/", status=status, body=body, headers=headers, times=-1)
    with RecordingProxy(upstream, fault) as proxy, pytest.raises(RegistryError) as caught:
        await clients.at(Endpoint(proxy.host, credentials=Anonymous())).begin_upload("a/b")
    return caught.value


@pytest.mark.parametrize(
    ("status", "message", "expired"),
    [
        (403, "Your authorization token has expired. Reauthenticate and try again.", True),
        (403, "User is not authorized to perform: ecr:InitiateLayerUpload", False),
        (401, "the token has expired", False),
    ],
)
async def test_logins_that_have_expired(
    registry_a: DockerRegistry, clients: Registries, status: int, message: str, *, expired: bool
) -> None:
    """What AWS says of old tokens is told from what it says of rights."""
    error = await refused(clients, registry_a.host, status, errors({"code": "DENIED", "message": message}))

    assert is_expired(error) == expired


def errors(*entries: object) -> bytes:
    """An error body as the specification has it."""
    return json.dumps({"errors": entries}).encode()


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (401, Unauthorized, "check the login"),
        (403, Unauthorized, "lacks the right"),
        (404, NotFound, ""),
        (429, RateLimited, "slow down"),
        (405, RegistryError, "read-only"),
        (400, RegistryError, ""),
        (500, RegistryError, ""),
    ],
)
async def test_kinds(
    registry_a: DockerRegistry, clients: Registries, status: int, kind: type[RegistryError], hint: str
) -> None:
    """Each status has its kind of error, which says what was asked, what was answered, and what to do."""
    error = await refused(clients, registry_a.host, status, errors({"code": "UNSUPPORTED", "message": "no"}))

    assert (kind, status, "POST", ("UNSUPPORTED",)) == (type(error), error.status, error.method, error.codes)
    assert f"POST {error.url} answered {status}: UNSUPPORTED no" == error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>oops</html>", b"null", b"[]", b"{}", b'{"errors": null}', b'{"errors": {"code": "X"}}',
        b'{"errors": [null, 7, "x", []]}', b"\xff\xfe", b"[" * 50_000, b'{"errors": [' + b" " * 70_000, b"9" * 5000,
    ],
    ids=repr,
)  # fmt: skip
async def test_bodies_that_say_nothing(registry_a: DockerRegistry, clients: Registries, body: bytes) -> None:
    """A body that is not the specification's JSON is not shown, and never a crash."""
    error = await refused(clients, registry_a.host, 400, body)

    assert f"POST {error.url} answered 400" == error.message
    assert error.codes == ()


async def test_words_are_short_and_printable(registry_a: DockerRegistry, clients: Registries) -> None:
    """What a registry says can neither steer a terminal nor fill the screen."""
    body = errors(*({"code": "C" * 500, "message": "\x1b[2J\n" + "m" * 500} for _ in range(50)))
    error = await refused(clients, registry_a.host, 400, body)

    assert error.message.isprintable()
    assert len(error.message) < 1200
    assert len(error.codes) == 10


async def test_words_are_cut_when_logins_are_out_of_them(clients: Registries) -> None:
    """A login that a registry repeats where its words are cut does not show by its half."""
    password = "correct-horse-battery-staple"
    body = errors({"code": "X", "message": "y" * 274 + password})
    answers = (
        b'HTTP/1.1 401 U\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n',
        b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
    )
    async with RawServer(saying(*answers)) as server:
        with pytest.raises(RegistryError) as caught:
            await clients.at(Endpoint(server.host, credentials=given("user", password))).begin_upload("a/b")

    assert caught.value.message.endswith("yy***")


async def test_what_a_rate_limit_asks_for(registry_a: DockerRegistry, clients: Registries) -> None:
    """The seconds of Retry-After are kept, and plain text is as good as JSON."""
    error = await refused(clients, registry_a.host, 429, b"slow down", **{"Retry-After": "1234"})

    assert isinstance(error, RateLimited)
    assert (error.retry_after, error.retryable) == (1234.0, True)
