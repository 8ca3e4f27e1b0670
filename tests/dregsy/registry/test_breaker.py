"""When a host counts as down, and when it is asked again."""

import time
import traceback

import pytest

from dregsy.errors import Unreachable
from dregsy.registry.breaker import Breaker, Breakers

breaker_time = time.monotonic


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def state(breaker: Breaker) -> str:
    """Whether a request is let through."""
    try:
        breaker.check()
    except Unreachable as error:
        return error.message
    return "through"


def test_a_host_that_is_down_is_asked_by_one_at_a_time() -> None:
    """All fail at once, but one each pause; an answer to that one lets all through again."""
    clock = Clock()
    breaker = Breaker(10.0, clock)
    assert state(breaker) == "through"
    breaker.gave_up(Unreachable("down"), clock.now)

    assert [state(breaker) for _ in range(3)] == ["down"] * 3
    clock.now += 10
    assert [state(breaker) for _ in range(3)] == ["through", "down", "down"]
    breaker.gave_up(Unreachable("still down"), clock.now)
    assert state(breaker) == "still down"
    clock.now += 10
    assert state(breaker) == "through"
    breaker.answered()
    assert [state(breaker) for _ in range(3)] == ["through"] * 3


def test_a_probe_that_never_ends_is_followed_by_another() -> None:
    """A request that was cancelled while it found out does not keep the host down for ever."""
    clock = Clock()
    breaker = Breaker(10.0, clock)
    breaker.gave_up(Unreachable("down"), clock.now)
    for _ in range(3):
        clock.now += 10
        assert state(breaker) == "through"


def test_a_host_that_answers_others_is_not_down() -> None:
    """A request that fails each time while others succeed says nothing about the host."""
    clock = Clock()
    breaker = Breaker(10.0, clock)
    since = clock.now
    clock.now += 1
    breaker.answered()
    clock.now += 1
    breaker.gave_up(Unreachable("broken"), since)

    assert state(breaker) == "through"


def test_what_is_told_again_and_again_does_not_grow() -> None:
    """Thousands of requests may fail at once for the same reason: each gets an error of its own, that nobody sent."""
    breaker = Breaker(10.0)
    breaker.gave_up(Unreachable("down", url="https://reg.test/", retryable=True), breaker_time())
    told: list[Unreachable] = []
    for _ in range(3):
        with pytest.raises(Unreachable) as caught:
            breaker.check()
        told.append(caught.value)

    assert len({id(error) for error in told}) == 3
    assert {(error.url, error.retryable, error.unasked) for error in told} == {("https://reg.test/", True, True)}
    assert len({len(traceback.extract_tb(error.__traceback__)) for error in told}) == 1


def test_each_server_has_its_own() -> None:
    """What is up is not touched by what is down; another port is another server."""
    breakers = Breakers(10.0)
    breakers.at("https://a.test/v2/").gave_up(Unreachable("down"), breaker_time())

    urls = ("https://a.test:443/token", "https://a.test:444/", "https://b.test/", "http://a.test/")
    assert [state(breakers.at(url)) for url in urls] == ["down", "through", "through", "through"]


def test_servers_without_end_are_forgotten() -> None:
    """A registry that sends its clients to ever new servers does not fill the memory."""
    breakers = Breakers(10.0)
    first = breakers.at("https://s0.test/")
    for number in range(1, 2000):
        breakers.at(f"https://s{number}.test/")

    assert breakers.at("https://s1999.test/") is breakers.at("https://s1999.test/")
    assert breakers.at("https://s0.test/") is not first
