"""A status page about a made-up dregsy whose clock is set by hand, and outcomes to fill it with."""

import asyncio
import json
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Self

from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint, Secret
from dregsy.model.listen import Listen
from dregsy.model.plan import Copy, Every, Once, Schedule, Task
from dregsy.model.ref import Ref
from dregsy.model.report import (
    CopyFinished,
    Event,
    Failure,
    Moved,
    Outcome,
    Reason,
    Report,
    Status,
    TaskFinished,
    TaskStarted,
    Waiting,
)
from dregsy.orders import Orders
from dregsy.web.board import Board
from dregsy.web.desk import Desk
from dregsy.web.health import Health
from dregsy.web.history import History
from dregsy.web.metrics import Metrics
from dregsy.web.server import LIFE, Server
from dregsy.web.site import Site
from dregsy.web.view import View
from tests.testbed.asking import Answer, ask, order

NOW = 1_700_000_000.0
"""2023-11-14T22:13:20Z."""
TOKEN = "0123456789abcdef"
DIGEST = Digest.of(b"image")


def task(name: str = "nightly", schedule: Schedule | None = None, *targets: str) -> Task:
    """Return a task, an hourly one unless told otherwise."""
    places = tuple(Endpoint(host) for host in targets or ("b.test",))
    return Task(name, schedule or Every(3600), Endpoint("a.test"), places, ())


def copy(tag: str = "1", *targets: str, name: str = "nightly") -> Copy:
    """Return a copy of ``a.test/app``."""
    places = tuple(Ref(host, "app", tag) for host in targets or ("b.test",))
    return Copy(name, Ref("a.test", "app", tag), places, tuple(range(len(places))), where="sync.yaml:7")


def copied(tag: str = "1", *, name: str = "nightly") -> Outcome:
    """Return an outcome of an image that was new."""
    one = copy(tag, name=name)
    return Outcome(one, one.targets[0], Status.COPIED, 1.5, Moved(DIGEST, 2000, 1500), Reason.MISSING)


def current(tag: str = "1") -> Outcome:
    """Return an outcome of an image that was up to date."""
    one = copy(tag)
    return Outcome(one, one.targets[0], Status.CURRENT, reason=Reason.CURRENT)


def failed(tag: str = "1", message: str = "b.test is down", *, name: str = "nightly") -> Outcome:
    """Return an outcome of an image that could not be copied."""
    one = copy(tag, name=name)
    return Outcome(one, one.targets[0], Status.FAILED, failure=Failure("unreachable", message, "start it"))


class Stage:
    """All that is served, while its ``async with`` lasts."""

    def __init__(self, *tasks: Task, token: str = "", pace: float = 0.01, life: float = LIFE) -> None:
        self.time = NOW
        self.tasks = tasks or (task(), task("once", Once()))
        self.told: list[Event] = []
        self.orders = Orders()
        self.board = Board(self.tasks, now=self.now)
        self.health = Health(3600.0, now=self.now)
        self.history = History(now=self.now)
        self.view = View(self.board, self.health, self.history, self.orders, now=self.now)
        secret = Secret(token) if token else None
        self.desk = Desk(self.board, self.orders, secret, self.told.append, now=self.now)
        self.server = Server(
            Listen.parse(":0"),
            Metrics(self.tasks).registry,
            self.health,
            Site(self.view, self.desk, pace=pace),
            life=life,
        )
        self._stack = AsyncExitStack()

    def now(self) -> float:
        """Return the time that was set."""
        return self.time

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.history)
        await self._stack.enter_async_context(self.server)
        self(Waiting(0.0))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def __call__(self, *events: Event) -> None:
        """Something happens."""
        for event in events:
            for listener in (self.board, self.health, self.history):
                listener(event)

    def ran(self, *outcomes: Outcome, which: int = 0, interrupted: bool = False) -> None:
        """A run of a task begins and ends, 10 seconds later."""
        started, one = self.time, self.tasks[which]
        self(TaskStarted(one))
        self.time += 10.0
        self(*map(CopyFinished, outcomes))
        self(TaskFinished(Report(one, started, self.time, outcomes, interrupted=interrupted)))

    async def ask(self, path: str, **more: Any) -> Answer:
        """Send one request."""
        return await asyncio.to_thread(partial(ask, self.server.url, path, **more))

    async def order(self, path: str, **more: Any) -> Answer:
        """Send a form."""
        return await asyncio.to_thread(partial(order, self.server.url, path, **more))

    async def data(self, name: str) -> Any:
        """Return what the API says."""
        return json.loads((await self.ask(f"/api/v1/{name}")).text)
