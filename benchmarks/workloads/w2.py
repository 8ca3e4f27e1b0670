"""W2, bulk: an image with four layers of 256 MiB, over plain http and over TLS."""

from collections.abc import Sequence

from benchmarks.bed import Bed
from benchmarks.images import MIB, Stock
from benchmarks.measure import Contest, cold
from benchmarks.peers import OTHERS, OURS, Peer, SkopeoCopy
from benchmarks.result import Result, against, at_most
from benchmarks.session import Session

LAYERS = 4
MEMORY_LIMIT = 100
_SKOPEO = SkopeoCopy()


def run(session: Session) -> list[Result]:
    """Copy the image to an empty target, each time to a new one."""
    size = session.many(256)

    def fill(stock: Stock) -> None:
        stock.image("bench/big", "v0", [stock.layer(f"w2-{number}", size * MIB) for number in range(LAYERS)])

    stock = session.stock("w2", fill)
    peers = session.peers(OURS[0], _SKOPEO, *OTHERS[1:])
    return [_over(session, stock, peers, tls) for tls in (False, True)]


def _over(session: Session, stock: Stock, peers: Sequence[Peer], tls: bool) -> Result:
    way = "TLS" if tls else "plain http"
    session.say(way)
    folder = session.folder / "w2"
    with Bed(folder / "bed", session.data("w2"), tls=tls) as bed:
        entries = Contest(bed, stock, folder, cold).entries(peers, session.times, count=not tls)
    ours, skopeo = entries[0], next((one for one in entries if one.peer == _SKOPEO.name and one.runs), None)
    return Result(
        f"W2: one image with {LAYERS} layers of {session.many(256)} MiB, {way}",
        entries,
        [
            against(f"{way}: at least as fast as skopeo copy", ours, skopeo, 1.0),
            against(f"{way}: at most 1.3x its processor time", ours, skopeo, 1.3, "cpu"),
            at_most(f"{way}: memory under {MEMORY_LIMIT} MiB", ours.peak, MEMORY_LIMIT, " MiB"),
        ],
        ["Requests are those of the run over plain http: the proxy that counts does not speak TLS."] if tls else (),
    )
