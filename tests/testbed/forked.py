"""The command in a process that was forked from one which has imported it: a start takes 0.4 s of a processor less.

It has arguments, an environment, a folder and streams of its own, and ends as any process does.
"""

import multiprocessing
import os
import pkgutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import dregsy
import relays
from dregsy.cli import main

LAZY = ("boto3", "google.auth.transport.requests")
"""What commands import when they need it."""

_AS_PYTHON_DOES = ("r", -1, "surrogateescape"), ("w", -1, "surrogateescape"), ("w", 1, "backslashreplace")
"""How it opens the standard streams where the language is C.UTF-8: mode, buffering, errors."""

_TURN = threading.Lock()
"""Whoever starts a process also looks which others have ended, and of each that can be read once."""


class Ended(NamedTuple):
    """Exit code (negative after a signal), and what was written."""

    code: int
    out: bytes
    err: bytes


class Streams(NamedTuple):
    """The files that are standard input, output and error output."""

    given: Path
    out: Path
    err: Path


def run(arguments: Sequence[str], *, environ: Mapping[str, str], folder: Path, stdin: bytes, seconds: float) -> Ended:
    """Run ``dregsy`` to its end; TimeoutError when that takes longer than so many seconds."""
    with TemporaryDirectory() as place:
        streams = Streams(*(Path(place) / name for name in Streams._fields))
        streams.given.write_bytes(stdin)
        process = _server().Process(target=_become, args=(tuple(arguments), dict(environ), folder, streams))
        with _TURN:
            process.start()
        is_late = not wait([process.sentinel], seconds)
        if is_late:
            process.kill()
        with _TURN:
            process.join()
            code = process.exitcode
            process.close()
        if is_late:
            raise TimeoutError(f"dregsy {' '.join(arguments)} took longer than {seconds} s")
        assert code is not None  # it has ended
        return Ended(code, streams.out.read_bytes(), streams.err.read_bytes())


def suits(environ: Mapping[str, str]) -> bool:
    """Whether an environment says nothing that counts before the first line of the command: no PYTHONPATH or such."""
    return environ.get("LANG") == "C.UTF-8" and not any(name.startswith(("PYTHON", "LC_", "LD_")) for name in environ)


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_modules(), *LAZY])
    return context


def _modules() -> Iterator[str]:
    for package in (dregsy, relays):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield found.name


def _become(arguments: Sequence[str], environ: Mapping[str, str], folder: Path, streams: Streams) -> None:
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    os.chdir(folder)
    for number, file in enumerate(streams):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, buffering, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115 - to be closed last
        for number, (mode, buffering, errors) in enumerate(_AS_PYTHON_DOES)
    )
    sys.argv = ["dregsy", *arguments]
    sys.exit(main())
