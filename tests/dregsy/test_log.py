import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from dregsy import log
from dregsy.errors import Problem
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Once, Task
from dregsy.model.ref import Ref
from dregsy.model.report import (
    CopyFinished,
    CopyFound,
    CopyProgress,
    CopyRetried,
    CopyStarted,
    Event,
    Failure,
    Moved,
    Outcome,
    Reason,
    RelaySaid,
    Reloaded,
    Report,
    Status,
    TaskFinished,
    TaskStarted,
    Warned,
)

DIGEST = Digest.of(b"x")
SOURCE = Ref.parse(f"a.example/app:1.0@{DIGEST}")
TARGET = Ref.parse("b.example/app:1.0")
COPY = Copy("nightly", SOURCE, (TARGET,), (0,), where="sync.yaml:7")
MOVED = Moved(DIGEST, 2_000_000, 4_000_000, 3, 1, 2)
COPIED = Outcome(COPY, TARGET, Status.COPIED, 2.0, MOVED, Reason.MISSING)
CURRENT = Outcome(COPY, TARGET, Status.CURRENT, 0.1, None, Reason.CURRENT)
FAILED = Outcome(COPY, TARGET, Status.FAILED, 1.0, failure=Failure("unauthorized", "denied", "check 'auth'"))
CANCELLED = Outcome(COPY, TARGET, Status.CANCELLED, 1.0)
TASK = Task("nightly", Once(), Endpoint("a.example"), (Endpoint("b.example"),), ())


@pytest.fixture(autouse=True)
def _leave_logging_alone() -> Iterator[None]:
    logger = logging.getLogger("dregsy")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


