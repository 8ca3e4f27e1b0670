from dataclasses import dataclass, field

import pytest

from dregsy.notify.delivery import Undelivered, deliver
from dregsy.registry.retry import Backoff

AT_ONCE = Backoff(attempts=3, patience=10.0, random=lambda: 0.0)


@dataclass
class Channel:
    """Fails in some ways, one after the other, and then takes what is sent."""

    failures: list[Exception] = field(default_factory=list)
    attempts: int = 0

    async def send(self) -> None:
        """Try once."""
        self.attempts += 1
        if self.failures:
            raise self.failures.pop(0)


async def test_passing_faults() -> None:
    """What may succeed is tried three times."""
    channel = Channel([Undelivered("down", retryable=True), Undelivered("down", retryable=True)])

    await deliver(channel.send, "here", AT_ONCE)

    assert channel.attempts == 3


async def test_lasting_faults() -> None:
    """After the third attempt the last error stands."""
    channel = Channel([Undelivered(str(number), retryable=True) for number in range(9)])

    with pytest.raises(Undelivered, match=r"^2$"):
        await deliver(channel.send, "here", AT_ONCE)


@pytest.mark.parametrize("error", [Undelivered("no"), Undelivered("no", retryable=True, after=3600.0)])
async def test_faults_that_do_not_pass(error: Undelivered) -> None:
    """What would be refused again is not tried again, nor what is to wait for an hour."""
    channel = Channel([error])

    with pytest.raises(Undelivered, match="no"):
        await deliver(channel.send, "here", AT_ONCE)
    assert channel.attempts == 1


async def test_somebody_elses_time_limit() -> None:
    """A time limit that is not ours goes on to whom it belongs."""
    channel = Channel([TimeoutError()])

    with pytest.raises(TimeoutError):
        await deliver(channel.send, "here", AT_ONCE)
