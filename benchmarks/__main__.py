"""``make bench``: run the workloads and print the tables; ``--write`` puts them into docs/benchmarks.md, too."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks import report
from benchmarks.result import Result
from benchmarks.session import Session
from benchmarks.workloads import start, w1, w2, w3, w4, w5, w6, w7

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs/benchmarks.md", ROOT / "benchmarks/results.json"
MARK = "<!-- figures -->\n"
WORKLOADS: dict[str, Callable[[Session], list[Result]]] = {
    "start": start.run,
    "W1": w1.run,
    "W2": w2.run,
    "W3": w3.run,
    "W4": w4.run,
    "W5": w5.run,
    "W6": w6.run,
    "W7": w7.run,
}
USUAL = [name for name in WORKLOADS if name != "W7"]


def names(text: str) -> list[str]:
    """Read ``--only``."""
    wanted = text.split(",")
    if unknown := set(wanted) - set(WORKLOADS):
        raise argparse.ArgumentTypeError(f"no workload: {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    return wanted


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only", type=names, default=USUAL, metavar="W1,W3", help="some workloads; W7 takes twenty minutes: only here"
    )
    parser.add_argument("--times", type=int, default=5, help="timed runs of each tool; the median counts (default: 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="below 1: smaller workloads to try things with")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work there, and take its images again next time")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and benchmarks/results.json")
    return parser.parse_args()


def main() -> int:
    """Run what was asked for."""
    chosen = arguments()
    with ExitStack() as stack:
        folder = chosen.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dregsy-bench-")))
        session = Session(folder.resolve(), chosen.times, chosen.scale)
        tables: list[report.Plain] = []
        for name in chosen.only:
            print(f"{name} …", file=sys.stderr, flush=True)
            tables += report.plain(name, WORKLOADS[name](session), session)
    print(report.markdown(tables))
    if chosen.write:
        tables = report.kept(RESULTS, tables)
        head, mark, _ = PAGE.read_text().partition(MARK)
        PAGE.write_text(f"{head}{mark}\n{report.markdown(tables)}")
        RESULTS.write_text(report.document(tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())
