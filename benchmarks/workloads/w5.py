"""W5, fan-out: 30 images as those of W1 from one source to three empty targets."""

from benchmarks.bed import Bed
from benchmarks.measure import Contest, cold
from benchmarks.peers import OTHERS, OURS
from benchmarks.result import Result, at_most, unmeasured
from benchmarks.session import Session
from benchmarks.workloads import w1

TARGETS = 3


def run(session: Session) -> list[Result]:
    """Copy everything to three targets."""
    count = session.many(30, 4)
    stock = session.stock("w5", lambda stock: w1.images(stock, count, min(w1.REPOSITORIES, count // 2), "w5"))
    folder = session.folder / "w5"
    with Bed(folder / "bed", session.data("w5"), targets=TARGETS) as bed:
        entries = Contest(bed, stock, folder, cold).entries(session.peers(*OURS, *OTHERS), session.times)
    text, ours = "the source sends the bytes of one copy", entries[0]
    goal = unmeasured(text, "not counted")
    if ours.source is not None:
        blobs = sum(one.bytes_down for one in ours.source.exchanges if one.kind == "blobs")
        goal = at_most(text, blobs / stock.size(), 1.0, "x")
    return [Result(f"W5: {count} images from one source to {TARGETS} empty targets", entries, [goal])]
