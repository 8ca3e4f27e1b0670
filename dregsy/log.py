"""Logging as lines of text or JSON, and the Narrator, which tells a run in one line per event.

A line never carries control characters: names and reasons come from registries.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

from dregsy.model.plan import Copy
from dregsy.model.ref import Ref
from dregsy.model.report import (
    Answered,
    CopyFinished,
    CopyFound,
    CopyProgress,
    CopyRetried,
    CopyStarted,
    Event,
    Listening,
    Outcome,
    RelaySaid,
    Reloaded,
    Report,
    Status,
    TaskFinished,
    TaskStarted,
    Warned,
)

_GUESTS = ("botocore", "boto3", "urllib3", "google")
"""Libraries that log warnings with tracebacks, for want of a handler to standard error; their errors are told by us."""

_COLOURS = {logging.ERROR: 31, logging.WARNING: 33, logging.INFO: 36}
_GREY = 90
_BEHIND_LISTENER = 3
"""How far up from a Narrator the function is that sent the event: past ``app``'s distributor."""
_THOUSAND = 1000
_MINUTE = 60


class TextFormatter(logging.Formatter):
    """``2024-05-01T12:00:00Z info    message``; with ``methods`` what logs stands in front of the message."""

    def __init__(self, *, colour: bool = False, methods: bool = False) -> None:
        super().__init__()
        self._colour = colour
        self._methods = methods

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        level = f"{record.levelname.lower():7}"
        if self._colour:
            level = f"\x1b[{_COLOURS.get(record.levelno, _GREY)}m{level}\x1b[0m"
        where = f"{method(record)}: " if self._methods else ""
        line = f"{stamp(record.created)} {level} {where}{one_line(record.getMessage())}"
        return f"{line}\n{traced(self, record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ``time``, ``level``, ``message``, and the event's own fields.

    With ``methods`` there is also ``method``: what logs.
    """

    def __init__(self, *, methods: bool = False) -> None:
        super().__init__()
        self._methods = methods

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        fields: dict[str, Any] = {
            "time": stamp(record.created),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **({"method": method(record)} if self._methods else {}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["exception"] = traced(self, record.exc_info)
        return json.dumps(fields)


def traced(formatter: logging.Formatter, info: Any) -> str:
    """Return a traceback without any login: nobody knows what is in the words of an error that was not expected."""
    from dregsy.registry.conceal import conceal_all

    return conceal_all(formatter.formatException(info))


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines; when nobody reads them any more, or the disk is full, the work itself goes on."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        if not self.stream.closed:
            with suppress(OSError):
                self.stream.write(self.format(record) + "\n")
                self.flush()


def setup(
    stream: TextIO,
    *,
    level: int = logging.INFO,
    as_json: bool = False,
    colour: bool = False,
    methods: bool = False,
) -> logging.Logger:
    """Let all of dregsy log to ``stream``, and return the logger; an earlier set-up is replaced.

    ``colour`` paints levels in lines of text; ``methods`` adds the function that logs.
    """
    handler = LineHandler(stream)
    handler.setFormatter(JsonFormatter(methods=methods) if as_json else TextFormatter(colour=colour, methods=methods))
    for guest in _GUESTS:
        logging.getLogger(guest).addHandler(logging.NullHandler())
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
        if isinstance(event, CopyProgress | Answered):  # nothing comes more often
            return
        for level, message, fields in self._lines(event):
            self._logger.log(level, "%s", message, extra={"fields": fields}, stacklevel=_BEHIND_LISTENER)

    def _lines(self, event: Event) -> "Iterator[_Line]":
        match event:
            case TaskStarted(task):
                self._verbose.discard(task.name)
                self._verbose.update([task.name] if task.verbose else [])
                targets = ", ".join(target.host for target in task.targets)
                text = f"task {task.name!r} started: {task.source.host} -> {targets}"
                yield logging.INFO, text, {"task": task.name}
            case CopyFinished(outcome):
                yield self._level(outcome), f"{WORDS[outcome.status]}: {described(outcome)}", facts(outcome)
            case Warned(task, message):
                yield logging.WARNING, f"task {task!r}: {message}" if task else message, {"task": task}
            case TaskFinished(report):
                level = logging.ERROR if report.failures else logging.INFO
                yield level, f"task {report.task.name!r} finished: {summary(report)}", totals(report)
            case Reloaded(ok, problems):
                first, *rest = reloading(event)
                yield logging.INFO if ok else logging.ERROR, first, {"ok": ok}
                for problem, text in zip(problems, rest, strict=True):
                    yield logging.WARNING if problem.warning else logging.ERROR, text, {"where": problem.file}
            case Listening(url):
                yield logging.INFO, f"status page, metrics and health are at {url}", {"url": url}
            case _:
                yield from self._details(event)

    def _details(self, event: Event) -> "Iterator[_Line]":
        """Lines about what is still on its way."""
        match event:
            case CopyFound(copy) if self._logger.isEnabledFor(logging.DEBUG):
                yield logging.DEBUG, f"found {label(copy.origin)} ({copy.where})", {"task": copy.task}
            case CopyStarted(copy, reasons):
                targets = ", ".join(map(label, copy.targets))
                why = f" ({', '.join(reasons)})" if reasons else ""
                yield logging.DEBUG, f"copying {label(copy.origin)} -> {targets}{why}", {"task": copy.task}
            case CopyRetried(outcome):
                yield logging.WARNING, f"to be tried again: {described(outcome)}", facts(outcome)
            case RelaySaid(copy, line):
                level = logging.INFO if copy.task in self._verbose else logging.DEBUG
                yield level, f"{label(copy.origin)}: {line}", {"task": copy.task}

    def _level(self, outcome: Outcome) -> int:
        match outcome.status:
            case Status.FAILED:
                return logging.ERROR
            case Status.CANCELLED:
                return logging.WARNING
            case Status.CURRENT if outcome.copy.task not in self._verbose:
                return logging.DEBUG
        return logging.INFO


_Line = tuple[int, str, dict[str, Any]]

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
        sent = outcome.moved.bytes_written
        pace = f", {rate(sent, outcome.seconds)}" if sent and outcome.seconds else ""
        text += f" {outcome.moved.digest} ({amount(sent, outcome.seconds)}{pace})"
    return text


def facts(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain data for JSON; what is not known is left out."""
    moved, failure = outcome.moved, outcome.failure
    known: dict[str, Any] = {
        "task": outcome.copy.task,
        "source": label(outcome.copy.origin),
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
    """Return what a run of a task comes to, as plain data for JSON; bytes are None unless all of them are known."""
    moves = [outcome.moved for outcome in report.outcomes if outcome.moved is not None]
    return {
        "task": report.task.name,
        "started": stamp(report.started),
        "seconds": round(report.finished - report.started, 3),
        **{str(status): report.counts[status] for status in Status},
        "bytes_read": _sum(moved.bytes_read for moved in moves),
        "bytes_written": _sum(moved.bytes_written for moved in moves),
        "requests_saved": report.saved,
    }


def _sum(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)


def summary(report: Report) -> str:
    """Say in one line what a run of a task came to."""
    counted = totals(report)
    parts = [f"{report.counts[Status.COPIED]} copied", f"{report.counts[Status.CURRENT]} up to date"]
    parts += [
        f"{report.counts[status]} {WORDS[status]}"
        for status in (Status.FAILED, Status.CANCELLED)
        if report.counts[status]
    ]
    parts += ["cut short before all was looked at"] if report.interrupted else []
    saved = f"; {report.saved} requests saved" if report.saved else ""
    return f"{', '.join(parts)}; {amount(counted['bytes_written'], counted['seconds'])}{saved}"


def reloading(event: Reloaded) -> list[str]:
    """Say what came of reading the config again, and then each problem."""
    errors = sum(not problem.warning for problem in event.problems)
    if event.ok:
        first = f"the config was read again: its tasks run now, {len(event.tasks)} of them"
    else:
        first = f"the config was read again and is NOT used, {errors} to be mended: all goes on as before"
    return [first, *map(str, event.problems)]


def method(record: logging.LogRecord) -> str:
    """Name the function that logs, behind its module."""
    return f"{record.module}.{record.funcName}"


def arrow(copy: Copy, target: Ref | None) -> str:
    """Write ``source -> target``, or the source alone where no target is known."""
    return label(copy.origin) if target is None else f"{label(copy.origin)} -> {label(target)}"


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


def amount(count: int | None, seconds: float) -> str:
    """Write how much moved in which time, or the time alone where nobody counted: ``1.2 kB in 3.0 s``."""
    return f"in {duration(seconds)}" if count is None else f"{size(count)} in {duration(seconds)}"


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
