"""What the commands have in common: their options, and reading the config file."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dregsy.errors import UsageError

if TYPE_CHECKING:
    from dregsy.config.load import Loaded

Command = TypeVar("Command", bound=Callable[..., Any])


def config_options(command: Command) -> Command:
    """Add ``--config`` and ``--strict``."""
    add_config = click.option(
        "-c", "--config", metavar="FILE", help="The YAML file to read; '-' is the standard input."
    )
    add_strict = click.option("--strict", is_flag=True, help="Take unknown keys in the file for errors.")
    return add_config(add_strict(command))


def only_option(command: Command) -> Command:
    """Add ``--run``, which picks tasks by name."""
    text = "Only the tasks whose whole name matches this regular expression (RE2); a leading '!' inverts it."
    return click.option("--run", "only", metavar="REGEX", default="", help=text)(command)


def json_option(command: Command) -> Command:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")(command)


def read_config(config: str | None, *, strict: bool) -> "Loaded":
    """Read the config file; ConfigError holds all its problems, UsageError tells that none was given."""
    from dregsy.config.load import load

    return load(given(config), environ=os.environ, strict=strict, stdin=sys.stdin)


def given(config: str | None) -> str:
    """Return the name of the config file; UsageError when there is none."""
    if not config:
        raise UsageError("no config file is given", hint="dregsy -config FILE; 'dregsy --help' tells more")
    return config


def warn(loaded: "Loaded") -> None:
    """Write a file's warnings to stderr."""
    from dregsy.cli.render import Paint, problem_line

    paint = Paint.on(sys.stderr, os.environ)
    for warning in loaded.warnings:
        click.echo(problem_line(warning, paint), err=True, color=True)
