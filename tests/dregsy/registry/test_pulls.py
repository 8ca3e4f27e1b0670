"""Copies wait while too few pulls are left, in front of a registry that counts them as Docker Hub does."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from dregsy.credentials import Logins
from dregsy.embedded import images
from dregsy.errors import RateLimited
from dregsy.model.endpoint import Anonymous, Endpoint, RateLimit
from dregsy.model.ref import Ref
from dregsy.model.report import Event, HeldBack, Status
from dregsy.registry.pool import Registries
from dregsy.registry.pulls import Pulls
from tests.testbed.copying import Workshop, rule, task
from tests.testbed.hub import ABUSE, PullLimited
from tests.testbed.proxy import Fault
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry


def source(host: str, least: int, retry: float = 0.01) -> Endpoint:
    """A source of which some pulls are to stay."""
    return Endpoint(host, credentials=Anonymous(), rate_limit=RateLimit(least, retry))


async def test_copies_wait_before_the_quota_is_gone(
    registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, tmp_path: Path
) -> None:
    """Of ten images those are copied for which there are pulls; the rest wait, all arrive, and the report tells."""
    tags = [f"v{number}" for number in range(10)]
    for tag in tags:
        push(registry_a.host, repo, images.image(f"{repo}/{tag}"), tag)
    with PullLimited(registry_a.host, left=8, low=6, refills_after=6) as hub:
        async with Workshop(tmp_path) as shop:
            asked = task(hub.host, (registry_b.host,), rule(repo, tags=tuple(tags)))
            report = await shop.run(replace(asked, source=source(hub.host, 5)))

        assert {one.status for one in report.outcomes} == {Status.COPIED}
        assert hub.least >= 4  # a GET may be under way that was not counted yet
        assert "of 100 pulls left in 6 h, counted for 192.0.2.1, and 5 are to stay" in report.warnings[0]


async def test_a_registry_that_does_not_count(registry_a: DockerRegistry, clients: Registries, repo: str) -> None:
    """Where there are no such headers nothing waits."""
    told: list[str] = []
    image = Ref.parse(f"{registry_a.host}/{repo}:v1")
    async with Pulls(clients).place(source(registry_a.host, 100), image, asyncio.Event(), told.append):
        pass

    assert told == []


async def test_a_stop_ends_the_wait(registry_a: DockerRegistry, clients: Registries, repo: str) -> None:
    """Who is told to stop does not wait for hours first, and neither do those in the queue."""
    push(registry_a.host, repo, images.image(repo), "v1")
    stop = asyncio.Event()
    with PullLimited(registry_a.host, left=3) as hub:
        pulls, image = Pulls(clients), Ref.parse(f"{hub.host}/{repo}:v1")

        async def copy() -> bool:
            async with pulls.place(source(hub.host, 5, retry=3600), image, stop, lambda _text: stop.set()):
                return stop.is_set()

        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(copy()) for _ in range(5)]

    assert [one.result() for one in waiting] == [True] * 5


async def test_a_long_wait_shows_that_it_lives(registry_a: DockerRegistry, repo: str) -> None:
    """While it waits for hours it says again and again that it waits, and until when, without asking the registry."""
    push(registry_a.host, repo, images.image(repo), "v1")
    stop, told, beats = asyncio.Event(), list[str](), list[HeldBack]()

    def hear(event: Event) -> None:
        if isinstance(event, HeldBack):
            beats.append(event)
            if len(beats) == 3:
                stop.set()

    logins = Logins({}, Path("/nonexistent"))
    with PullLimited(registry_a.host, left=3) as hub:
        async with Registries(logins, {}, emit=hear) as registries:
            pulls = Pulls(registries, beat=0.001)
            pulls.ahead = 7
            async with pulls.place(
                source(hub.host, 5, retry=3600), Ref.parse(f"{hub.host}/{repo}:v1"), stop, told.append
            ):
                pass

        assert hub.count("HEAD", "/manifests/") == 1
    assert [one.host for one in beats] == [hub.host] * 3
    assert {one.until for one in beats} == {beats[0].until}
    assert len(told) == 1
    assert ": 1 wait for them, and up to 7 more are to come; the next look is at 2" in told[0]
    assert told[0].endswith(" UTC, then every 3600 s; a pull counts for 6 h")


async def test_a_quota_that_is_used_up(registry_a: DockerRegistry, clients: Registries, repo: str) -> None:
    """That is told as what it is, and not asked for again and again: it costs hours, not seconds."""
    push(registry_a.host, repo, images.image(repo), "v1")
    with PullLimited(registry_a.host, left=0) as hub:
        with pytest.raises(RateLimited) as caught:
            await clients.at(source(hub.host, 1)).get_manifest(repo, "v1")

        assert hub.count("GET", "/manifests/") == 1
    assert "set 'rate-limit'" in caught.value.hint


async def test_the_limit_against_abuse(registry_a: DockerRegistry, clients: Registries, repo: str) -> None:
    """Too many requests in a short time are another matter: they are slowed down and tried again."""
    push(registry_a.host, repo, images.image(repo), "v1")
    with PullLimited(registry_a.host, left=9) as hub:
        hub.faults = [Fault(path="/blobs/", status=429, body=ABUSE, times=-1)]
        with pytest.raises(RateLimited) as caught:
            await clients.at(source(hub.host, 1)).has_blob(repo, images.image(repo).top.blobs[0].digest)

        assert hub.count("HEAD", "/blobs/") == 4
    assert "whatever the login" in caught.value.hint
