"""``dregsy plan`` writes down what would be copied, and what that takes."""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dregsy.cli.check import CHANGES
from dregsy.cli.options import (
    config_options,
    detailed_option,
    given,
    json_option,
    only_option,
    shard_option,
    warn,
)
from dregsy.cli.voice import Manner, lines, log_options, on_terminal
from dregsy.errors import Outdated, UsageError

if TYPE_CHECKING:
    from dregsy.cli.render import Paint
    from dregsy.config.load import Loaded
    from dregsy.config.planfile import Origin
    from dregsy.model.digest import Digest
    from dregsy.model.proposal import PlannedCopy, Proposal, Traffic
    from dregsy.model.shard import Shard


@click.command("plan")
@config_options
@only_option
@shard_option
@click.option("-o", "--out", metavar="FILE", default="", help="Write the plan to this file, for 'dregsy apply'.")
@detailed_option
@json_option
@log_options
def command(  # noqa: PLR0913 - one for each option
    config: str | None,
    *,
    strict: bool,
    only: str,
    shard: "Shard | None",
    out: str,
    detailed: bool,
    as_json: bool,
    manner: Manner,
) -> int:
    """Say what would be copied, why, and what that takes; copy nothing.

    Each image is listed with the bytes that its targets need, after what they have, and each registry with the
    requests and pulls that it is going to see. 'dregsy apply FILE' then does what -o wrote, and nothing else.
    """
    import asyncio

    from dregsy import app
    from dregsy.config import planfile
    from dregsy.log import stamp

    if out == "-":
        raise UsageError("-o takes a file", hint="--json writes the plan to the standard output")
    if out and str(planfile.check_place(out)) == os.path.realpath(given(config)):
        raise UsageError(f"the plan would overwrite the config {out}", hint="name another file with -o")
    loaded, origin = read(config, strict=strict, shard=shard)
    warn(loaded)
    work = app.propose(loaded.plan, environ=os.environ, only=only, listeners=[lines(manner, to_stderr=True)])
    proposal = asyncio.run(work)
    if proposal is None:
        click.echo("cut short: there is no plan", err=True)
        return 1
    document = planfile.document(proposal, origin, stamp(time.time()))
    if out:
        planfile.write(out, document)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _show(proposal, out)
    if proposal.failures:
        return 1
    return CHANGES if detailed and proposal.tasks else 0


def read(
    config: str | None, *, strict: bool, shard: "Shard | None" = None, expected: "Digest | None" = None
) -> "tuple[Loaded, Origin]":
    """Read the config file, and tell which it was; raises as ``load`` does, and UsageError for a pipe.

    Outdated where it is not the ``expected`` one: that is found before anything is made of it.
    """
    import hashlib
    import io

    from dregsy.config.files import Files
    from dregsy.config.load import load
    from dregsy.config.planfile import Origin
    from dregsy.config.source import FILE_LIMIT, STDIN
    from dregsy.model.digest import Digest

    file, files = given(config), Files()
    raw = sys.stdin.buffer.read(FILE_LIMIT + 1) if file == STDIN else b""
    if file == STDIN or Path(file).is_file():
        with suppress(OSError, ValueError):  # which load tells
            _expect(expected, file, Digest.of(raw if file == STDIN else files.read(file, FILE_LIMIT + 1)))
    stdin = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8")
    loaded = load(file, environ=os.environ, strict=strict, stdin=stdin, files=files)
    held = hashlib.sha256(raw).digest() if file == STDIN else files.held.get(file)
    if held is None:
        raise UsageError(f"{file} is no file that could be read again", hint="save it; '-' is the standard input")
    now = Digest("sha256", held.hex())
    _expect(expected, file, now)
    plan = loaded.plan.sharded(shard) if shard else loaded.plan
    return replace(loaded, plan=plan), Origin(file, now)


def _expect(expected: "Digest | None", file: str, found: "Digest") -> None:
    if expected is not None and found != expected:
        text = f"{file} is not what the plan was made from: it was {expected}, and is {found}"
        raise Outdated(text, hint="make a new plan, or give the file that was planned with -config")


