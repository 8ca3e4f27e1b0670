"""W4, far away: as W1, with 40 ms of round-trip time to both registries.

The floor beside our time is what the round trips that must follow each other cost, and what the bytes cost
on this link when nothing is checked: a bare copy of a few large blobs tells the latter.
"""

from benchmarks import bare
from benchmarks.bed import Bed
from benchmarks.images import MIB, Stock
from benchmarks.link import Link, missing
from benchmarks.measure import Contest, cold
from benchmarks.peers import OTHERS, OURS, Dregsy
from benchmarks.result import Goal, Result, against, unmeasured
from benchmarks.session import Session
from benchmarks.workloads import w1

ROUND_TRIP = 0.04
FEWER = Dregsy("dregsy, parallel: 4", parallel=4)
"""What waiting for round trips costs when few images are on their way."""
CRITICAL = 9
"""Round trips that must follow each other for the first image to be there: connect, list the tags, look at
the tag, read the manifest, connect to the target or look for a blob, open an upload, read the blob, send it,
write the manifest."""


def run(session: Session) -> list[Result]:
    """Copy everything to an empty target over the link."""
    title = f"W4: as W1, with {ROUND_TRIP * 1000:.0f} ms of round-trip time to both registries"
    if lack := missing():
        goal = unmeasured("at least 10x faster than skopeo sync; at most 1.5x the floor", f"needs {lack}")
        return [Result(title, goals=[goal])]
    count = session.many(100, 4)
    stock = session.stock("w1", lambda stock: w1.images(stock, count, min(w1.REPOSITORIES, count // 2)))
    folder = session.folder / "w4"
    with Link(ROUND_TRIP / 2) as link:
        rate, trip = _rate(session, link)
        with Bed(folder / "bed", session.data("w1"), link=link) as bed:
            peers = session.peers(*OURS, FEWER, *OTHERS)
            entries = Contest(bed, stock, folder, cold).entries(peers, session.times, count=False)
    ours = entries[0]
    sync = next((entry for entry in entries if entry.peer == "skopeo sync" and entry.runs), None)
    size = stock.size()
    floor = CRITICAL * ROUND_TRIP + size / rate
    text = "at most 1.5x what round trips and bytes need"
    goals = [against("at least 10x faster than skopeo sync", ours, sync, 0.1)]
    if ours.runs:
        goals.append(Goal(text, f"{ours.seconds / floor:.2f}x", ours.seconds <= 1.5 * floor))
    note = (
        f"The floor is {floor:.2f} s: {CRITICAL} round trips, and {size / MIB:.0f} MiB at the {rate / MIB:.0f} MiB/s "
        f"of a bare copy. A round trip took {trip * 1000:.0f} ms. Requests are those of W1."
    )
    return [Result(title, entries, goals, [note])]


def _rate(session: Session, link: Link) -> tuple[float, float]:
    """Bytes a second that a bare copy of large blobs reaches over the link, and the seconds of one round trip."""
    session.say("bare copy")

    def fill(stock: Stock) -> None:
        layers = [stock.layer(f"bare-{number}", session.many(64) * MIB) for number in range(bare.AT_ONCE)]
        stock.image("bench/bare", "v0", layers)

    stock = session.stock("bare", fill)
    with Bed(session.folder / "bare", session.data("bare"), link=link) as bed:
        return stock.size() / bare.copied(bed, stock), bare.round_trip(bed)
