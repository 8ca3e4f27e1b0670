"""``dregsy show``: what the config file means, after all defaults and replacements."""

import json
from dataclasses import replace

import click

from dregsy.cli.options import config_options, json_option, only_option, read_config, warn


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
    data = plan_data(plan)
    if as_json:
        click.echo(json.dumps(data, indent=2))
    else:
        import yaml

        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120), nl=False)
    return 0
