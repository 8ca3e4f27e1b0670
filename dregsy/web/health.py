"""Whether dregsy is well, told by how long it has been silent: whatever works, or waits, says so again and again."""

import time
from collections.abc import Callable

from dregsy.model.report import (
    Event,
    Listening,
    LoginFetched,
    Reloaded,
    TaskFinished,
    TaskStarted,
    Waiting,
    Warned,
)
from dregsy.scheduler import RECHECK

PATIENCE = 300.0
"""How many seconds more than it may take something may be late before that counts as stuck."""


class Health:
    """A listener that knows whether the scheduler is stuck, and whether dregsy is up.

    Nothing in a run takes longer than ``timeout`` seconds, a copy's longest time, without an event; a scheduler
    that waits says so at least every minute. Silent for ``PATIENCE`` longer than that it is stuck.
    """

    def __init__(self, timeout: float, now: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout
        self._now = now
        self._task = ""
        self._is_up = False
        self._heard = now()

    def __call__(self, event: Event) -> None:
        """Take a sign of life; what comes from elsewhere than scheduler and runs is none."""
        match event:
            case Reloaded(ok=ok, timeout=timeout):
                if not ok:
                    return
                self._timeout = timeout
            case Warned() | Listening() | LoginFetched():
                return
            case TaskStarted(task):
                self._task, self._is_up = task.name, True
            case TaskFinished():
                self._task = ""
            case Waiting():
                self._is_up = True
        self._heard = self._now()

    @property
    def trouble(self) -> str:
        """What is wrong, in a line; empty when all is well."""
        silent = self._now() - self._heard
        if not self._task:
            late = silent > RECHECK + PATIENCE
            return f"the scheduler is stuck: it has not looked at its tasks for {silent:.0f} s" if late else ""
        late = silent > self._timeout + PATIENCE
        return f"the task {self._task!r} is stuck: nothing has happened in it for {silent:.0f} s" if late else ""

    @property
    def lack(self) -> str:
        """What there is yet to wait for before dregsy is up, or what is wrong with it; empty when neither."""
        return self.trouble if self._is_up else "not ready: the config is read, but its relay is not up yet"
