"""``dregsy run``, which is also what ``dregsy -config FILE`` does."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from dregsy.cli.options import config_options, json_option, only_option, read_config, warn

if TYPE_CHECKING:
    from dregsy.model.report import Event, Listener, Report


@click.command("run")
@config_options
@only_option
@click.option(
    "--grace",
    metavar="SECONDS",
    type=click.FloatRange(min=0, max=86400),
    default=25.0,
    show_default=True,
    help="How long copies in flight may go on after SIGTERM or Ctrl-C.",
)
@json_option
def command(config: str | None, *, strict: bool, only: str, grace: float, as_json: bool) -> int:
    """Copy what the config file asks for.

    One-off tasks run once, and the command ends with exit code 0 when everything is in place, else 1.
    With periodic tasks it goes on until it gets a signal.
    """
    import asyncio

    from dregsy import app

    loaded = read_config(config, strict=strict)
    warn(loaded)
    last = LastReports()
    with voice(as_json=as_json) as listener:
        code = asyncio.run(app.run(loaded.plan, environ=os.environ, only=only, listeners=[last, listener], grace=grace))
    conclude(last.reports, code, as_json=as_json)
    return code


class LastReports:
    """A listener that keeps the last report of each task."""

    def __init__(self) -> None:
        self._reports: dict[int, Report] = {}

    def __call__(self, event: "Event") -> None:
        """Keep the report of a task that ended."""
        from dregsy.model.report import TaskFinished

        if isinstance(event, TaskFinished):
            self._reports[id(event.report.task)] = event.report

    @property
    def reports(self) -> "tuple[Report, ...]":
        """The last report of each task, in the order in which they first ended."""
        return tuple(self._reports.values())


@contextmanager
def voice(*, as_json: bool) -> "Iterator[Listener]":
    """Give a listener that shows live progress on a terminal, and elsewhere writes a line per event.

    With ``as_json`` the standard output is left to the result, and the lines go to stderr.
    """
    from dregsy import log

    if on_terminal(as_json=as_json):
        from dregsy.cli.progress import Progress

        with Progress() as progress:
            yield progress
    else:
        yield log.Narrator(log.setup(sys.stderr if as_json else sys.stdout))


def on_terminal(*, as_json: bool) -> bool:
    """Whether someone watches who can be shown live progress."""
    return not as_json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def conclude(reports: "tuple[Report, ...]", code: int, *, as_json: bool) -> None:
    """Write the result of a run: a table and all failures, or JSON."""
    from dregsy.cli import render

    paint = render.Paint.on(sys.stdout, os.environ)
    if as_json:
        click.echo(json.dumps(render.report_data(reports, code), indent=2))
    elif on_terminal(as_json=as_json) and reports:
        click.echo(render.report_text(reports, paint), color=True)
    else:
        for line in render.failure_lines(reports, paint):
            click.echo(line)
