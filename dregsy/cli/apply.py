"""``dregsy apply`` copies what ``dregsy plan`` wrote down, and nothing else."""

import os
from typing import TYPE_CHECKING

import click

from dregsy.cli.options import grace_option, json_option, verified_option, warn
from dregsy.cli.plan import read
from dregsy.cli.run import conclude
from dregsy.cli.voice import Manner, log_options, voice
from dregsy.errors import UsageError

if TYPE_CHECKING:
    from dregsy.config.load import Loaded
    from dregsy.config.planfile import Origin
    from dregsy.model.report import Listener


@click.command("apply")
@click.argument("plan", metavar="PLAN")
@click.option("-c", "--config", metavar="FILE", help="The config file; else the one that the plan names.")
@grace_option
@verified_option
@json_option
@log_options
def command(plan: str, *, config: str | None, grace: float, verified: bool, as_json: bool, manner: Manner) -> int:
    """Copy what a plan says, and nothing else.

    PLAN is a file that 'dregsy plan -o' wrote. Nothing is copied when the config file is another one, or when
    any image at its source or any tag at its target is not as it was planned.
    """
    import asyncio

    from dregsy import app
    from dregsy.config import planfile
    from dregsy.model.report import LastReports

    proposal, origin = planfile.read(plan)
    loaded = _config(config, origin)
    warn(loaded)
    if not proposal.tasks and not proposal.unplanned:
        click.echo("the plan has nothing to copy", err=as_json)
    last = LastReports()
    with voice(as_json=as_json, manner=manner) as listener:
        listeners: list[Listener] = [last, listener]
        work = app.apply(loaded.plan, proposal, environ=os.environ, listeners=listeners, grace=grace, verified=verified)
        code = asyncio.run(work)
    conclude(last.reports, code, as_json=as_json, manner=manner)
    return code


def _config(given: str | None, origin: "Origin") -> "Loaded":
    """Read the config file; Outdated when it is not the one that the plan was made from."""
    if not given and origin.file == "-":
        hint = "give the same file with -config"
        raise UsageError("the plan was made from a config on the standard input", hint=hint)
    return read(given or origin.file, strict=False, expected=origin.digest)[0]
