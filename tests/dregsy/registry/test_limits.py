"""How much may happen at once."""

import asyncio

from dregsy.registry.limits import PLACES, Lane, Limits


async def test_each_lane_has_places_of_its_own() -> None:
    """When all places for uploads and reads are taken, small requests still have theirs."""
    limits = Limits()
    for lane in (Lane.READ, Lane.UPLOAD):
        for _ in range(PLACES[lane]):
            await limits.place(lane).acquire()

    assert [limits.place(lane).locked() for lane in (Lane.READ, Lane.UPLOAD, Lane.CONTROL)] == [True, True, False]


async def test_no_more_at_once_than_there_are_places() -> None:
    """However many want to work, only as many as there are places do, and all get their turn."""
    limits, now, most, done = Limits(), 0, 0, 0

    async def work() -> None:
        nonlocal now, most, done
        async with limits.place(Lane.READ):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(work())

    assert (PLACES[Lane.READ], 50) == (most, done)
