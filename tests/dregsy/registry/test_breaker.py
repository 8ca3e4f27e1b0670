"""When a host counts as down, and when it is asked again."""

import pytest

from dregsy.errors import Unreachable
from dregsy.registry.breaker import Breaker


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
    breaker.gave_up(Unreachable("down"), breaker.answers)

    assert [state(breaker) for _ in range(3)] == ["down"] * 3
    clock.now += 10
    assert [state(breaker) for _ in range(3)] == ["through", "down", "down"]
    breaker.gave_up(Unreachable("still down"), breaker.answers)
    assert state(breaker) == "still down"
    clock.now += 10
    assert state(breaker) == "through"
    breaker.answered()
    assert [state(breaker) for _ in range(3)] == ["through"] * 3


def test_a_probe_that_never_ends_is_followed_by_another() -> None:
    """A request that was cancelled while it found out does not keep the host down for ever."""
    clock = Clock()
    breaker = Breaker(10.0, clock)
    breaker.gave_up(Unreachable("down"), breaker.answers)
    for _ in range(3):
        clock.now += 10
        assert state(breaker) == "through"


@pytest.mark.parametrize("answers", [1, 40])
def test_a_host_that_answers_others_is_not_down(answers: int) -> None:
    """A request that fails each time while others succeed says nothing about the host."""
    breaker = Breaker(10.0)
    before = breaker.answers
    for _ in range(answers):
        breaker.answered()
    breaker.gave_up(Unreachable("broken"), before)

    assert state(breaker) == "through"
