"""W3, warm: 2,000 tags that are all up to date, in one repository and in 200; without a journal and with it.

A third shape is in two servers that list the digests of many tags at once, as Harbor does; docker-registry has no such
list. They are this project's own, in this process, so requests count there and time does not.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bed import Bed, Hosts
from benchmarks.images import Stock
from benchmarks.measure import Contest, Entry, warm
from benchmarks.peers import OTHERS, OURS, Dregsy, Job, clean_environ
from benchmarks.result import Goal, Result, at_most, unmeasured
from benchmarks.session import Session
from dregsy.embedded.images import image, seed
from tests.testbed.usage import used_by
from tests.testbed.vendors.harbor import Harbor

TAGS = 2000
JOURNAL = Dregsy("dregsy, journal", keeps=True)
PEERS = (OURS[0], JOURNAL, *OTHERS)


def images(stock: Stock, tags: int, repositories: int) -> None:
    """Make as many images as ``tags``, each with a manifest of its own, of the same two small layers."""
    layers = [stock.layer(f"w3-{number}", 64 * 1024) for number in range(2)]
    for number in range(tags):
        text = f"image {number}"
        stock.image(f"bench/t{number % repositories:03}", f"v{number // repositories:04}", layers, text=text)


def run(session: Session) -> list[Result]:
    """Look at tags that need nothing."""
    tags = session.many(TAGS, 10)
    shapes = [_shape(session, tags, repositories) for repositories in (1, max(2, tags // 10))]
    return [*shapes, asyncio.run(_listed(session, tags))]


def _shape(session: Session, tags: int, repositories: int) -> Result:
    plural = "repository" if repositories == 1 else "repositories"
    session.say(f"{tags} tags in {repositories} {plural}")
    name = f"w3-{repositories}"
    stock = session.stock(name, lambda stock: images(stock, tags, repositories))
    folder = session.folder / name
    with Bed(folder / "bed", session.data(name), before=session.data(name)) as bed:
        contest = Contest(bed, stock, folder, warm)
        contest.forget()
        entries = contest.entries(session.peers(*PEERS), session.times)
    return Result(f"W3: {tags} unchanged tags in {repositories} {plural}", entries, _goals(entries, tags))


async def _listed(session: Session, tags: int) -> Result:
    """Look at tags of which both registries list the digests."""
    session.say(f"{tags} tags, listed with their digests")
    names = {"bench/listed": [f"v{number:04}" for number in range(tags)]}
    async with Harbor() as source, Harbor() as target:
        for number, tag in enumerate(names["bench/listed"]):
            made = image(f"listed-{number}", layers=1, size=1000)
            for server in (source, target):
                await seed(server, "bench/listed", made, tag)
        job = Job(session.folder / "listed", Hosts(source.host, (target.host,)), names)
        [command] = OURS[0].commands(job)
        environ = clean_environ(job.folder / "home", None)
        usage = await asyncio.to_thread(used_by, command, environ, Path.cwd())
        asked = len(list(source.log)) + len(list(target.log))
    text = "about no requests a tag (at most 0.1)"
    goal = at_most(text, asked / tags, 0.1) if usage.code == 0 else unmeasured(text, usage.output[-200:])
    return Result(f"W3: {tags} unchanged tags in two Harbors", goals=[goal])


def _goals(entries: Sequence[Entry], tags: int) -> list[Goal]:
    ours, journal = entries[:2]
    goals = [
        per_tag("at most 2 requests for manifests a tag without a journal", ours, tags, 2),
        per_tag("at most 1.05 with it", journal, tags, 1.05),
    ]
    return [
        *goals,
        at_most(f"{tags} tags at most 5 s", ours.seconds, 5, " s"),
        at_most("at most 1 ms of processor time a tag", ours.cpu / tags * 1000, 1, " ms"),
    ]


def per_tag(text: str, entry: Entry, tags: int, limit: float) -> Goal:
    """A goal for the requests that are made for manifests."""
    if entry.source is None or entry.target is None:
        return unmeasured(text, "not counted")
    asked = entry.source.requests("manifests") + entry.target.requests("manifests")
    return at_most(text, asked / tags, limit)
