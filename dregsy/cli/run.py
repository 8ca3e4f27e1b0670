"""``dregsy run``, which is also what ``dregsy -config FILE`` does."""

import gc
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from dregsy.cli.options import (
    config_options,
    given,
    grace_option,
    json_option,
    only_option,
    shard_option,
    verified_option,
    warn,
)
from dregsy.cli.outputs import Left, output_options
from dregsy.cli.voice import Manner, log_options, on_terminal, voice
from dregsy.errors import DregsyError, UsageError

if TYPE_CHECKING:
    from dregsy.config.load import Loaded
    from dregsy.model.listen import Listen
    from dregsy.model.plan import Plan
    from dregsy.model.report import Event, Listener, Report
    from dregsy.model.shard import Shard
    from dregsy.orders import Orders


@click.command("run")
@config_options
@only_option
@shard_option
@grace_option
@click.option(
    "--listen",
    metavar="[HOST]:PORT",
    default="",
    help="Serve the status page, /metrics, /healthz and /readyz at this address; without HOST for this machine only.",
)
@verified_option
@output_options
@json_option
@log_options
def command(  # noqa: PLR0913 - one for each option
    config: str | None,
    *,
    strict: bool,
    only: str,
    shard: "Shard | None",
    grace: float,
    listen: str,
    verified: bool,
    left: Left,
    as_json: bool,
    manner: Manner,
) -> int:
    """Copy what the config file asks for.

    One-off tasks run once, and the command ends with exit code 0 when everything is in place, else 1.
    With periodic tasks it goes on until it gets a signal. SIGHUP lets it read the file again and run
    everything anew; with 'watch: true' in the file a change does the same.
    """
    gc.disable()  # what is loaded here stays for good: a collector finds nothing in it, again and again
    import asyncio

    import dregsy.app
    from dregsy.model.report import LastReports
    from dregsy.reload import ConfigFile

    gc.freeze()
    gc.enable()
    address = _address(listen)
    with left.kept(config):
        file = ConfigFile(given(config), environ=os.environ, strict=strict, stdin=sys.stdin, shard=shard)
        warn(file.loaded)
        last = LastReports()
        with voice(as_json=as_json, manner=manner) as listener:
            address = _with_token(address, file.loaded.plan.listen)
            run = partial(dregsy.app.run, file, environ=os.environ, only=only, grace=grace, verified=verified)
            listeners: list[Listener] = [last, listener, *left.listeners(file, listener)]
            told = partial(_told, run, file.loaded, (file.identity, str(shard), only), left)
            code = asyncio.run(_served(told, file.loaded.plan, address, only, listeners))
        conclude(last.reports, code, as_json=as_json, manner=manner)
        return left.finish(code)


def _address(text: str) -> "Listen | None":
    """Read what ``--listen`` says; UsageError when it is no address."""
    from dregsy.model.listen import Listen

    try:
        return Listen.parse(text) if text else None
    except ValueError as error:
        hint = "give ':8080', or '0.0.0.0:8080' to be reached from other machines"
        raise UsageError(f"--listen {text!r} {error}", hint=hint) from None


def _with_token(flag: "Listen | None", key: "Listen | None") -> "Listen | None":
    """The address of ``--listen`` wins over that of the file; the token stands in the file alone."""
    return replace(flag, token=key.token) if flag is not None and key is not None else flag or key


async def _served(
    run: "Callable[..., Awaitable[int]]",
    plan: "Plan",
    address: "Listen | None",
    only: str,
    listeners: "Sequence[Listener]",
) -> int:
    """Do the run, and meanwhile serve at the address, if there is one."""
    if address is None:
        return await run(listeners=listeners)

    from dregsy.app import selected
    from dregsy.model.report import Listening
    from dregsy.orders import Orders
    from dregsy.web.serving import serving

    orders = Orders()
    tell = partial(_tell, listeners)
    async with serving(address, plan, selected(plan.tasks, only), orders, tell) as (url, watching):
        tell(Listening(url))
        return await run(listeners=[*listeners, *watching], orders=orders)


async def _told(
    run: "Callable[..., Awaitable[int]]",
    loaded: "Loaded",
    identity: "Sequence[str]",
    left: Left,
    *,
    listeners: "Sequence[Listener]",
    orders: "Orders | None" = None,
) -> int:
    """Do the run, and have the ends of tasks told to those whom the file names, if it names anybody.

    ``identity`` tells apart the runs that share a folder for their state. What is to be ``left`` is written before the
    end waits for messages.
    """
    if not loaded.notify:
        return await run(listeners=listeners, orders=orders)

    from dregsy.ending import until_signalled
    from dregsy.notify.memory import Memory, file_for
    from dregsy.notify.notifier import Ways, notifying

    plan = loaded.plan
    certs = next((task.source.certs for task in plan.tasks), ())  # they are the relay's, and the same for all
    memory = Memory(file_for(plan.state.path, *identity) if plan.state else None)
    tell = partial(_tell, listeners)
    async with notifying(loaded.notify, memory, Ways(os.environ, certs), tell, plan.tasks) as notifier:
        trouble: DregsyError | None = None
        try:
            code = await run(listeners=[*listeners, notifier], orders=orders)
        except DregsyError as error:
            code, trouble = error.exit_code, error
        async with until_signalled(0.0, tell):  # who signals now does not want to wait
            await left.write(code, trouble)
            await notifier.flush()
        if trouble is not None:
            raise trouble
        return code


def _tell(listeners: "Sequence[Listener]", event: "Event") -> None:
    for listener in listeners:
        listener(event)


def conclude(reports: "tuple[Report, ...]", code: int, *, as_json: bool, manner: Manner) -> None:
    """Write the result of a run: a table and all failures, or JSON; nothing among lines of JSON, which told it."""
    from dregsy.cli import render

    paint = render.Paint.on(sys.stdout, os.environ)
    if as_json:
        from dregsy.reports.data import report_data

        click.echo(json.dumps(report_data(reports, code), indent=2))
    elif manner.as_json:
        return
    elif on_terminal(as_json=as_json) and reports:
        click.echo(render.report_text(reports, paint), color=True)
    else:
        for line in render.failure_lines(reports, paint):
            click.echo(line)
