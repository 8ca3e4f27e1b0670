import asyncio
import json
from functools import partial
from pathlib import Path

import pytest

from dregsy.model.endpoint import Secret
from dregsy.model.listen import Listen
from dregsy.model.plan import Plan, RelayChoice, State
from dregsy.model.report import CopyFinished, Event, TaskStarted, Waiting, Warned
from dregsy.orders import Orders
from dregsy.web.serving import serving
from tests.dregsy.web.stage import TOKEN, copied, task
from tests.testbed.asking import ask, order, scrape


@pytest.mark.parametrize(("ttl", "names"), [(None, []), (0.0, ["history-1.db"]), (60.0, ["history-1.db"])])
async def test_where_the_history_is(tmp_path: Path, ttl: float | None, names: list[str]) -> None:
    """In the journal's folder, however long facts there are believed, or in memory where there is none."""
    plan = Plan((task(),), RelayChoice("native", None), state=None if ttl is None else State(str(tmp_path), ttl))
    async with serving(Listen("127.0.0.1", 0), plan, plan.tasks, Orders(), lambda _: None) as (url, watching):
        for listener in watching:
            listener(CopyFinished(copied()))
        found = json.loads((await asyncio.to_thread(ask, url, "/api/v1/history")).text)["history"]

    assert [one["image"] for one in found] == ["b.test/app:1"]
    assert [path.name for path in tmp_path.rglob("*.db")] == names


async def test_all_hear_of_everything(tmp_path: Path) -> None:
    """Metrics, health and the page show what happens, and orders are told to the log and shown, too."""
    tasks = (task(),)
    plan = Plan(tasks, RelayChoice("native", None), state=State(str(tmp_path)))
    told: list[Event] = []
    orders = Orders()
    address = Listen("127.0.0.1", 0, Secret(TOKEN))
    async with serving(address, plan, tasks, orders, told.append) as (url, watching):
        for listener in watching:
            listener(Waiting(0.0))
            listener(TaskStarted(tasks[0]))
        answer = await asyncio.to_thread(partial(order, url, "/api/v1/pause", task="nightly", token=TOKEN))
        status = json.loads((await asyncio.to_thread(ask, url, "/api/v1/status")).text)
        ready = await asyncio.to_thread(ask, url, "/readyz")
        figures = await asyncio.to_thread(scrape, url)

    assert (answer.status, ready.text, orders.is_paused("nightly")) == (200, "ok\n", True)
    assert [one["state"] for one in status["tasks"]] == ["running"]
    said = "paused through the status page or its API, from 127.0.0.1"
    assert told == [Warned("nightly", said)]
    assert [one["message"] for one in status["notices"]] == [said]
    assert figures['dregsy_copies_running{task="nightly"}'] == 0
