"""Puts together all that is served, and what listens for it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from dregsy.journal import NAME
from dregsy.model.listen import Listen
from dregsy.model.plan import Plan, Task
from dregsy.model.report import Event, Listener
from dregsy.orders import Orders
from dregsy.web.board import Board
from dregsy.web.desk import Desk
from dregsy.web.health import Health
from dregsy.web.history import History
from dregsy.web.metrics import Metrics
from dregsy.web.server import Server
from dregsy.web.site import Site
from dregsy.web.view import View


@asynccontextmanager
async def serving(
    address: Listen, plan: Plan, tasks: Sequence[Task], orders: Orders, emit: Listener
) -> AsyncIterator[tuple[str, list[Listener]]]:
    """Serve at ``address`` inside; gives the URL, and what has to hear of everything.

    ``emit`` is told, as are these, what is asked for through the page. Raises UsageError as Server does.
    """
    metrics, health, board = Metrics(tasks), Health(plan.timeout), Board(tasks)
    async with _history(plan, emit) as history:
        watching: list[Listener] = [metrics, health, board, history]

        def tell(event: Event) -> None:
            for listener in (emit, *watching):
                listener(event)

        desk = Desk(board, orders, address.token, tell)
        site = Site(View(board, health, history, orders), desk)
        async with Server(address, metrics.registry, health, site) as server:
            yield server.url, watching


def _history(plan: Plan, emit: Listener) -> History:
    """Keep it in the journal's folder where there is one, else in memory."""
    return History(Path(plan.state.path) / NAME, emit) if plan.state is not None else History()
