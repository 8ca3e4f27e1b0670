"""Copies images for as long as it is told to, with mixed faults in the way, and compares source and target each time.

    python -m tests.faults.soak --seed 7 --seconds 3600

The same seed gives the same images and faults. Exits 1 when a target has anything but the whole image, or what it had
before (nothing, or an older image, whole), when a run without faults does not finish the job, when a round hangs, or
when memory goes on growing.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psutil

from dregsy.embedded import images
from dregsy.embedded.images import Image
from dregsy.model.timeouts import Timeouts
from tests.faults.conftest import AT_TARGET, FAULTS, LONG, PHASES, SHORT, graph_at
from tests.testbed.clients import registries
from tests.testbed.copying import Workshop, rule, task
from tests.testbed.faults import Fault
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

BATCH = 50
"""Rounds between two pairs of registries: their disks are not to fill."""
PATIENCE = 600.0
"""Seconds after which a round hangs."""
GROWTH = 48.0
"""MiB that the process, with its proxies and images, may have more at its end than after its first batch."""
TAGS = 3
OLDER = 0.5
"""How many of the tags have an older image at the target."""
DOWN = (0.0, 0.2, 10.0)
"""For how long a registry that does not answer counts as down, in seconds."""
SIZES = (1_000, 100_000, 5_000_000)


async def main(seed: int, seconds: float) -> int:
    """Soak, print the figures, and return the exit code."""
    counts: Counter[str] = Counter()
    end, sizes = time.monotonic() + seconds, list[float]()
    while time.monotonic() < end and not counts["lost"]:
        await _batch(f"{seed}-{len(sizes)}", end, counts)
        sizes.append(psutil.Process().memory_info().rss / 2**20)
    if sizes[-1] - sizes[0] > GROWTH:
        counts["lost"] += 1
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    memory = f"{sizes[0]:.0f} MiB after the first batch, {max(sizes):.0f} at most, {sizes[-1]:.0f} at the end"
    sys.stdout.write(f"seed {seed}, {seconds:g} s: {told}; memory: {memory}\n")
    return 1 if counts["lost"] else 0


async def _batch(name: str, end: float, counts: Counter[str]) -> None:
    """Some rounds with one pair of registries, up to the time ``end``."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        with DockerRegistry(folder / "a") as a, DockerRegistry(folder / "b") as b:
            for number in range(BATCH):
                if time.monotonic() >= end or counts["lost"]:
                    break
                async with asyncio.timeout(PATIENCE):
                    await _round(f"{name}-{number}", folder, (a.host, b.host), counts)
                counts["rounds"] += 1


async def _round(name: str, folder: Path, hosts: tuple[str, str], counts: Counter[str]) -> None:
    """Copy some images with faults in the way, look what came of it, and finish the job without faults."""
    chance = random.Random(name)  # noqa: S311 - keeps no secret
    repository = f"soak/{name}"
    old, made = _made(f"{name}/old", chance), _made(name, chance)
    for tag, image in made.items():
        push(hosts[0], repository, image, tag)
    had = {tag: image for tag, image in old.items() if chance.random() < OLDER}
    for tag, image in had.items():
        push(hosts[1], repository, image, tag)
    limits = replace(SHORT, down=chance.choice(DOWN))
    with RecordingProxy(hosts[0]) as source, RecordingProxy(hosts[1]) as target:
        for _ in range(chance.randint(1, 5)):
            phase, fault = chance.choice(list(PHASES)), chance.choice(list(FAULTS))
            _arm(target if phase in AT_TARGET else source, FAULTS[fault](PHASES[phase]), chance.randint(1, 4))
        armed = [one for proxy in (source, target) for one in proxy.faults]
        before = sum(one.times for one in armed)
        ways = source.host, target.host
        await _copied(folder / f"{name}-faulty", ways, repository, limits)
        counts["faults"] += before - sum(one.times for one in armed)
        for one in armed:
            if one.gate is not None:
                one.gate.open()
        await _compared(hosts[1], repository, made, counts, had, may_lack=True)
        source.faults, target.faults = [], []
        await _copied(folder / f"{name}-clean", ways, repository, LONG)
        await _compared(hosts[1], repository, made, counts, {})


def _made(name: str, chance: random.Random) -> dict[str, Image]:
    return {f"v{number}": images.image(f"{name}/{number}", size=chance.choice(SIZES)) for number in range(TAGS)}


def _arm(proxy: RecordingProxy, fault: Fault, times: int) -> None:
    fault.times = times
    proxy.faults.append(fault)


async def _copied(folder: Path, hosts: tuple[str, str], repository: str, limits: Timeouts) -> None:
    async with Workshop(folder, timeouts=limits) as shop:
        await shop.run(task(hosts[0], (hosts[1],), rule(repository)), retries=2)


async def _compared(
    host: str,
    repository: str,
    made: dict[str, Image],
    counts: Counter[str],
    had: dict[str, Image],
    *,
    may_lack: bool = False,
) -> None:
    """Look what a target has under each tag; where it ``may_lack`` the image, that is what it ``had`` before, whole."""
    async with registries() as clients:
        for tag, image in made.items():
            found = await graph_at(clients, host, repository, tag, image)
            if found.startswith("another") and tag in had:
                found = "old and " + await graph_at(clients, host, repository, tag, had[tag])
            counts["images compared"] += 1
            counts[f"found {found}" if found in {"whole", "nothing", "old and whole"} else "found wrong"] += 1
            before = "old and whole" if tag in had else "nothing"
            if found not in ({"whole", before} if may_lack else {"whole"}):
                counts["lost"] += 1
                sys.stdout.write(f"{repository}:{tag} has {found}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--seconds", type=float, default=3600.0)
    given = parser.parse_args()
    raise SystemExit(asyncio.run(main(given.seed, given.seconds)))
