"""How a command speaks: by live progress, or in lines as flags and the environment's LOG_… want them."""

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import click

if TYPE_CHECKING:
    from dregsy.model.report import Listener

LEVELS = {
    "panic": logging.CRITICAL,
    "fatal": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": 1,
}
FORMATS = ("text", "json")
TRUE = "true"


@dataclass(frozen=True, slots=True)
class Manner:
    """How lines are to look. ``asked_for`` tells that somebody wants lines, whatever the output is.

    ``mistakes`` is what the environment says that means nothing; the default counts there.
    """

    level: int = logging.INFO
    as_json: bool = False
    colour: bool = False
    methods: bool = False
    asked_for: bool = False
    mistakes: tuple[str, ...] = ()

    @classmethod
    def of(cls, environ: Mapping[str, str], level: str | None = None, form: str | None = None) -> Self:
        """Read LOG_LEVEL, LOG_FORMAT, LOG_FORCE_COLORS and LOG_METHODS; flags that are given win over them."""
        mistakes: list[str] = []
        level = level or _known("LOG_LEVEL", LEVELS, environ, mistakes)
        form = form or _known("LOG_FORMAT", FORMATS, environ, mistakes)
        colour = environ.get("LOG_FORCE_COLORS", "").lower() == TRUE and form != "json"
        methods = environ.get("LOG_METHODS", "").lower() == TRUE
        asked_for = bool(level or form or colour or methods or mistakes)
        return cls(LEVELS.get(level, logging.INFO), form == "json", colour, methods, asked_for, tuple(mistakes))


def _known(name: str, known: Mapping[str, int] | tuple[str, ...], environ: Mapping[str, str], wrong: list[str]) -> str:
    """Return the value of a variable when it is a known one; else note what is wrong with it."""
    value = environ.get(name, "")
    if value and value.lower() not in known:
        wrong.append(f"{name} is none of {', '.join(known)}: {value[:40]!r} has no effect")
        return ""
    return value.lower()


def log_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add ``--log-level`` and ``--log-format``; the command gets a ``manner``."""

    @functools.wraps(command)
    def with_manner(*, log_level: str | None, log_format: str | None, **others: Any) -> int:
        return command(manner=Manner.of(os.environ, log_level, log_format), **others)

    level, form = click.Choice([*LEVELS], case_sensitive=False), click.Choice(FORMATS, case_sensitive=False)
    add_level = click.option("--log-level", type=level, help="The least that is logged; else LOG_LEVEL, else info.")
    add_form = click.option("--log-format", type=form, help="How lines are written; else LOG_FORMAT, else text.")
    return add_level(add_form(with_manner))


@contextmanager
def voice(*, as_json: bool, manner: Manner) -> "Iterator[Listener]":
    """Give a listener that shows live progress on a terminal, and elsewhere writes a line per event.

    With ``as_json`` the standard output is left to the result, and the lines go to stderr.
    """
    if on_terminal(as_json=as_json) and not manner.asked_for:
        from dregsy.cli.progress import Progress

        with Progress() as progress:
            yield progress
    else:
        yield lines(manner, to_stderr=as_json)


def lines(manner: Manner, *, to_stderr: bool) -> "Listener":
    """Return a listener that writes a line per event."""
    from dregsy import log

    stream = sys.stderr if to_stderr else sys.stdout
    logger = log.setup(stream, level=manner.level, as_json=manner.as_json, colour=manner.colour, methods=manner.methods)
    for mistake in manner.mistakes:
        logger.error(mistake)
    return log.Narrator(logger)


def on_terminal(*, as_json: bool) -> bool:
    """Whether someone watches who can be shown live progress."""
    return not as_json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
