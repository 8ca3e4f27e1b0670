"""``--report``, ``--failed`` and ``--summary``: what a run leaves behind, also where it cannot begin."""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from dregsy.errors import DregsyError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from dregsy.model.report import Listener
    from dregsy.reload import ConfigFile
    from dregsy.reports.outputs import Outputs


_INTERRUPTED = 130
"""What a command ends with that Ctrl-C ends (128 and the number of the signal)."""


def output_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options; the command gets ``left``, a Left."""

    @functools.wraps(command)
    def with_left(*, report: str, failed: str, summary: bool, **others: Any) -> int:
        return command(left=Left(report, failed, summary=summary), **others)

    text = "Write how the last run of each task ended; the suffix says how: .json, .yaml, .xml (JUnit), .md."
    add_report = click.option("--report", metavar="FILE", default="", help=text)
    text = "Write a config that copies what failed, and nothing else. It may hold logins, as the config does."
    add_failed = click.option("--failed", metavar="FILE", default="", help=text)
    text = "Append tables to the summary of a step in GitHub Actions ($GITHUB_STEP_SUMMARY)."
    add_summary = click.option("--summary", is_flag=True, help=text)
    return add_report(add_failed(add_summary(with_left)))


class Left:
    """What a run leaves behind; nothing is loaded for it unless something is asked for."""

    def __init__(self, report: str, failed: str, *, summary: bool) -> None:
        self._asked = bool(report or failed or summary)
        self._report = report
        self._failed = failed
        self._summary = summary
        self._outputs: Outputs | None = None
        self._final: Future[list[DregsyError]] | None = None
        self._trouble: DregsyError | None = None

    @contextmanager
    def kept(self, config: str | None) -> Iterator[None]:
        """Prove that all can be written, before anything is done, and write also what keeps a run from its end."""
        if self._asked:
            from dregsy.reports.outputs import Outputs, apart

            apart(config or "", self._report, self._failed)
            self._outputs = Outputs(report=self._report, failed=self._failed, summary=self._summary, environ=os.environ)
        try:
            yield
        except DregsyError as error:
            self.finish(error.exit_code, error)
            raise
        except KeyboardInterrupt:
            self.finish(_INTERRUPTED)
            raise

    def listeners(self, file: "ConfigFile", tell: "Listener") -> "list[Listener]":
        """Return what has to hear of the run, if anything has."""
        if self._outputs is None:
            return []
        self._outputs.follow(lambda: file.loaded, tell)
        return [self._outputs]

    async def write(self, code: int, trouble: DregsyError | None = None) -> None:
        """Write all a last time, so that nothing that comes after it can keep that from being done."""
        import asyncio

        self._end(code, trouble)
        if self._final is not None:
            await asyncio.shield(asyncio.wrap_future(self._final))

    def _end(self, code: int, trouble: DregsyError | None) -> None:
        if self._outputs is not None and (self._final is None or trouble is not self._trouble):
            self._trouble, self._final = trouble, self._outputs.write(code, trouble)

    def finish(self, code: int, trouble: DregsyError | None = None) -> int:
        """Write all a last time, and say what could not be written; return the exit code, 1 instead of 0 for that."""
        from dregsy.cli.render import Paint, complaints

        self._end(code, trouble)
        errors = self._final.result() if self._final is not None else []
        for error in errors:
            for line in complaints(error, Paint.on(sys.stderr, os.environ)):
                click.echo(line, err=True, color=True)
        return code or int(bool(errors))
