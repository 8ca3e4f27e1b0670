"""Servers that asked for a long pause are left alone until then, by all and in all rounds."""

import math
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.errors import RateLimited, RegistryError
from dregsy.registry.pauses import LONGEST, Pauses
from tests.testbed.copying import Workshop, rule, task
from tests.testbed.faults import Fault
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

URL = "https://reg.test/v2/"


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def asking(seconds: float | None, message: str = "slower", url: str = URL) -> RegistryError:
    """An answer with Retry-After."""
    error = RateLimited(message, status=429, url=url, retryable=True)
    error.retry_after = seconds
    return error


def left(pauses: Pauses, url: str) -> float | None:
    """How long a request would have to wait; None when it may be sent."""
    try:
        pauses.check(url)
    except RateLimited as error:
        return error.retry_after if error.unasked and error.retryable else -1.0
    return None


def test_a_server_is_left_alone_until_its_time_has_come() -> None:
    """What is told is how long that is yet; another server is not touched."""
    clock = Clock()
    pauses = Pauses(clock)
    pauses.note(asking(120.0), patience=60.0)

    assert left(pauses, URL) == 120.0
    assert left(pauses, "https://other.test/v2/") is None
    clock.now += 119
    assert left(pauses, URL) == 1.0
    clock.now += 1
    assert left(pauses, URL) is None


@pytest.mark.parametrize(
    "error",
    [
        asking(None),
        asking(60.0),
        asking(120.0, url=""),
        asking(120.0, "You have reached your pull rate limit"),
        asking(math.inf, "You have reached your pull rate limit"),
    ],
    ids=["no-time", "short", "nobody", "quota", "quota-without-end"],
)
def test_what_is_no_pause(error: RegistryError) -> None:
    """A short wait is for who got it; where a quota of pulls is used up, other requests are answered."""
    pauses = Pauses()
    pauses.note(error, patience=60.0)

    assert left(pauses, URL) is None


def test_a_pause_of_years_has_an_end() -> None:
    """A server that erred is asked again within the hour, and what was not sent does not lengthen it."""
    clock = Clock()
    pauses = Pauses(clock)
    pauses.note(asking(1e9), patience=60.0)
    assert left(pauses, URL) == LONGEST
    clock.now += LONGEST / 2
    with pytest.raises(RateLimited, match=r"^reg.test wants to be left alone until \d{4}-.* UTC: slower$") as caught:
        pauses.check(URL)
    pauses.note(caught.value, patience=60.0)
    clock.now += LONGEST / 2

    assert left(pauses, URL) is None


async def test_a_pause_holds_for_all_copies_and_rounds(
    registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, tmp_path: Path
) -> None:
    """Of fifty images no more are asked for than are under way when it says 429, not in a further round either."""
    push(registry_a.host, repo, images.image(repo), *(f"v{number}" for number in range(50)))
    fault = Fault(path="/manifests/", status=429, headers={"Retry-After": "120"}, times=-1)
    with RecordingProxy(registry_a.host, fault) as proxy:
        async with Workshop(tmp_path) as shop:
            report = await shop.run(task(proxy.host, (registry_b.host,), rule(repo)), parallel=2, retries=3)

        assert sum("/manifests/" in one.path for one in proxy.seen) <= 8  # four lookers for each copy
    assert [one.failure is not None and one.failure.retryable for one in report.outcomes] == [True] * 50
    assert any(one.failure and "wants to be left alone until" in one.failure.message for one in report.outcomes)
