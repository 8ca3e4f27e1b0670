import io
import json
from collections import Counter

import pytest

from dregsy.cli import render
from dregsy.cli.render import Paint
from dregsy.errors import ConfigError, CredentialsError, Problem
from dregsy.model.aws import Aws, AwsIdentity, NewRepository
from dregsy.model.digest import Digest
from dregsy.model.endpoint import Ambient, Anonymous, EcrToken, Endpoint, Given, Login, Secret
from dregsy.model.plan import Copy, Cron, Every, Once, Plan, RelayChoice, Task
from dregsy.model.ref import Ref
from dregsy.model.report import Decision, Failure, Moved, Outcome, Reason, Report, Status
from dregsy.reports.data import report_data
from relays.native.relay import Settings

PLAIN, COLOURED = Paint(), Paint(colour=True)
ONE, OTHER = Ref("b.example", "app", "1"), Ref("c.example", "app", "1")
COPY = Copy("t", Ref("a.example", "app", "1", Digest.of(b"")), (ONE, OTHER), (0, 1), where="f:7")
FAILURE = Failure("unreachable", "no answer", "is it up?")
TASK = Task("nightly", Once(), Endpoint("a.example"), (Endpoint("b.example"),), ())


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "colour"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colour_only_where_it_is_wanted(stream: io.StringIO, environ: dict[str, str], colour: bool) -> None:
    """Colour is for terminals that can show it, and for users who did not refuse it."""
    assert Paint.on(stream, environ).colour is colour


def test_colour_marks_words_with_a_meaning_only() -> None:
    """A word without a meaning stays as it is."""
    assert "\x1b[" in COLOURED("x", "failed")
    assert COLOURED("x", "anything") == PLAIN("x", "failed") == "x"


def test_errors() -> None:
    """An error is one line with its hint, whatever a registry wrote into it."""
    error = CredentialsError("bad\n\x1b[2Jhelper", host="a.example", hint="mend it")

    (line,) = render.complaints(error, PLAIN)

    assert line == r"error: bad \x1b[2Jhelper — mend it"


def test_config_problems() -> None:
    """Each problem of a config is a line, and its severity is told."""
    problems = [Problem("f", 1, "x", "wrong", "so"), Problem("f", 2, "y", "odd", warning=True)]

    assert render.complaints(ConfigError(problems), PLAIN) == ["error: f:1: x: wrong — so", "warning: f:2: y: odd"]
    assert render.problem_data(problems[0]) == {
        "severity": "error",
        "file": "f",
        "line": 1,
        "field": "x",
        "message": "wrong",
        "hint": "so",
    }


def test_findings_have_a_line_per_target() -> None:
    """A comparison is told target by target, also when one of them could not be asked."""
    found = Decision(COPY, (Reason.CHANGED, FAILURE))

    assert render.finding_lines(found, PLAIN) == [
        "  changed    a.example/app:1 -> b.example/app:1",
        "  failed     a.example/app:1 -> c.example/app:1: no answer — is it up? (f:7)",
    ]
    assert [one["status"] for one in render.finding_data(found)] == ["changed", "failed"]
    assert json.dumps(render.finding_data(found))


def test_finding_that_concerns_the_source() -> None:
    """What cannot be found out at the source is a line without a target."""
    found = Outcome(COPY, None, Status.FAILED, failure=FAILURE)

    assert render.finding_lines(found, PLAIN) == ["  failed     a.example/app:1: no answer — is it up? (f:7)"]


@pytest.mark.parametrize(
    ("counts", "text", "failed"),
    [
        ({}, "0 missing, 0 changed, 0 current", False),
        ({"missing": 2, "failed": 1}, "2 missing, 0 changed, 0 current, 1 failed", True),
    ],
)
def test_finding_counts(counts: dict[str, int], text: str, failed: bool) -> None:
    """The sum names what there is to do, and failures where there are any."""
    assert (render.finding_counts(Counter(counts)), render.failed(counts)) == (text, failed)


def reports() -> list[Report]:
    """Make the reports of two tasks."""
    copied = Outcome(COPY, ONE, Status.COPIED, 2.0, Moved(Digest.of(b""), 4_000_000, 4_000_000, 2))
    failed = Outcome(COPY, OTHER, Status.FAILED, 1.0, failure=FAILURE)
    return [Report(TASK, 0.0, 2.0, (copied, failed), ("odd",)), Report(TASK, 0.0, 0.5, ())]


def test_report_table() -> None:
    """The table has a row for each task, and each failure stands under it with reason, hint and place."""
    assert render.report_text(reports(), PLAIN).splitlines() == [
        "task     copied  up to date  failed  cancelled  sent    time   rate",
        "nightly       1           0       1          0  4.0 MB  2.0 s  2.0 MB/s",
        "nightly       0           0       0          0     0 B  0.5 s          ",
        "  failed     a.example/app:1 -> c.example/app:1: no answer — is it up? (f:7)",
    ]


def test_bytes_that_nobody_counted() -> None:
    """A relay that cannot tell how much it sent has not sent nothing: the table says so, and the data has null."""
    report = Report(TASK, 0.0, 2.0, (Outcome(COPY, ONE, Status.COPIED, 2.0, Moved(Digest.of(b""))),))
    row = render.report_text([report], PLAIN).splitlines()[1]

    assert row.split()[5:] == ["unknown", "2.0", "s"]
    assert [task["bytes_written"] for task in report_data([report], 0)["tasks"]] == [None]


def test_report_table_in_colour() -> None:
    """Colour changes no word and no column."""
    plain, coloured = (render.report_text(reports(), paint) for paint in (PLAIN, COLOURED))
    import click

    assert coloured != plain
    assert click.unstyle(coloured) == plain


@pytest.mark.parametrize(
    ("credentials", "text"),
    [
        (Given(Login("bob", Secret("s3cret"))), "user 'bob', password ***"),
        (Anonymous(), "none"),
        (EcrToken(43200), "token from AWS, fetched again every 12 h 0 min"),
        (Ambient(), "docker's config.json, if it has one for this registry"),
    ],
)
def test_logins(credentials: Anonymous | Ambient | Given | EcrToken, text: str) -> None:
    """It is said how a registry is logged in to, but not with what."""
    assert render.login(Endpoint("a.example", credentials=credentials)) == text


def test_what_is_said_of_aws() -> None:
    """Whom AWS is asked as and how repositories are made is shown where it is set."""
    aws = Aws(AwsIdentity("prod", "arn:x"), NewRepository(create=False, scan_on_push=False, tags=(("a", "b"),)))
    endpoint = Endpoint("a.example", credentials=EcrToken(3600), aws=aws)
    task = Task("t", Once(), endpoint, (Endpoint("b.example"),), ())
    shown = render.plan_data(Plan((task,), RelayChoice("native", Settings())))["tasks"][0]

    said = {"profile": "prod", "role-arn": "arn:x", "create": False, "scan-on-push": False, "tags": {"a": "b"}}
    assert shown["source"]["aws"] == said
    assert shown["source"]["login"] == "token from AWS as profile prod, role arn:x, fetched again every 1 h 0 min"
    assert "aws" not in shown["targets"][0]


@pytest.mark.parametrize(
    ("schedule", "text"),
    [(Once(), "once"), (Every(90), "at the start and every 1 min 30 s"), (Cron("@daily"), "by cron: @daily")],
)
def test_when(schedule: Once | Every | Cron, text: str) -> None:
    """It is said in words when a task runs."""
    assert render.when(schedule) == text
