from pathlib import Path

import pytest

from dregsy.credentials import Logins
from dregsy.embedded import images
from dregsy.errors import DregsyError, Unreachable
from dregsy.model.endpoint import Anonymous, Endpoint
from dregsy.model.report import Answered, Event, RequestRetried
from dregsy.model.timeouts import Timeouts
from dregsy.registry.observed import ObservedWire
from dregsy.registry.pool import Registries
from dregsy.registry.retry import Backoff
from tests.testbed.certificates import Authority
from tests.testbed.clients import given
from tests.testbed.faults import Fault
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry
from tests.testbed.tokens import Grant, TokenServer


async def heard(endpoint: Endpoint, repository: str, tag: str) -> list[Event]:
    """Return what is told while a manifest is read."""
    events: list[Event] = []
    logins = Logins({}, Path("/nonexistent"))
    async with Registries(logins, {}, backoff=Backoff(base=0), emit=events.append) as registries:
        await registries.at(endpoint).get_manifest(repository, tag)
    return events


async def test_each_request_is_told(registry_a: DockerRegistry, repo: str) -> None:
    """The greeting and what follows, with the server's name as in the URL, and each attempt anew."""
    push(registry_a.host, repo, images.image(repo), "v1")
    told = {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "0;w=21600", "Retry-After": "0"}
    limited = Fault(path="/manifests/", status=429, headers=told)
    with RecordingProxy(registry_a.host, limited) as proxy:
        events = await heard(Endpoint(proxy.host, credentials=Anonymous()), repo, "v1")

    assert events[-4:] == [
        Answered(proxy.host, "GET", 200),
        Answered(proxy.host, "GET", 429, remaining=0, limit=100),
        RequestRetried(proxy.host),
        Answered(proxy.host, "GET", 200),
    ]


async def test_token_servers_are_told(tmp_path: Path, authority: Authority, repo: str) -> None:
    """What a registry sends its clients to is told under that server's own name."""
    everybody = [Grant("alice", "*", frozenset({"pull", "push"}))]
    with (
        TokenServer(authority, users={"alice": "s3cret"}, grants=everybody) as tokens,
        DockerRegistry(tmp_path, extra=tokens.config()) as registry,
    ):
        events: list[Event] = []
        logins = Logins({}, Path("/nonexistent"))
        async with Registries(logins, {}, emit=events.append) as registries:
            endpoint = Endpoint(registry.host, credentials=given("alice", "s3cret"))
            assert await registries.at(endpoint).head_manifest(repo, "v1") is None

    told = [(event.host, event.status) for event in events if isinstance(event, Answered) and event.status]
    assert told == [(registry.host, 401), (tokens.host, 200), (registry.host, 404)]
    assert "s3cret" not in repr(events)


async def test_no_answer_is_told(registry_a: DockerRegistry) -> None:
    """Where nobody answers, that is told as status 0, and the error passes."""
    events: list[Event] = []
    wire = ObservedWire(Endpoint("reg.test"), {}, Timeouts(), events.append)
    with RecordingProxy(registry_a.host) as gone:
        pass
    for url in (f"http://user:s3cret@{gone.host}/v2/?token=s3cret", "http://[half"):
        with pytest.raises(Unreachable if gone.host in url else DregsyError):
            await wire.exchange("GET", url, {})
    await wire.close()

    assert events == [Answered(gone.host, "GET", 0), Answered("", "GET", 0)]