def told(*events: Event, level: int = logging.INFO) -> list[dict[str, object]]:
    """Return the JSON lines that a Narrator writes for ``events``."""
    stream = io.StringIO()
    narrator = log.Narrator(log.setup(stream, level=level, as_json=True))
    for event in events:
        narrator(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_text_lines_have_time_level_and_message() -> None:
    """A line of text starts with the time in UTC and the level."""
    stream = io.StringIO()

    log.setup(stream).warning("hello %s", "you")

    stamp, level, message = stream.getvalue().split(maxsplit=2)
    assert (len(stamp), stamp[-1]) == (20, "Z")
    assert (level, message) == ("warning", "hello you\n")


def test_a_line_stays_one_line_and_commands_no_terminal() -> None:
    """What a registry says can neither fake a line nor send escape sequences."""
    stream = io.StringIO()

    log.setup(stream).info("bad\nname \x1b[31m\u202e")

    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().rstrip("\n").isprintable()


@pytest.mark.parametrize("as_json", [True, False])
def test_a_bug_keeps_its_traceback(as_json: bool) -> None:
    """An exception logged with its traceback shows it in both forms."""
    stream = io.StringIO()
    logger = log.setup(stream, as_json=as_json)

    try:
        raise ZeroDivisionError("oops")
    except ZeroDivisionError:
        logger.exception("broken")

    assert "ZeroDivisionError: oops" in stream.getvalue()
    assert "broken" in stream.getvalue()


def test_set_up_twice_logs_once() -> None:
    """A second set-up replaces the first."""
    first, second = io.StringIO(), io.StringIO()
    log.setup(first)

    log.setup(second).info("x")

    assert (first.getvalue(), second.getvalue().count("\n")) == ("", 1)


def test_libraries_do_not_speak_for_themselves() -> None:
    """What a library warns of, with a traceback, is not printed: it becomes an error of ours."""
    code = (
        "import io, logging; from dregsy import log; log.setup(io.StringIO())\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: logging.getLogger('botocore.credentials').warning('no', exc_info=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_level_is_respected() -> None:
    """Lines below the level are not written."""
    assert told(CopyStarted(COPY)) == []
    assert len(told(CopyStarted(COPY), level=logging.DEBUG)) == 1


def test_nobody_reads_any_more() -> None:
    """When the reader of the log goes away, logging falls silent and the work goes on."""
    read, write = os.pipe()
    os.close(read)
    with suppress(BrokenPipeError), os.fdopen(write, "w") as stream:
        logger = log.setup(stream)
        logger.info("one")
        logger.info("two")

    logger.info("three")
    assert stream.closed


def test_task_lines() -> None:
    """A task's start names its registries, its end what it came to."""
    report = Report(TASK, 100.0, 103.5, (COPIED, CURRENT, CURRENT))

    started, finished = told(TaskStarted(TASK), TaskFinished(report))

    assert started["message"] == "task 'nightly' started: a.example -> b.example"
    assert finished["message"] == "task 'nightly' finished: 1 copied, 2 up to date; 4.0 MB in 3.5 s"
    assert tuple(finished[name] for name in ("level", "copied", "current", "failed", "bytes_written")) == (
        "info",
        1,
        2,
        0,
        4_000_000,
    )


def test_saved_requests() -> None:
    """What lists of digests saved is in the summary of a task; nothing is not talked about."""
    (line,) = told(TaskFinished(Report(TASK, 0.0, 1.0, (CURRENT,), saved=190)))

    assert line["message"] == "task 'nightly' finished: 0 copied, 1 up to date; 0 B in 1.0 s; 190 requests saved"
    assert line["requests_saved"] == 190


def test_task_with_failures_ends_with_an_error() -> None:
    """The summary of a task counts failures and what was cancelled, and is an error."""
    (line,) = told(TaskFinished(Report(TASK, 0.0, 0.0, (FAILED, CANCELLED))))

    assert line["level"] == "error"
    assert "0 copied, 0 up to date, 1 failed, 1 cancelled" in str(line["message"])


def test_copied_image() -> None:
    """A copied image has its digest, bytes, time and rate."""
    (line,) = told(CopyFinished(COPIED))

    assert f"copied: a.example/app:1.0 -> b.example/app:1.0 {DIGEST} (4.0 MB in 2.0 s, 2.0 MB/s)" == line["message"]
    assert (str(DIGEST), 4_000_000, 3, 2.0) == tuple(
        line[name] for name in ("digest", "bytes_written", "blobs_moved", "seconds")
    )


def test_copied_without_a_byte() -> None:
    """An image whose blobs were all there already has no rate."""
    (line,) = told(CopyFinished(replace(COPIED, moved=Moved(DIGEST, 0, 0))))

    assert str(line["message"]).endswith("(0 B in 2.0 s)")


def test_copied_by_a_relay_that_counts_nothing() -> None:
    """What is not known is neither shown as nothing nor part of the data, and no sum is made of it."""
    unknown = replace(COPIED, moved=Moved(DIGEST))
    (line,) = told(CopyFinished(unknown))
    (known,) = told(TaskFinished(Report(TASK, 0.0, 3.0, (COPIED,))))
    (mixed,) = told(TaskFinished(Report(TASK, 0.0, 3.0, (COPIED, unknown))))

    assert str(line["message"]).endswith(f"{DIGEST} (in 2.0 s)")
    assert {"bytes_read", "bytes_written", "blobs_moved"}.isdisjoint(line)
    assert (known["bytes_written"], mixed["bytes_written"]) == (4_000_000, None)
    assert "2 copied, 0 up to date; in 3.0 s" in str(mixed["message"])


def test_failed_image() -> None:
    """A failed image has its reason, what to do, and the place in the config file."""
    (line,) = told(CopyFinished(FAILED))

    assert (line["message"], line["level"], line["kind"], line["hint"]) == (
        "failed: a.example/app:1.0 -> b.example/app:1.0: denied — check 'auth' (sync.yaml:7)",
        "error",
        "unauthorized",
        "check 'auth'",
    )


def test_failure_before_any_target() -> None:
    """A failure that concerns no single target names the source alone."""
    (line,) = told(CopyFinished(replace(FAILED, target=None)))

    assert str(line["message"]).startswith("failed: a.example/app:1.0: denied")
    assert "target" not in line


def test_images_up_to_date_are_silent_unless_the_task_is_verbose() -> None:
    """An image that is up to date has a line only in a verbose task."""
    verbose = replace(TASK, verbose=True)

    assert len(told(TaskStarted(TASK), CopyFinished(CURRENT))) == 1
    assert "up to date: " in str(told(TaskStarted(verbose), CopyFinished(CURRENT))[1]["message"])
    assert len(told(TaskStarted(verbose), CopyFinished(CURRENT), TaskStarted(TASK), CopyFinished(CURRENT))) == 3


def test_retries_warnings_and_cancelled_copies_are_warnings() -> None:
    """What is not yet lost is a warning."""
    lines = told(
        CopyRetried(FAILED), Warned("nightly", "no tag matches"), Warned("", "no task"), CopyFinished(CANCELLED)
    )

    assert [line["level"] for line in lines] == ["warning"] * 4
    assert [line["message"] for line in lines[1:3]] == ["task 'nightly': no tag matches", "no task"]


def test_progress_is_for_terminals() -> None:
    """Bytes on their way have no lines."""
    assert told(CopyProgress(COPY, 1, 1), level=logging.DEBUG) == []


def test_image_without_tag_is_named_by_digest() -> None:
    """An image that has a digest only is called by it."""
    assert f"a.example/app@{DIGEST}" == log.label(Ref("a.example", "app", None, DIGEST))


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_940, "99.9 kB"),
        (345_678_900, "346 MB"),
        (999_999, "1.0 MB"),
        (2.5e9, "2.5 GB"),
        (5e15, "5000 TB"),
    ],
)
def test_sizes(count: float, text: str) -> None:
    """Sizes are short, and in decimal units as registries have them."""
    assert text == log.size(count)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (185, "3 min 5 s"), (7380, "2 h 3 min")]
)
def test_durations(seconds: float, text: str) -> None:
    """Times are told in the units that people use."""
    assert text == log.duration(seconds)


