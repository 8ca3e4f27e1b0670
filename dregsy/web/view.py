"""What there is to see, as plain data: what the API answers, and what the page is made of.

docs/status-page.md and ``openapi`` describe it; times are RFC 3339, in UTC, durations are seconds.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from dregsy import __version__
from dregsy.log import label, one_line
from dregsy.model.plan import Cron, Every, Once, Schedule
from dregsy.model.report import Status
from dregsy.orders import Orders
from dregsy.web import board, history
from dregsy.web.board import Board, Entry, Failed, Flight
from dregsy.web.health import Health
from dregsy.web.history import History

LATEST = 50
"""How many entries of the history there are where nobody asks for more."""
MOST = 500
"""The most that anybody gets."""

Data = dict[str, Any]


class View:
    """Shows what a running dregsy does, did and will do."""

    def __init__(
        self, board: Board, health: Health, history: History, orders: Orders, now: Callable[[], float] = time.time
    ) -> None:
        self.board = board
        self.health = health
        self.history = history
        self.orders = orders
        self._now = now

    def status(self) -> Data:
        """Return all but the history."""
        return {**self.summary(), **self.tasks(), **self.copies(), **self.failures(), **self.limits()}

    def summary(self) -> Data:
        """Return how dregsy is as a whole."""
        trouble = self.health.trouble
        return {
            "version": __version__,
            "now": when(self._now()),
            "started": when(self.board.started),
            "ok": not trouble,
            "ready": not self.health.lack,
            "trouble": trouble or None,
            "refused_config": [one_line(one) for one in self.board.refused],
            "notices": [
                {"at": when(one.at), "task": one.task or None, "message": one_line(one.message)}
                for one in reversed(self.board.notices)
            ],
        }

    def tasks(self) -> Data:
        """Return the tasks, in the order of the file."""
        return {"tasks": [self._task(entry) for entry in self.board.entries]}

    def copies(self) -> Data:
        """Return the copies that are under way."""
        return {"copies": [self._flight(one) for one in list(self.board.flights.values())]}

    def failures(self) -> Data:
        """Return what failed and was not seen to succeed since, the last at the front."""
        return {"failures": [_failed(one) for one in self.board.failures]}

    def limits(self) -> Data:
        """Return what registries said of how many more requests they take."""
        return {
            "limits": [
                {"host": host, "remaining": one.remaining, "most": one.most, "at": when(one.at)}
                for host, one in sorted(self.board.limits.items())
            ]
        }

    async def past(self, image: str = "", limit: int = LATEST) -> Data:
        """Return what became of an image, or of all; the newest at the front."""
        found = await (self.history.of(image, limit) if image else self.history.latest(limit))
        return {"history": [_past(one) for one in found]}

    def _task(self, entry: Entry) -> Data:
        task, run, past = entry.task, entry.run, entry.past
        return {
            "name": task.name,
            "schedule": schedule(task.schedule),
            "source": task.source.host,
            "targets": [target.host for target in task.targets],
            "state": self._state(entry),
            "paused": self.orders.is_paused(task.name),
            "next_run": when(entry.next_run) if entry.next_run is not None else None,
            "run": _run(run) if run is not None else None,
            "last_run": _ended(past) if past is not None else None,
        }

    def _state(self, entry: Entry) -> str:
        """Say in a word how a task stands."""
        name = entry.task.name
        if entry.run is not None:
            return "running"
        if self.orders.is_asked(name):
            return "due"
        if isinstance(entry.task.schedule, Once):
            return "done" if entry.past is not None else "due"
        if self.orders.is_paused(name):
            return "paused"
        return "waiting" if entry.next_run is not None and entry.next_run > self._now() else "due"

    def _flight(self, one: Flight) -> Data:
        seconds = max(0.0, self._now() - one.started)
        return {
            "task": one.copy.task,
            "source": label(one.copy.origin),
            "targets": sorted(map(label, one.pending)),
            "started": when(one.started),
            "seconds": round(seconds, 1),
            "bytes_read": one.read,
            "bytes_written": one.written,
            "bytes_expected": one.expected or None,
        }


def when(moment: float) -> str:
    """Write a time, to the second; one beyond all calendars is the last that there is."""
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError):
        return "9999-12-31T23:59:59Z"


def schedule(one: Schedule) -> Data:
    """Say when a task runs."""
    match one:
        case Once():
            return {"kind": "once", "seconds": None, "cron": None}
        case Every(seconds):
            return {"kind": "interval", "seconds": seconds, "cron": None}
        case Cron(expression):
            return {"kind": "cron", "seconds": None, "cron": one_line(expression)}


def _counts(run: board.Run | board.Past) -> Data:
    return {str(status): run.counts[status] for status in Status}


def _run(run: board.Run) -> Data:
    return {"started": when(run.started), "found": run.found, "bytes_written": run.bytes_written, **_counts(run)}


def _ended(past: board.Past) -> Data:
    return {
        "started": when(past.started),
        "finished": when(past.finished),
        "seconds": round(max(0.0, past.finished - past.started), 3),
        "ok": past.ok,
        "interrupted": past.interrupted,
        **_counts(past),
    }


def _failed(one: Failed) -> Data:
    failure, copy, target = one.outcome.failure, one.outcome.copy, one.outcome.target
    return {
        "at": when(one.at),
        "task": copy.task,
        "source": label(copy.origin),
        "target": label(target) if target is not None else None,
        "kind": failure.kind if failure else "",
        "message": one_line(failure.message[: history.LONGEST]) if failure else "",
        "hint": one_line(failure.hint[: history.LONGEST]) or None if failure else None,
        "where": copy.where or None,
    }


def _past(one: history.Past) -> Data:
    empty_is_none = ("reason", "digest", "kind", "message", "hint")
    data = asdict(one)
    return {**data, "at": when(one.at), **{name: data[name] or None for name in empty_is_none}}
