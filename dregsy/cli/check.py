"""``dregsy check`` tells whether the config file is right, and what it would copy."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from dregsy.cli.options import (
    config_options,
    detailed_option,
    json_option,
    only_option,
    read_config,
    shard_option,
    warn,
)
from dregsy.cli.voice import Manner, lines, log_options
from dregsy.errors import ConfigError, Problem, UsageError

if TYPE_CHECKING:
    from dregsy.config.load import Loaded
    from dregsy.model.endpoint import Endpoint
    from dregsy.model.plan import Plan, Task
    from dregsy.model.report import Decision, Outcome
    from dregsy.model.shard import Shard

CHANGES = 2
"""The exit code, with --detailed-exitcode, when there is something to copy."""


@click.command("check")
@config_options
@only_option
@shard_option
@click.option("--diff", is_flag=True, help="Also ask the registries, and list what is missing or changed at targets.")
@detailed_option
@json_option
@log_options
def command(  # noqa: PLR0913 - one for each option
    config: str | None,
    *,
    strict: bool,
    only: str,
    shard: "Shard | None",
    diff: bool,
    detailed: bool,
    as_json: bool,
    manner: Manner,
) -> int:
    """Check the config file; copy nothing.

    All problems of the file, and of the certificates for its registries, are told at once. With --diff the
    registries are asked as well, and each image is listed as missing, changed or current at its target.
    """
    from dregsy import app
    from dregsy.cli.render import Paint, complaints, problem_data

    if detailed and not diff:
        raise UsageError("--detailed-exitcode tells what --diff finds", hint="give both, or use 'dregsy plan'")
    try:
        loaded = read_config(config, strict=strict, shard=shard)
        tasks = app.selected(loaded.plan.tasks, only)
        unusable = tuple(_unusable_certificates(tasks))
        if unusable and not diff:
            raise ConfigError((*loaded.warnings, *unusable))
    except ConfigError as error:
        if not as_json:
            raise
        _write({"valid": False, "problems": [problem_data(problem) for problem in error.problems]})
        return error.exit_code
    if as_json and not diff:
        warnings = [problem_data(warning) for warning in loaded.warnings]
        _write({"valid": True, "tasks": [task.name for task in tasks], "problems": warnings})
        return 0
    warn(loaded)
    if diff:
        for line in complaints(ConfigError(unusable), Paint.on(sys.stderr, os.environ)):
            click.echo(line, err=True, color=True)
        return _diff(loaded, only, manner, detailed=detailed, as_json=as_json)
    click.echo(f"{name_of(config)} is valid: {extent(loaded.plan, tasks)}")
    return 0


def _unusable_certificates(tasks: "tuple[Task, ...]") -> Iterator[Problem]:
    """Look at the certificates for all registries, and tell all that is wrong with them, each thing once."""
    from dregsy.registry import tls

    places: dict[Endpoint, str] = {}
    for task in tasks:
        for endpoint in (task.source, *task.targets):
            places.setdefault(endpoint, task.where)
    once: set[str] = set()
    for endpoint, where in places.items():
        file, _, line = where.rpartition(":")
        for fault in tls.faults(endpoint):
            if fault.message not in once:
                once.add(fault.message)
                yield Problem(file, int(line or 0), endpoint.host, fault.message, fault.hint)


def name_of(config: str | None) -> str:
    """Return what to call the config file in a sentence."""
    return "the standard input" if config == "-" else str(config)


def extent(plan: "Plan", tasks: "tuple[Task, ...]") -> str:
    """Say how much a plan asks for."""
    mappings = sum(len(task.rules) for task in tasks)
    return f"{_counted(len(tasks), 'task')}, {_counted(mappings, 'mapping')}, relay {plan.relay.name}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _diff(loaded: "Loaded", only: str, manner: Manner, *, detailed: bool, as_json: bool) -> int:
    """Compare sources and targets and list what would be copied; 1 when something could not be compared.

    Where it is to be ``detailed``, 2 when something is missing or changed.
    """
    import asyncio

    from dregsy import app
    from dregsy.cli import render

    listing = Listing(as_json=as_json)
    narrator = lines(manner, to_stderr=True)
    work = app.check(loaded.plan, environ=os.environ, found=listing.add, only=only, listeners=[narrator])
    complete = asyncio.run(work)
    code = 0 if complete and not render.failed(listing.counts) else 1
    if detailed and not code and (listing.counts["missing"] or listing.counts["changed"]):
        code = CHANGES
    if as_json:
        _write({"complete": complete, "counts": dict(listing.counts), "images": listing.entries})
    else:
        click.echo(render.finding_counts(listing.counts))
    return code


class Listing:
    """Counts what was found; writes it as it comes, or keeps it for JSON."""

    def __init__(self, *, as_json: bool) -> None:
        from dregsy.cli.render import Paint

        self.counts: Counter[str] = Counter()
        self.entries: list[dict[str, Any]] = []
        self._as_json = as_json
        self._paint = Paint.on(sys.stdout, os.environ)
        self._task: Task | None = None

    def add(self, task: "Task", found: "Decision | Outcome") -> None:
        """Take one image and its targets."""
        from dregsy.cli import render

        entries = render.finding_data(found)
        self.counts.update(entry["status"] for entry in entries)
        if self._as_json:
            self.entries += entries
            return
        if task is not self._task:
            self._task = task
            click.echo(f"task {task.name!r} ({task.where})" if task.where else f"task {task.name!r}")
        for line in render.finding_lines(found, self._paint):
            click.echo(line, color=True)


def _write(data: dict[str, Any]) -> None:
    click.echo(json.dumps(data, indent=2))
