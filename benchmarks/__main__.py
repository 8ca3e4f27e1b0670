"""``make bench``: run the workloads and print the table; ``--write`` puts it into docs/benchmarks.md, too."""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.workloads import Bench, Row

PAGE = Path(__file__).resolve().parent.parent / "docs/benchmarks.md"
WORKLOADS = ("version", "idle", "no_op", "big_layer")


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| figure | dregsy (native relay) | skopeo | our limit |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.ours} | {row.other} | {row.limit} |" for row in rows]
    return "\n".join(lines)


def machine() -> str:
    """What the figures were taken on."""
    skopeo = subprocess.run(["skopeo", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    return (
        f"{os.cpu_count()} processors ({platform.machine()}), {memory} GiB, Python {platform.python_version()}, "
        f"{skopeo}; two docker-registry 2.8 on loopback, plain http"
    )


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="runs of each contender; the median counts")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    parser.add_argument("workload", nargs="*", choices=[*WORKLOADS, []], help="default: all")
    chosen = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), chosen.times)
        with bench.source, bench.target:
            for name in chosen.workload or WORKLOADS:
                print(f"{name} …", file=sys.stderr, flush=True)
                rows += getattr(bench, name)()
    print(table(rows))
    if chosen.write:
        head, mark, _ = PAGE.read_text().partition("<!-- figures -->\n")
        PAGE.write_text(f"{head}{mark}\nMedians of {chosen.times} runs on: {machine()}.\n\n{table(rows)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