def _show(proposal: "Proposal", out: str) -> None:
    """Write the plan for people: each image, each registry, and the sum; a table where somebody watches."""
    from dregsy.cli.render import Paint, status_line
    from dregsy.log import described

    paint = Paint.on(sys.stdout, os.environ)
    images = image_table(proposal, paint) if on_terminal(as_json=False) else image_lines(proposal, paint)
    failures = (status_line("failed", described(failure), paint) for failure in proposal.failures)
    for line in (*images, *failures, *traffic_lines(proposal.traffic), total_line(proposal)):
        click.echo(line, color=True)
    if proposal.traffic and proposal.relay != "native":
        click.echo(f"estimated as the native relay copies: relay {proposal.relay} may need more")
    if out and proposal.tasks:
        click.echo(f"to do exactly this: dregsy apply {out}")


def image_lines(proposal: "Proposal", paint: "Paint") -> Iterator[str]:
    """Give a line for each target of each image."""
    from dregsy.cli.render import status_line
    from dregsy.log import label, one_line, size

    for task in proposal.tasks:
        yield f"task {one_line(task.name)!r}"
        for copy in task.copies:
            for target in copy.targets:
                name = f"{label(copy.image)} -> {label(target.ref)}"
                text = f"{name} {copy.source.digest} ({size(target.expected.bytes_written or 0)})"
                yield status_line(str(target.reason), text, paint)


def image_table(proposal: "Proposal", paint: "Paint") -> Iterator[str]:
    """Give the same as a table, for a screen: digests are cut short."""
    from dregsy.log import label, one_line, size

    for task in proposal.tasks:
        yield f"task {one_line(task.name)!r}"
        rows = [
            (label(copy.image), label(target.ref), _short(copy), size(target.expected.bytes_written or 0))
            for copy in task.copies
            for target in copy.targets
        ]
        reasons = [str(target.reason) for copy in task.copies for target in copy.targets]
        lines = _table([("image", "target", "digest", "to write"), *rows], left=3)
        for word, line in zip(["", *reasons], lines, strict=True):
            yield f"  {paint(f'{word:9}', word)}  {line}"


def _short(copy: "PlannedCopy") -> str:
    return "" if copy.source.digest is None else copy.source.digest.hex[:12]


def traffic_lines(traffic: "Sequence[Traffic]") -> Iterator[str]:
    """Give a table of the registries that are going to be asked, and tell which will not allow it."""
    from dregsy.log import size

    if not traffic:
        return
    rows = [("registry", "read", "written", "requests", "pulls", "pulls left")]
    for one in traffic:
        left = "" if one.left is None else str(one.left)
        rows.append((one.host, size(one.bytes_read), size(one.bytes_written), str(one.requests), str(one.pulls), left))
    yield from _table(rows, left=1)
    for one in traffic:
        if one.left is not None and one.pulls > one.left:
            yield f"{one.host} allows {one.left} pulls now, and {one.pulls} are needed: see 'rate-limit', or wait"


def _table(rows: "Sequence[tuple[str, ...]]", *, left: int) -> Iterator[str]:
    """Put rows below each other, the first ``left`` columns flush left, and numbers flush right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:left], widths[:left], strict=True)]
        cells += [cell.rjust(width) for cell, width in zip(row[left:], widths[left:], strict=True)]
        yield "  ".join(cells).rstrip()


def total_line(proposal: "Proposal") -> str:
    """Return the line that sums up a plan."""
    from dregsy.log import size
    from dregsy.model.report import Reason

    counts = [f"{proposal.reasons[reason]} {reason}" for reason in (Reason.MISSING, Reason.CHANGED)]
    counts += [f"{proposal.current} current"]
    counts += [f"{len(proposal.failures)} failed"] if proposal.failures else []
    if not proposal.tasks:
        return f"nothing to copy: {', '.join(counts)}"
    read, written = (sum(getattr(one, name) for one in proposal.traffic) for name in ("bytes_read", "bytes_written"))
    requests, pulls = (sum(getattr(one, name) for one in proposal.traffic) for name in ("requests", "pulls"))
    moved = f"{size(read)} to read, {size(written)} to write"
    return f"{', '.join(counts)}; {moved}; at most {requests} requests, {pulls} of them pulls"