def test_rate() -> None:
    """A rate in no time at all is no division by zero."""
    assert (log.rate(4000, 2), log.rate(4000, 0)) == ("2.0 kB/s", "0 B/s")


def test_colours_and_methods() -> None:
    """Levels are painted, and the function that logs is named, where that is wanted."""
    stream = io.StringIO()

    log.setup(stream, colour=True, methods=True).error("x")

    assert "\x1b[31merror  \x1b[0m test_log.test_colours_and_methods: x\n" in stream.getvalue()


def test_decisions_are_told_at_level_debug() -> None:
    """What was found, and why it is copied, has a line for those who look for reasons."""
    found, begun = told(CopyFound(COPY), CopyStarted(COPY, (Reason.CHANGED,)), level=logging.DEBUG)

    assert found["message"] == "found a.example/app:1.0 (sync.yaml:7)"
    assert begun["message"] == "copying a.example/app:1.0 -> b.example/app:1.0 (changed)"


@pytest.mark.parametrize(("verbose", "level"), [(True, "info"), (False, "debug")])
def test_words_of_tools(verbose: bool, level: str) -> None:
    """What a relay's tool prints is for verbose tasks, and for debugging."""
    task = replace(TASK, verbose=verbose)

    line = told(TaskStarted(task), RelaySaid(COPY, "Writing manifest"), level=logging.DEBUG)[-1]

    assert (line["level"], line["message"]) == (level, "a.example/app:1.0: Writing manifest")


def test_config_that_was_read_again() -> None:
    """A new config is told of; a wrong one loudly, with each problem and its line."""
    warning, error = Problem("f.yaml", 1, "a", "odd", warning=True), Problem("f.yaml", 2, "b", "wrong")

    good = told(Reloaded(ok=True, problems=(warning,), tasks=(TASK,)))
    bad = told(Reloaded(ok=False, problems=(warning, error)))

    assert [line["level"] for line in good] == ["info", "warning"]
    assert [line["level"] for line in bad] == ["error", "warning", "error"]
    assert bad[-1]["message"] == "f.yaml:2: b: wrong"
