"""What all workloads of one call share: a folder with images, how often, and at which size."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.images import Stock, stocked
from benchmarks.peers import Peer, found


@dataclass(frozen=True, slots=True)
class Session:
    """``folder`` holds images, which may be there already; ``scale`` below 1 makes workloads smaller."""

    folder: Path
    times: int
    scale: float

    def many(self, count: int, least: int = 1) -> int:
        """How many of ``count`` things there are at this scale."""
        return max(least, round(count * self.scale))

    def data(self, name: str) -> Path:
        """Where the images of a workload are."""
        return self.folder / "images" / name

    def stock(self, name: str, fill: Callable[[Stock], None]) -> Stock:
        """Have the images of a workload made, unless they are there from another time."""
        return stocked(self.data(name), f"1 {name} {self.scale}", fill)

    def peers(self, *peers: Peer) -> Sequence[Peer]:
        """Those of ``peers`` that this machine has."""
        return found(peers)

    def say(self, text: str) -> None:
        """Tell whoever waits what is going on."""
        print(f"  {text}", file=sys.stderr, flush=True)
