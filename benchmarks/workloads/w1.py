"""W1, cold: 100 images of five layers of 1-4 MiB, half of them shared, in 20 repositories, to an empty target."""

import os
import random
from collections.abc import Sequence

from benchmarks.bed import Bed
from benchmarks.images import MIB, Stock
from benchmarks.measure import Contest, Entry, cold
from benchmarks.peers import OTHERS, OURS
from benchmarks.result import Goal, Result, against, at_most, fastest, unmeasured
from benchmarks.session import Session

LAYERS = 5
REPOSITORIES = 20
_SHARED_LAYERS = (2, 3)
"""How many layers of an image are shared, in turn: half of all."""


def images(stock: Stock, count: int, repositories: int, name: str = "w1") -> None:
    """Make ``count`` images spread over ``repositories``, with a common layer for every four images."""
    chance = random.Random(name)  # noqa: S311 - sizes, no secret
    common = [stock.layer(f"{name}-common-{number}", _size(chance)) for number in range(max(3, count // 4))]
    for number in range(count):
        shared = chance.sample(common, _SHARED_LAYERS[number % 2])
        own = [stock.layer(f"{name}-{number}-{layer}", _size(chance)) for layer in range(LAYERS - len(shared))]
        repository = f"bench/r{number % repositories:03}"
        stock.image(repository, f"v{number // repositories}", [*shared, *own], config=f"{name}-{number}")


def _size(chance: random.Random) -> int:
    return chance.randrange(MIB, 4 * MIB)


def run(session: Session) -> list[Result]:
    """Copy everything to an empty target, each time to a new one."""
    count = session.many(100, 4)
    repositories = min(REPOSITORIES, count // 2)
    stock = session.stock("w1", lambda stock: images(stock, count, repositories))
    folder = session.folder / "w1"
    with Bed(folder / "bed", session.data("w1")) as bed:
        entries = Contest(bed, stock, folder, cold).entries(session.peers(*OURS, *OTHERS), session.times)
    title = (
        f"W1: {count} images to an empty target ({LAYERS} layers of 1-4 MiB, half shared, {repositories} repositories)"
    )
    return [Result(title, entries, _goals(entries, stock), _notes(entries[0]))]


def _notes(ours: Entry) -> list[str]:
    """Say what of our time is the registries'."""
    if not ours.runs:
        return []
    processors = os.cpu_count() or 1
    busy = (ours.cpu + ours.registries) / (processors * ours.seconds)
    least = ours.registries / processors
    text = (
        f"dregsy and the two registries kept {processors} processors busy for {busy:.0%} of its time. "
        f"{ours.registries:.1f} s of that are the registries': with the same requests, a tool that needed nothing "
        f"itself would take {least:.1f} s."
    )
    return [text]


def _goals(entries: Sequence[Entry], stock: Stock) -> list[Goal]:
    ours = entries[0]
    pairs = stock.blobs()
    unique = len({blob for _, blob in pairs})
    once, near = "no blob fetched twice", "mounted wherever possible"
    goals = [against("at most 0.5x the time of the fastest other tool", ours, fastest(entries), 0.5)]
    if ours.source is None or ours.target is None:
        return [unmeasured(once, "not counted"), unmeasured(near, "not counted"), *goals]
    fetches, possible = ours.source.requests("blobs", method="GET"), len(pairs) - unique
    mounted = ours.target.mounted
    return [
        at_most(f"{once} ({unique} blobs, {fetches} fetches)", ours.source.most_fetches(), 1, "x at most"),
        Goal(near, f"{mounted} of {possible}", mounted >= possible),
        *goals,
    ]
