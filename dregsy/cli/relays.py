"""``dregsy relays``: which relays are installed, what they can do, and whether they work here."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import click

from dregsy.cli.options import config_options, read_config, warn
from dregsy.cli.voice import on_terminal

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from dregsy.model.plan import RelayChoice
    from dregsy.relay import Relay

SECONDS = 30.0
"""How long a relay may take to start."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A relay, the package that it comes from, and what is known about it; ``why`` it does not ``work``."""

    name: str
    package: str
    version: str
    chosen: bool = False
    features: tuple[str, ...] = ()
    works: bool = False
    why: str = ""
    hint: str = ""


@click.command("relays")
@config_options
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="How the list is written: a table on a terminal and a line for each elsewhere, or JSON.",
)
def command(config: str | None, *, strict: bool, form: str) -> int:
    """List the relays that are installed.

    For each its package and features, and whether it works here: it is started and ended, with its
    settings in the config file if there is one, else with those that count without any. No image is copied.
    """
    import asyncio

    choices: dict[str, RelayChoice] = {}
    chosen = ""
    if config:
        loaded = read_config(config, strict=strict)
        warn(loaded)
        chosen = loaded.plan.relay.name
        choices = {choice.name: choice for choice in (*loaded.relays, loaded.plan.relay)}
    found = asyncio.run(_survey(choices, chosen))
    if form == "json":
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        for line in table(found) if on_terminal(as_json=False) else map(described, found):
            click.echo(line)
    return 0


async def _survey(choices: "Mapping[str, RelayChoice]", chosen: str) -> list[Installed]:
    """Try all relays that are installed, at the same time."""
    import asyncio

    from dregsy import relay

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_examined(_known(point, chosen), choices.get(point.name)))
            for point in relay.installed().values()
        ]
    return [task.result() for task in tasks]


def _known(point: "EntryPoint", chosen: str) -> Installed:
    package, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
    return Installed(point.name, package, version, chosen=point.name == chosen)


async def _examined(one: Installed, choice: "RelayChoice | None") -> Installed:
    """Find out about a relay. Whatever a guest does wrong is told: nobody knows what that may be."""
    import asyncio

    (kind,) = await asyncio.gather(_loaded(one.name), return_exceptions=True)
    if isinstance(kind, BaseException):
        return _broken(one, kind)
    (features,) = await asyncio.gather(_features(kind), return_exceptions=True)
    if isinstance(features, BaseException):
        return _broken(one, features)
    one = replace(one, features=features)
    (trouble,) = await asyncio.gather(_proved(one.name, kind, choice), return_exceptions=True)
    return _broken(one, trouble) if isinstance(trouble, BaseException) else replace(one, works=True)


async def _loaded(name: str) -> "type[Relay]":
    from dregsy import relay

    return relay.load(name)


async def _features(kind: "type[Relay]") -> tuple[str, ...]:
    return tuple(sorted(str(feature) for feature in kind.features))


async def _proved(name: str, kind: "type[Relay]", choice: "RelayChoice | None") -> None:
    import asyncio

    from dregsy import app
    from dregsy.config.relays import defaults

    async with asyncio.timeout(SECONDS):
        await app.prove(choice or defaults(name, kind), environ=os.environ)


def _broken(one: Installed, error: BaseException) -> Installed:
    """Say why a relay does not work."""
    from dregsy.errors import DregsyError, printable

    if isinstance(error, DregsyError):
        return replace(one, why=error.message, hint=error.hint)
    if isinstance(error, TimeoutError):
        return replace(one, why=f"it did not start within {SECONDS:g} s")
    said = " ".join(printable(f"{type(error).__name__}: {error}").split())
    return replace(one, why=f"it has a bug: {said}", hint=f"tell the authors of {one.package}" if one.package else "")


def described(one: Installed) -> str:
    """Return the line that tells of a relay."""
    origin = f"{one.package} {one.version}".strip() or "an unknown package"
    chosen = ", chosen by the config" if one.chosen else ""
    return f"{one.name} ({origin}{chosen}): {_state(one)}; features: {', '.join(one.features) or 'none'}"


def _state(one: Installed) -> str:
    if one.works:
        return "works"
    return f"does not work: {_reason(one)}"


def _reason(one: Installed) -> str:
    from dregsy.log import one_line

    return one_line(f"{one.why} — {one.hint}" if one.hint else one.why)


def table(found: Sequence[Installed]) -> list[str]:
    """Return the lines of a table, with the reason below each relay that does not work."""
    head = ("relay", "package", "works", "features")
    rows = [
        (
            f"{one.name} *" if one.chosen else one.name,
            f"{one.package} {one.version}".strip(),
            "yes" if one.works else "no",
            ", ".join(one.features),
        )
        for one in found
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(head, widths, strict=True)).rstrip()]
    for one, row in zip(found, rows, strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        lines += [] if one.works else [f"  {_reason(one)}"]
    return [*lines, "* chosen by the config"] if any(one.chosen for one in found) else lines
