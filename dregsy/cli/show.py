"""``dregsy show``: what the config file means, after all defaults and replacements."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from dregsy.cli.options import config_options, json_option, only_option, read_config, warn

if TYPE_CHECKING:
    from dregsy.model.notify import Subscription


@click.command("show")
@config_options
@only_option
@json_option
def command(config: str | None, *, strict: bool, only: str, as_json: bool) -> int:
    """Show what the config file means.

    Prints the plan with all defaults filled in and the environment's values replaced, as YAML. Passwords
    are never shown. Needs no network.
    """
    from dregsy import app
    from dregsy.cli.render import plan_data

    loaded = read_config(config, strict=strict)
    warn(loaded)
    plan = replace(loaded.plan, tasks=app.selected(loaded.plan.tasks, only))
    data = {**plan_data(plan), "notify": [_told(one) for one in loaded.notify]}
    if as_json:
        click.echo(json.dumps(data, indent=2))
    else:
        import yaml

        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120), nl=False)
    return 0


def _told(one: "Subscription") -> dict[str, Any]:
    from dregsy.log import duration

    return {"channel": one.channel.name, "on": sorted(map(str, one.on)), "repeat": duration(one.repeat)}
