"""Logging as lines of text or JSON, and the Narrator, which tells a run in one line per event.

A line never carries control characters: names and reasons come from registries.
"""

import json
import logging
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

from dregsy.model.plan import Copy
from dregsy.model.ref import Ref
from dregsy.model.report import (
    CopyFinished,
    CopyProgress,
    CopyRetried,
    CopyStarted,
    Event,
    Outcome,
    Report,
    Status,
    TaskFinished,
    TaskStarted,
    Warned,
)

_THOUSAND = 1000
_MINUTE = 60


class TextFormatter(logging.Formatter):
    """``2024-05-01T12:00:00Z info message``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line = f"{stamp(record.created)} {record.levelname.lower():7} {one_line(record.getMessage())}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ``time``, ``level``, ``message``, and the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        fields: dict[str, Any] = {
            "time": stamp(record.created),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines; when nobody reads them any more, the work itself goes on."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        if not self.stream.closed:
            with suppress(BrokenPipeError):
                self.stream.write(self.format(record) + "\n")
                self.flush()


def setup(stream: TextIO, *, level: int = logging.INFO, as_json: bool = False) -> logging.Logger:
    """Let all of dregsy log to ``stream``, and return the logger; an earlier set-up is replaced."""
    handler = LineHandler(stream)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logger = logging.getLogger("dregsy")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    return logger


class Narrator:
    """A listener that writes what happens to a logger: a line for each image, except those up to date.

    Those are counted in the summary of their task; a ``verbose`` task has a line for them as well.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._verbose: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Tell of one event."""
        match event:
            case TaskStarted(task):
                self._verbose.discard(task.name)
                self._verbose.update([task.name] if task.verbose else [])
                targets = ", ".join(target.host for target in task.targets)
                self._log(logging.INFO, f"task {task.name!r} started: {task.source.host} -> {targets}", task=task.name)
            case CopyStarted(copy):
                targets = ", ".join(label(target) for target in copy.targets)
                self._log(logging.DEBUG, f"copying {label(copy.source)} -> {targets}", task=copy.task)
            case CopyRetried(outcome):
                self._log(logging.WARNING, f"to be tried again: {described(outcome)}", **facts(outcome))
            case CopyFinished(outcome):
                self._log(self._level(outcome), f"{WORDS[outcome.status]}: {described(outcome)}", **facts(outcome))
            case Warned(task, message):
                self._log(logging.WARNING, f"task {task!r}: {message}" if task else message, task=task)
            case TaskFinished(report):
                self._log(
                    logging.ERROR if report.failures else logging.INFO,
                    f"task {report.task.name!r} finished: {summary(report)}",
                    **totals(report),
                )
            case CopyProgress():
                pass

    def _level(self, outcome: Outcome) -> int:
        match outcome.status:
            case Status.FAILED:
                return logging.ERROR
            case Status.CANCELLED:
                return logging.WARNING
            case Status.CURRENT if outcome.copy.task not in self._verbose:
                return logging.DEBUG
        return logging.INFO

    def _log(self, level: int, message: str, **fields: Any) -> None:
        self._logger.log(level, "%s", message, extra={"fields": fields})


WORDS = {
    Status.COPIED: "copied",
    Status.CURRENT: "up to date",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}
"""What each status is called in front of users."""


def described(outcome: Outcome) -> str:
    """Say all about an outcome except its status."""
    text = arrow(outcome.copy, outcome.target)
    if outcome.failure is not None:
        text += f": {outcome.failure}"
        text += f" ({outcome.copy.where})" if outcome.copy.where else ""
    elif outcome.moved is not None and outcome.status is Status.COPIED:
        moved = outcome.moved
        pace = f", {rate(moved.bytes_written, outcome.seconds)}" if moved.bytes_written and outcome.seconds else ""
        text += f" {moved.digest} ({size(moved.bytes_written)} in {duration(outcome.seconds)}{pace})"
    return text


def facts(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain data for JSON; what is not known is left out."""
    moved, failure = outcome.moved, outcome.failure
    known: dict[str, Any] = {
        "task": outcome.copy.task,
        "source": label(outcome.copy.source),
        "target": None if outcome.target is None else label(outcome.target),
        "status": str(outcome.status),
        "reason": None if outcome.reason is None else str(outcome.reason),
        "digest": None if moved is None else str(moved.digest),
        "seconds": round(outcome.seconds, 3),
        "where": outcome.copy.where or None,
    }
    if moved is not None:
        names = ("bytes_read", "bytes_written", "blobs_moved", "blobs_mounted", "blobs_skipped")
        known |= {name: getattr(moved, name) for name in names}
    if failure is not None:
        known |= {"kind": failure.kind, "error": failure.message, "hint": failure.hint or None}
    return {name: value for name, value in known.items() if value is not None}


def totals(report: Report) -> dict[str, Any]:
    """Return what a run of a task comes to, as plain data for JSON."""
    moves = [outcome.moved for outcome in report.outcomes if outcome.moved is not None]
    return {
        "task": report.task.name,
        "started": stamp(report.started),
        "seconds": round(report.finished - report.started, 3),
        **{str(status): report.counts[status] for status in Status},
        "bytes_read": sum(moved.bytes_read for moved in moves),
        "bytes_written": sum(moved.bytes_written for moved in moves),
        "requests_saved": report.saved,
    }


def summary(report: Report) -> str:
    """Say in one line what a run of a task came to."""
    counted = totals(report)
    parts = [f"{report.counts[Status.COPIED]} copied", f"{report.counts[Status.CURRENT]} up to date"]
    parts += [
        f"{report.counts[status]} {WORDS[status]}"
        for status in (Status.FAILED, Status.CANCELLED)
        if report.counts[status]
    ]
    saved = f"; {report.saved} requests saved" if report.saved else ""
    return f"{', '.join(parts)}; {size(counted['bytes_written'])} in {duration(counted['seconds'])}{saved}"


def arrow(copy: Copy, target: Ref | None) -> str:
    """Write ``source -> target``, or the source alone where no target is known."""
    return label(copy.source) if target is None else f"{label(copy.source)} -> {label(target)}"


def label(ref: Ref) -> str:
    """Name an image as its user does: by its tag, or by its digest if it has no tag."""
    return str(ref if ref.tag is None else ref.with_tag(ref.tag))


def one_line(text: str) -> str:
    """Replace whatever would break a line or command a terminal."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else " " for sign in text)


def stamp(moment: float) -> str:
    """Write seconds since the epoch as a date and time in UTC, to the second."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def size(count: float) -> str:
    """Write a number of bytes for people: ``0 B``, ``1.2 kB``, ``345 MB``."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while round(count) >= _THOUSAND and len(units) > 1:
        count /= _THOUSAND
        units.pop(0)
    digits = 0 if units[0] == "B" or round(count, 1) >= 100 else 1
    return f"{count:.{digits}f} {units[0]}"


def rate(count: float, seconds: float) -> str:
    """Write how fast ``count`` bytes went in ``seconds``."""
    return f"{size(count / seconds if seconds > 0 else 0)}/s"


def duration(seconds: float) -> str:
    """Write a time for people: ``0.4 s``, ``12 s``, ``3 min 5 s``, ``2 h 3 min``."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    if minutes < _MINUTE:
        return f"{minutes} min {rest} s"
    return f"{minutes // _MINUTE} h {minutes % _MINUTE} min"
