"""``dregsy verify`` tells whether what was mirrored is whole where it is, and mends it if asked to."""

import json
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from dregsy.cli.options import config_options, json_option, only_option, read_config, warn
from dregsy.cli.voice import Manner, lines, log_options

if TYPE_CHECKING:
    from dregsy.model.plan import Task
    from dregsy.verify import Finding

_BAD = ("missing", "broken", "unknown")
"""The states that make the exit code 1 (dregsy.verify.State)."""


@click.command("verify")
@config_options
@only_option
@click.option("--deep", is_flag=True, help="Also read every byte of every layer at the targets, and hash it.")
@click.option("--repair", is_flag=True, help="Copy again what is missing or broken.")
@json_option
@log_options
def command(  # noqa: PLR0913 - one for each option
    config: str | None, *, strict: bool, only: str, deep: bool, repair: bool, as_json: bool, manner: Manner
) -> int:
    """Tell whether the images are whole at their targets.

    For each image that the config file selects at the source, the target's tag, every manifest below it and
    every layer is looked at; what is missing or wrong is told. The exit code is 1 when anything is. Tags of
    targets that the file does not select are neither looked at nor changed.
    """
    import asyncio

    from dregsy import app

    loaded = read_config(config, strict=strict)
    warn(loaded)
    listing = Listing(as_json=as_json)
    work = app.verify(
        loaded.plan,
        environ=os.environ,
        found=listing.add,
        only=only,
        deep=deep,
        repair=repair,
        listeners=[lines(manner, to_stderr=True)],
    )
    complete = asyncio.run(work)
    ok = complete and not any(listing.counts[state] for state in _BAD)
    if as_json:
        data = {"ok": ok, "complete": complete, "counts": dict(listing.counts), "images": listing.entries}
        click.echo(json.dumps(data, indent=2))
    else:
        click.echo(counted(listing.counts) if complete else f"cut short: {counted(listing.counts)}")
    return 0 if ok else 1


class Listing:
    """Counts what was found, and writes what is not whole as it comes, or keeps it for JSON."""

    def __init__(self, *, as_json: bool) -> None:
        from dregsy.cli.render import Paint

        self.counts: Counter[str] = Counter()
        self.entries: list[dict[str, Any]] = []
        self._as_json = as_json
        self._paint = Paint.on(sys.stdout, os.environ)

    def add(self, task: "Task", finding: "Finding") -> None:
        """Take one image at one target."""
        self.counts[str(finding.state)] += 1
        if finding.state == "whole":
            return
        if self._as_json:
            self.entries.append(finding_data(task, finding))
            return
        from dregsy.cli.render import status_line

        for text in finding_lines(finding):
            click.echo(status_line(str(finding.state), text, self._paint), color=True)


def finding_lines(finding: "Finding") -> list[str]:
    """Return what there is to say of an image that is not whole: a line for each part, and one for a failure."""
    from dregsy.log import arrow

    name = arrow(finding.copy, finding.target)
    reasons = [str(fault) for fault in finding.faults]
    if finding.failure is not None:
        where = f" ({finding.copy.where})" if finding.copy.where else ""
        reasons.append(f"{'not mended: ' if finding.faults else ''}{finding.failure}{where}")
    return [f"{name}: {reason}" for reason in reasons]


def finding_data(task: "Task", finding: "Finding") -> dict[str, Any]:
    """Return an image that is not whole as plain data."""
    from dregsy.log import label

    failure = finding.failure
    return {
        "task": task.name,
        "source": label(finding.copy.source),
        "target": None if finding.target is None else label(finding.target),
        "status": str(finding.state),
        "where": finding.copy.where,
        "parts": [
            {
                "status": str(fault.flaw),
                "what": fault.what,
                "digest": None if fault.part is None else str(fault.part),
                "path": [str(digest) for digest in fault.path],
                "reason": fault.reason,
            }
            for fault in finding.faults
        ],
        **({"kind": failure.kind, "error": failure.message, "hint": failure.hint} if failure else {}),
    }


def counted(counts: Counter[str]) -> str:
    """Return the line that sums up what was found."""
    rest = [f"{counts[state]} {state}" for state in ("mended", *_BAD) if counts[state]]
    return ", ".join([f"{counts['whole']} whole", *rest])
