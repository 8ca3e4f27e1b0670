"""W6, a few news: 20 tags have changed among 2,000 in one repository."""

from collections.abc import Sequence

from benchmarks.bed import Bed, Hosts
from benchmarks.images import Stock
from benchmarks.measure import Contest, Entry, warm
from benchmarks.peers import Peer
from benchmarks.result import Goal, Result, at_most, unmeasured
from benchmarks.session import Session
from benchmarks.workloads import w3
from dregsy.targets import TESTED

CHANGED = 20
REQUESTS_A_CHANGE = 10
"""What one changed image with one new layer may cost on top: at the source its manifest and layer, at the target a
look for each of its four blobs, the upload of one or two in two requests each, and its manifest."""
_REPOSITORY = "bench/t000"


def run(session: Session) -> list[Result]:
    """Bring a target up to date that is nearly so."""
    tags, changed = session.many(w3.TAGS, 10), session.many(CHANGED)
    before = session.stock("w6-before", lambda stock: w3.images(stock, tags, 1)).tags()[_REPOSITORY]

    def fill(stock: Stock) -> None:
        w3.images(stock, tags, 1)
        for number in range(changed):
            layer = stock.layer(f"w6-{number}", 64 * 1024)
            stock.image(_REPOSITORY, f"v{number * (tags // changed):04}", [layer], config=f"w6-{number}")

    stock = session.stock("w6", fill)
    after = stock.tags()[_REPOSITORY]
    moved = {tag: digest for tag, digest in after.items() if before[tag] != digest}

    def prepare(contest: Contest, peer: Peer, hosts: Hosts) -> None:
        contest.bed.reset()
        contest.forget()
        for tag in moved:
            stock.point(_REPOSITORY, tag, before[tag])
        warm(contest, peer, hosts)
        for tag, digest in moved.items():
            stock.point(_REPOSITORY, tag, digest)

    folder = session.folder / "w6"
    with Bed(folder / "bed", session.data("w6"), before=session.data("w6-before")) as bed:
        entries = Contest(bed, stock, folder, prepare).entries(session.peers(*w3.PEERS), session.times)
    return [Result(f"W6: {changed} tags changed among {tags}", entries, _goals(entries, tags, changed))]


def _goals(entries: Sequence[Entry], tags: int, changed: int) -> list[Goal]:
    ours, journal = entries[:2]
    return [
        _extra("without a journal", ours, 2 * tags, changed),
        _extra("with it", journal, tags + round(tags * TESTED), changed),
    ]


def _extra(how: str, entry: Entry, known: int, changed: int) -> Goal:
    """A goal for the requests that come on top of those for tags that did not change."""
    text = f"cost proportional to the {changed}: at most {REQUESTS_A_CHANGE} more requests each, {how}"
    if entry.source is None or entry.target is None:
        return unmeasured(text, "not counted")
    asked = sum(side.requests("manifests", "blobs", "uploads") for side in (entry.source, entry.target))
    return at_most(text, (asked - known) / changed, REQUESTS_A_CHANGE)
