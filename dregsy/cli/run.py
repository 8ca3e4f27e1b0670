"""``dregsy run``, which is also what ``dregsy -config FILE`` does."""

import gc
import json
import os
import sys
from typing import TYPE_CHECKING

import click

from dregsy.cli.options import config_options, given, json_option, only_option, warn
from dregsy.cli.voice import Manner, log_options, on_terminal, voice

if TYPE_CHECKING:
    from dregsy.model.report import Report


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
@log_options
def command(config: str | None, *, strict: bool, only: str, grace: float, as_json: bool, manner: Manner) -> int:
    """Copy what the config file asks for.

    One-off tasks run once, and the command ends with exit code 0 when everything is in place, else 1.
    With periodic tasks it goes on until it gets a signal. SIGHUP lets it read the file again and run
    everything anew; with 'watch: true' in the file a change does the same.
    """
    gc.disable()  # what is loaded here stays for good: a collector finds nothing in it, again and again
    import asyncio

    from dregsy import app
    from dregsy.model.report import LastReports
    from dregsy.reload import ConfigFile

    gc.freeze()
    gc.enable()
    file = ConfigFile(given(config), environ=os.environ, strict=strict, stdin=sys.stdin)
    warn(file.loaded)
    last = LastReports()
    with voice(as_json=as_json, manner=manner) as listener:
        code = asyncio.run(app.run(file, environ=os.environ, only=only, listeners=[last, listener], grace=grace))
    conclude(last.reports, code, as_json=as_json, manner=manner)
    return code


def conclude(reports: "tuple[Report, ...]", code: int, *, as_json: bool, manner: Manner) -> None:
    """Write the result of a run: a table and all failures, or JSON; nothing among lines of JSON, which told it."""
    from dregsy.cli import render

    paint = render.Paint.on(sys.stdout, os.environ)
    if as_json:
        click.echo(json.dumps(render.report_data(reports, code), indent=2))
    elif manner.as_json:
        return
    elif on_terminal(as_json=as_json) and reports:
        click.echo(render.report_text(reports, paint), color=True)
    else:
        for line in render.failure_lines(reports, paint):
            click.echo(line)
