"""How much may happen at once, and how that follows what a registry says."""

import asyncio
from contextlib import AsyncExitStack, suppress

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from dregsy.errors import RegistryError
from dregsy.model.endpoint import Anonymous, Endpoint
from dregsy.registry.limits import PLACES, Gate, Lane, Limits, Places
from tests.testbed.clients import registries
from tests.testbed.serving import Served


async def test_each_lane_has_places_of_its_own() -> None:
    """When all places for uploads and reads are taken, small requests and manifests still have theirs."""
    limits, got = Limits(), []
    async with AsyncExitStack() as stack:
        for lane in (Lane.READ, Lane.UPLOAD):
            for _ in range(PLACES[lane].first):
                await stack.enter_async_context(limits.gate(lane).place())
        for lane in (Lane.CONTROL, Lane.MANIFEST):
            async with limits.gate(lane).place():
                got.append(lane)

    assert got == [Lane.CONTROL, Lane.MANIFEST]


async def peak(gate: Gate, workers: int) -> tuple[int, list[int]]:
    """How many of ``workers`` at most had a place at once, and the order in which they had theirs."""
    now, most, done = 0, 0, []

    async def work(number: int) -> None:
        nonlocal now, most
        async with gate.place():
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            done.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(workers):
            group.create_task(work(number))
    return most, done


async def test_no_more_at_once_than_there_are_places() -> None:
    """However many want to work, only as many as there are places do, and all get their turn in order."""
    assert await peak(Gate(Places(8, 8)), 50) == (8, list(range(50)))


async def test_places_are_added_while_all_goes_well() -> None:
    """Each good answer adds a place as long as all are in use, up to the most there may be."""
    gate = Gate(Places(2, 5))
    for _ in range(20):
        async with AsyncExitStack() as stack:
            for _ in range(gate.size):
                await stack.enter_async_context(gate.place())
            gate.went_well()

    assert gate.size == 5
    assert (await peak(gate, 20))[0] == 5


async def test_places_that_nobody_needs_are_not_added() -> None:
    """Good answers say nothing about more at once than there was."""
    gate = Gate(Places(4, 32))
    for _ in range(50):
        async with gate.place():
            gate.went_well()

    assert gate.size == 4


async def test_a_complaint_halves_once_for_all_that_were_under_way() -> None:
    """Many refusals of one wave are one complaint; the next wave's is another; one place always stays."""
    gate = Gate(Places(16, 32))
    wave = gate.generation
    for _ in range(10):
        gate.slow_down(wave)
    after_one = gate.size
    for _ in range(10):
        gate.slow_down(gate.generation)

    assert (after_one, gate.size) == (8, 1)
    assert (await peak(gate, 5))[0] == 1


async def test_after_a_complaint_places_come_back_slowly() -> None:
    """A round of good answers then adds one place, and no more."""
    gate = Gate(Places(8, 32))
    gate.slow_down(gate.generation)
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(gate.place())
        for _ in range(5):
            gate.went_well()

    assert gate.size == 5


@given(actions=st.lists(st.sampled_from(["start", "finish", "cancel", "well", "slow"]), max_size=80))
async def test_no_place_is_ever_lost(actions: list[str]) -> None:
    """Whatever comes, cancellation while waiting included, in the end everybody can have a place."""
    gate, ends = Gate(Places(2, 4)), list[tuple[asyncio.Task[None], asyncio.Event]]()

    async def work(end: asyncio.Event) -> None:
        async with gate.place():
            await end.wait()

    async with asyncio.TaskGroup() as group:
        for action in actions:
            if action == "start":
                end = asyncio.Event()
                ends.append((group.create_task(work(end)), end))
            elif action == "finish" and ends:
                ends.pop(0)[1].set()
            elif action == "cancel" and ends:
                ends.pop()[0].cancel()
            elif action == "well":
                gate.went_well()
            elif action == "slow":
                gate.slow_down(gate.generation)
            if len(actions) % 2:
                await asyncio.sleep(0)
        for _, end in ends:
            end.set()

    assert await peak(gate, 10) == (gate.size, list(range(10)))


class Strict(Served):
    """A registry that refuses whatever is more than ``most`` requests at once, and holds each for a moment."""

    def __init__(self, most: int, status: int) -> None:
        super().__init__()
        self.most = most
        self.status = status
        self.now = 0
        self.refused = 0

    async def application(self) -> web.Application:
        """Serve the one."""
        app = web.Application()
        app.router.add_get("/v2/", _ok)
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, _: web.Request) -> web.Response:
        if self.now >= self.most:
            self.refused += 1
            return web.Response(status=self.status)
        self.now += 1
        try:
            for _turn in range(20):
                await asyncio.sleep(0)
            return web.Response(headers={"Docker-Content-Digest": f"sha256:{'a' * 64}", "Content-Length": "5"})
        finally:
            self.now -= 1


async def _ok(_: web.Request) -> web.Response:
    return web.Response()


@pytest.mark.parametrize("status", [429, 503])
async def test_a_registry_that_asks_to_slow_down_is_heeded(status: int) -> None:
    """After its complaints a registry is asked for less at once, and everything is answered in the end."""
    with Strict(most=3, status=status) as strict:
        async with registries() as pool:
            registry = pool.at(Endpoint(strict.host, credentials=Anonymous()))

            async def wave() -> int:
                before = strict.refused

                async def look() -> None:
                    with suppress(RegistryError):
                        await registry.head_manifest("a", "b")

                async with asyncio.TaskGroup() as group:
                    for _ in range(64):
                        group.create_task(look())
                return strict.refused - before

            waves = [await wave() for _ in range(8)]

    assert waves[-1] <= 16, waves
