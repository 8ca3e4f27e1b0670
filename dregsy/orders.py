"""What an operator wants of tasks beside their timetable: to run one now, or to let one rest.

It is where those who take such wishes, and the scheduler, who heeds them, meet without knowing each other.
"""

import asyncio
from collections.abc import Iterable


class Orders:
    """Wishes by the names of tasks; tasks that share a name share them. They last as long as this object."""

    def __init__(self) -> None:
        self.given = asyncio.Event()
        """Set while a run that was asked for has not begun."""
        self._asked: dict[str, None] = {}
        self._paused: set[str] = set()

    def run_now(self, task: str) -> None:
        """Have a task run as soon as the run in progress, if any, has ended; asked for twice it runs once."""
        self._asked[task] = None
        self.given.set()

    def pause(self, task: str) -> None:
        """Let the times of a task pass from now on; its run in progress goes on."""
        self._paused.add(task)

    def resume(self, task: str) -> None:
        """Let a task run again when its next time comes."""
        self._paused.discard(task)

    def is_asked(self, task: str) -> bool:
        """Whether a run of a task was asked for that has not begun."""
        return task in self._asked

    def is_paused(self, task: str) -> bool:
        """Whether the times of a task pass without a run."""
        return task in self._paused

    def take(self) -> str | None:
        """Return the task whose run was asked for first, and take the order for done; None when there is none."""
        name = next(iter(self._asked), None)
        if name is not None:
            del self._asked[name]
        if not self._asked:
            self.given.clear()
        return name

    def keep(self, tasks: Iterable[str]) -> None:
        """Forget what was wanted of tasks other than these."""
        known = frozenset(tasks)
        self._asked = {name: None for name in self._asked if name in known}
        self._paused &= known
        if not self._asked:
            self.given.clear()
