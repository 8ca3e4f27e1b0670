"""Carries out copies; the seam behind which they may one day run on other machines."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from dregsy.errors import DregsyError
from dregsy.model.plan import Copy, Task
from dregsy.model.report import Failure, Moved, Outcome, Status
from dregsy.relay import Relay

_log = logging.getLogger(__name__)


class Executor(Protocol):
    """Turns a Copy into Outcomes."""

    async def run(self, task: Task, copy: Copy) -> tuple[Outcome, ...]:
        """Return one Outcome for each of ``copy.targets``, in order; never raises for a failed copy."""


class LocalExecutor:
    """Carries out copies in this process, by one relay."""

    def __init__(self, relay: Relay, now: Callable[[], float] = time.monotonic) -> None:
        self._relay = relay
        self._now = now

    async def run(self, task: Task, copy: Copy) -> tuple[Outcome, ...]:
        """Let the relay copy, and describe how it went for each target."""
        started = self._now()
        results: Sequence[Moved | Failure]
        try:
            done = await self._relay.copy(copy, task.source, [task.targets[to] for to in copy.to])
            results = [one if isinstance(one, Moved) else Failure.of(one) for one in done]
        except DregsyError as error:
            results = [Failure.of(error)] * len(copy.targets)
        except Exception as bug:
            _log.exception("copying %s ran into a bug", copy.source)
            text = f"a bug in the relay: {type(bug).__name__}"
            results = [Failure("bug", text, "please report it with the traceback in the log")] * len(copy.targets)
        seconds = self._now() - started
        return tuple(
            Outcome(copy, target, Status.COPIED, seconds, moved=result)
            if isinstance(result, Moved)
            else Outcome(copy, target, Status.FAILED, seconds, failure=result)
            for target, result in zip(copy.targets, results, strict=True)
        )
