import asyncio
import os
import signal

from dregsy.ending import until_signalled
from dregsy.model.report import Event, Warned


def interrupt() -> None:
    """Send this process what ``kill`` sends."""
    os.kill(os.getpid(), signal.SIGTERM)


async def test_the_first_signal_asks_the_second_cancels_the_third_kills() -> None:
    """Work that is going on is first asked to end, then cancelled; after that the signals are the system's again."""
    heard: list[Event] = []
    before = signal.getsignal(signal.SIGTERM)
    async with until_signalled(60.0, heard.append) as ending:
        ending.working = True
        interrupt()
        await asyncio.wait_for(ending.turn.wait(), 60)
        assert (ending.stop.is_set(), ending.abort.is_set()) == (True, False)
        interrupt()
        await asyncio.wait_for(ending.abort.wait(), 60)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is before
    assert [isinstance(event, Warned) for event in heard] == [True, True]


async def test_the_grace_period_ends_by_itself() -> None:
    """Work that does not end when it was asked to is cancelled after the grace period."""
    async with until_signalled(0.0, lambda _: None) as ending:
        ending.working = True
        interrupt()
        await asyncio.wait_for(ending.abort.wait(), 60)
        assert ending.stop.is_set()


async def test_without_copies_a_signal_ends_everything_at_once() -> None:
    """Who only looks has nothing to finish: what waits is left, and nothing is said."""
    heard: list[Event] = []
    went_on = False
    async with until_signalled(60.0, heard.append):
        interrupt()
        await asyncio.Event().wait()
        went_on = True
    assert (went_on, heard) == (False, [])
