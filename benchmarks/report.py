"""Turns results into Markdown and JSON."""

import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.measure import MIB, Entry
from benchmarks.peers import OTHERS, OURS, found, version
from benchmarks.result import Goal, Result, fastest
from benchmarks.session import Session

_MET = {True: "met", False: "**not met**", None: "-"}
_HEAD = (
    "| tool | wall s, median (min-max) | x fastest other | processor s | peak MiB | requests, source + target "
    "| MiB from source | MiB to targets | mounts |"
)


def markdown(results: Sequence[Result], session: Session) -> str:
    """All tables, with what they were taken on."""
    parts = [f"{preamble(session)}\n"]
    for result in results:
        parts.append(f"## {result.title}\n")
        if result.entries:
            parts.append(f"{_table(result.entries)}\n")
        if result.goals:
            parts.append(f"{_goals(result.goals)}\n")
        parts += [f"{note}\n" for note in result.notes]
    return "\n".join(parts)


def preamble(session: Session) -> str:
    """The machine, the versions and the command."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = {version(peer): None for peer in found((OURS[0], *OTHERS))}
    runs = f"{session.times} timed runs of each tool"
    machine = f"{os.cpu_count()} processors ({platform.machine()}), {memory:.0f} GiB, Linux {platform.release()}"
    lines = [
        f"- Machine: {machine}, Python {platform.python_version()}; load {os.getloadavg()[0]:.1f} at the end",
        f"- Tools: {'; '.join(versions)}; each registry a docker-registry 2.8 of its own",
        f"- Command: `make bench ARGS={shlex.quote(' '.join(sys.argv[1:]))}`; {runs}",
    ]
    if session.scale != 1 or session.times < 5:
        lines.append(f"- **These are no results**: scale {session.scale:g}, {session.times} runs. They try things out.")
    return "\n".join(lines)


def document(results: Sequence[Result], session: Session) -> str:
    """Everything that was measured, run by run, as JSON."""
    content = {
        "scale": session.scale,
        "preamble": preamble(session).splitlines(),
        "workloads": [
            {
                "title": result.title,
                "goals": [{"goal": goal.text, "figure": goal.figure, "met": goal.met} for goal in result.goals],
                "tools": [_plain(entry) for entry in result.entries],
            }
            for result in results
        ],
    }
    return json.dumps(content, indent=1) + "\n"


def _plain(entry: Entry) -> dict[str, Any]:
    sides = {"source": entry.source, "targets": entry.target}
    return {
        "tool": entry.peer,
        "failure": entry.failure,
        "runs": [{"seconds": run.seconds, "cpu": run.cpu, "peak": run.peak} for run in entry.runs],
        **{
            name: {
                "requests": dict(sorted(tally.by_kind().items())),
                "bytes_up": tally.bytes_up,
                "bytes_down": tally.bytes_down,
                "connections": tally.connections,
                "tls_hellos": tally.hellos,
            }
            for name, tally in sides.items()
            if tally is not None
        },
    }


def _table(entries: Sequence[Entry]) -> str:
    best = fastest(entries)
    rows = [_row(entry, best) for entry in entries]
    return "\n".join([_HEAD, "|---|" + "---:|" * 8, *rows])


def _row(entry: Entry, best: Entry | None) -> str:
    if not entry.runs:
        reason = " ".join(entry.failure.split())[:100] or "no run"
        return f"| {entry.peer} | failed: {reason.replace('|', '/')} |" + " |" * 7
    walls = [run.seconds for run in entry.runs]
    ratio = f"{entry.seconds / best.seconds:.2f}" if best else ""
    cells = [
        entry.peer,
        f"{statistics.median(walls):.2f} ({min(walls):.2f}-{max(walls):.2f})",
        ratio,
        f"{entry.cpu:.2f}",
        f"{entry.peak:.0f}",
        *_counted(entry),
    ]
    return f"| {' | '.join(cells)} |"


def _counted(entry: Entry) -> list[str]:
    if entry.source is None or entry.target is None:
        return ["", "", "", ""]
    return [
        f"{len(entry.source.exchanges)} + {len(entry.target.exchanges)}",
        f"{entry.source.bytes_down / MIB:.1f}",
        f"{entry.target.bytes_up / MIB:.1f}",
        f"{entry.target.mounted}",
    ]


def _goals(goals: Sequence[Goal]) -> str:
    rows = [f"| {goal.text} | {goal.figure} | {_MET[goal.met]} |" for goal in goals]
    return "\n".join(["| goal | figure | |", "|---|---|---|", *rows])
