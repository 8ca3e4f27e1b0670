"""Turns results into plain data, which is kept as JSON, and plain data into Markdown.

Each workload says by itself when and how it was measured: figures of some can be taken anew without the rest.
"""

import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import MIB, Entry
from benchmarks.peers import OTHERS, OURS, found, version
from benchmarks.proxy import Tally
from benchmarks.result import Result
from benchmarks.session import Session

_MET = {True: "met", False: "**not met**", None: "-"}
_COLUMNS = (
    "tool",
    "wall s, median (min-max)",
    "x fastest other",
    "processor s",
    "peak MiB",
    "registries' processor s",
    "requests, source + target",
    "MiB from source",
    "MiB to targets",
    "mounts",
)
Plain = dict[str, Any]


def plain(workload: str, results: Sequence[Result], session: Session) -> list[Plain]:
    """Everything that was measured in a workload, table by table and run by run, with how it was."""
    how = {"workload": workload, "scale": session.scale, "times": session.times, "how": _how(session)}
    return [
        {
            **how,
            "title": result.title,
            "goals": [{"goal": goal.text, "figure": goal.figure, "met": goal.met} for goal in result.goals],
            "notes": list(result.notes),
            "tools": [_tool(entry) for entry in result.entries],
        }
        for result in results
    ]


def _how(session: Session) -> str:
    """The machine, the versions and the command."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} processors ({platform.machine()}), {memory:.0f} GiB, Linux {platform.release()}"
    tools = "; ".join(dict.fromkeys(version(peer) for peer in found((OURS[0], *OTHERS))))
    given = {"PYTHON": os.environ.get("PYTHON", ""), "ARGS": " ".join(sys.argv[1:])}
    command = " ".join(["make bench", *(f"{name}={shlex.quote(value)}" for name, value in given.items() if value)])
    return (
        f"{machine}, Python {platform.python_version()}; load {os.getloadavg()[0]:.1f} at the end; {tools}; each "
        f"registry a docker-registry 2.8 of its own; `{command}`, {session.times} timed runs of each tool"
    )


def _tool(entry: Entry) -> Plain:
    runs = [{"seconds": run.seconds, "cpu": run.cpu, "peak": run.peak} for run in entry.runs]
    for run, served in zip(runs, entry.served, strict=False):
        run["registries"] = served
    sides = {"source": entry.source, "targets": entry.target}
    return {
        "tool": entry.peer,
        "failure": entry.failure,
        "runs": runs,
        **{name: _side(tally) for name, tally in sides.items() if tally is not None},
    }


def _side(tally: Tally) -> Plain:
    return {
        "requests": dict(sorted(tally.by_kind().items())),
        "asked": len(tally.exchanges),
        "mounted": tally.mounted,
        "bytes_up": tally.bytes_up,
        "bytes_down": tally.bytes_down,
        "connections": tally.connections,
        "tls_hellos": tally.hellos,
    }


def kept(path: Path, new: Sequence[Plain]) -> list[Plain]:
    """Return what was measured before with what is new in its place, in the order of the workloads."""
    anew = {table["workload"] for table in new}
    before = [table for table in json.loads(path.read_text())["tables"] if table["workload"] not in anew]
    return sorted([*before, *new], key=lambda table: (table["workload"] != "start", table["workload"]))


def document(tables: Sequence[Plain]) -> str:
    """The tables as JSON."""
    return json.dumps({"tables": tables}, indent=1) + "\n"


def markdown(tables: Sequence[Plain]) -> str:
    """The tables as Markdown."""
    parts = []
    for table in tables:
        parts.append(f"## {table['title']}\n")
        if table["tools"]:
            parts.append(f"{_table(table['tools'])}\n")
        if table["goals"]:
            parts.append(f"{_goals(table['goals'])}\n")
        parts += [f"{note}\n" for note in table["notes"]]
        parts.append(f"Measured on {table['how']}.\n")
        if table["scale"] != 1 or table["times"] < 5:
            parts.append("**These are no results**: they try things out.\n")
    return "\n".join(parts)


def _table(tools: Sequence[Plain]) -> str:
    walls = [_median(one, "seconds") for one in tools if one["runs"] and not one["tool"].startswith("dregsy")]
    rows = [_COLUMNS, ("---", *["---:"] * (len(_COLUMNS) - 1)), *(_row(one, min(walls, default=0.0)) for one in tools)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(tool: Plain, best: float) -> Sequence[str]:
    if not tool["runs"]:
        reason = " ".join(tool["failure"].split())[:100] or "no run"
        return [tool["tool"], f"failed: {reason.replace('|', '/')}", *[""] * (len(_COLUMNS) - 2)]
    walls = [run["seconds"] for run in tool["runs"]]
    return [
        tool["tool"],
        f"{statistics.median(walls):.2f} ({min(walls):.2f}-{max(walls):.2f})",
        f"{statistics.median(walls) / best:.2f}" if best else "",
        f"{_median(tool, 'cpu'):.2f}",
        f"{_median(tool, 'peak'):.0f}",
        f"{_median(tool, 'registries'):.2f}" if "registries" in tool["runs"][0] else "",
        *_counted(tool),
    ]


def _median(tool: Plain, figure: str) -> float:
    return float(statistics.median(run[figure] for run in tool["runs"]))


def _counted(tool: Plain) -> list[str]:
    if "source" not in tool or "targets" not in tool:
        return ["", "", "", ""]
    source, targets = tool["source"], tool["targets"]
    return [
        f"{source['asked']} + {targets['asked']}",
        f"{source['bytes_down'] / MIB:.1f}",
        f"{targets['bytes_up'] / MIB:.1f}",
        f"{targets['mounted']}",
    ]


def _goals(goals: Sequence[Mapping[str, Any]]) -> str:
    rows = [f"| {goal['goal']} | {goal['figure']} | {_MET[goal['met']]} |" for goal in goals]
    return "\n".join(["| goal | figure | |", "|---|---|---|", *rows])
