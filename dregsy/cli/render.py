"""What users read: errors, decisions, reports and plans, as text for people and as data for JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TextIO

import click

from dregsy.errors import ConfigError, DregsyError, Problem
from dregsy.log import WORDS, described, duration, facts, one_line, rate, size, totals
from dregsy.model.aws import Aws
from dregsy.model.endpoint import Ambient, Anonymous, EcrToken, Endpoint, Given
from dregsy.model.listen import Listen
from dregsy.model.plan import Cron, Every, Once, Plan, Rule, Schedule, Task
from dregsy.model.report import Decision, Failure, Outcome, Report, Status

_DAY = 86400
COLOURS = {
    "copied": "green",
    "current": "bright_black",
    "missing": "green",
    "changed": "yellow",
    "failed": "red",
    "cancelled": "yellow",
    "mended": "green",
    "broken": "red",
    "unknown": "yellow",
    "error": "red",
    "warning": "yellow",
}


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours words by their meaning, or leaves them alone."""

    colour: bool = False

    @classmethod
    def on(cls, stream: TextIO, environ: Mapping[str, str]) -> Self:
        """Use colour on a terminal, unless NO_COLOR is set or the terminal is a dumb one."""
        return cls(stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb")

    def __call__(self, text: str, meaning: str) -> str:
        """Return ``text`` in the colour of ``meaning``."""
        return click.style(text, fg=COLOURS.get(meaning)) if self.colour and meaning in COLOURS else text


def complaints(error: DregsyError, paint: Paint) -> list[str]:
    """Return the lines that tell of an error; a config's problems have one each."""
    if isinstance(error, ConfigError):
        return [problem_line(problem, paint) for problem in error.problems]
    return [f"{paint('error', 'error')}: {one_line(str(error))}"]


def problem_line(problem: Problem, paint: Paint) -> str:
    """Return the line that tells of a problem or a warning in a file."""
    severity = "warning" if problem.warning else "error"
    return f"{paint(severity, severity)}: {one_line(str(problem))}"


def problem_data(problem: Problem) -> dict[str, Any]:
    """Return a problem as plain data."""
    return {
        "severity": "warning" if problem.warning else "error",
        "file": problem.file,
        "line": problem.line,
        "field": problem.field,
        "message": problem.message,
        "hint": problem.hint,
    }


def finding_lines(found: Decision | Outcome, paint: Paint) -> list[str]:
    """Return a line for each target: what a run would do there, or why that cannot be told."""
    return [status_line(status, described(outcome), paint) for status, outcome in _findings(found)]


def finding_data(found: Decision | Outcome) -> list[dict[str, Any]]:
    """Return what a run would do as plain data, an entry for each target."""
    left_out = {"reason", "seconds"}
    return [
        {**{key: value for key, value in facts(outcome).items() if key not in left_out}, "status": status}
        for status, outcome in _findings(found)
    ]


def _findings(found: Decision | Outcome) -> list[tuple[str, Outcome]]:
    """Pair each target, as an outcome, with the word for what was found out about it."""
    if isinstance(found, Outcome):
        return [(str(found.status), found)]
    pairs = zip(found.reasons, found.copy.targets, strict=True)
    return [
        ("failed", Outcome(found.copy, target, Status.FAILED, failure=reason))
        if isinstance(reason, Failure)
        else (str(reason), Outcome(found.copy, target, Status.CURRENT, reason=reason))
        for reason, target in pairs
    ]


def status_line(status: str, text: str, paint: Paint) -> str:
    """Put a status in front of a text that is kept on its line."""
    return f"  {paint(f'{status:9}', status)}  {one_line(text)}"


def finding_counts(counts: Counter[str]) -> str:
    """Return the line that sums up what a run would do."""
    parts = [f"{counts[status]} {status}" for status in ("missing", "changed", "current")]
    return ", ".join(parts + [f"{counts[status]} {status}" for status in ("failed", "cancelled") if counts[status]])


def report_text(reports: Sequence[Report], paint: Paint) -> str:
    """Return a table of the tasks' last runs, and under it each failure with its reason."""
    head = ("task", *WORDS.values(), "sent", "time", "rate")
    rows = [_report_row(report) for report in reports]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(head, widths, strict=True)).rstrip()]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for column, status in enumerate(WORDS, 1):
            cells[column] = cells[column] if row[column] == "0" else paint(cells[column], status)
        lines.append("  ".join(cells))
    return "\n".join([*lines, *failure_lines(reports, paint)])


def failure_lines(reports: Sequence[Report], paint: Paint) -> list[str]:
    """Return a line for each image that did not reach a target: its reason, a hint and the file's line."""
    failures = [outcome for report in reports for outcome in report.failures]
    return [status_line("failed", described(failure), paint) for failure in failures]


def _report_row(report: Report) -> tuple[str, ...]:
    counted = totals(report)
    counts = (str(report.counts[status]) for status in WORDS)
    sent, seconds = counted["bytes_written"], counted["seconds"]
    sent_text = "unknown" if sent is None else size(sent)
    return (one_line(report.task.name), *counts, sent_text, duration(seconds), rate(sent, seconds) if sent else "")


def plan_data(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain data in the words of the config file, without secrets."""
    return {
        "relay": plan.relay.name,
        "settings": plan.relay.settings.model_dump(mode="json", by_alias=True),
        "parallel": plan.parallel,
        "retries": plan.retries,
        "timeout": duration(plan.timeout),
        "timeouts": {
            "connect": duration(plan.timeouts.connect),
            "first-byte": duration(plan.timeouts.first),
            "stalled": duration(plan.timeouts.read),
            "upload-answer": duration(plan.timeouts.commit),
        },
        "state": {"path": plan.state.path, "ttl": duration(plan.state.ttl)} if plan.state else None,
        "watch": plan.watch,
        "listen": _listen_data(plan.listen) if plan.listen else None,
        "tasks": [_task_data(task) for task in plan.tasks],
    }


def _listen_data(listen: Listen) -> Any:
    return {"address": str(listen), "token": "***"} if listen.token else str(listen)


def _task_data(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "at": task.where,
        "runs": when(task.schedule),
        "verbose": task.verbose,
        "source": _endpoint_data(task.source),
        "targets": [_endpoint_data(target) for target in task.targets],
        "mappings": [_rule_data(rule) for rule in task.rules],
    }


def when(schedule: Schedule) -> str:
    """Say when a task runs."""
    match schedule:
        case Once():
            return "once"
        case Every(seconds):
            return f"at the start and every {duration(seconds)}"
        case Cron(expression):
            return f"by cron: {expression}"


def _endpoint_data(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "registry": f"{endpoint.host}/{endpoint.prefix}" if endpoint.prefix else endpoint.host,
        "login": login(endpoint),
        "skip-tls-verify": not endpoint.verify,
        **({"private-addresses": True} if endpoint.private else {}),
        "certs-dir": [str(folder) for folder in endpoint.certs],
        **({"aws": aws} if (aws := _aws_data(endpoint.aws)) else {}),
    }


def _aws_data(aws: Aws) -> dict[str, Any]:
    """Return what a location says of AWS, where it says anything."""
    new = aws.new
    said = {
        "profile": aws.identity.profile,
        "role-arn": aws.identity.role,
        "create": None if new.create else False,
        "scan-on-push": new.scan_on_push,
        "tag-mutability": new.tag_mutability,
        "encryption": new.encryption,
        "kms-key": new.kms_key,
        "lifecycle-policy": new.lifecycle_policy,
        "tags": dict(new.tags) or None,
    }
    return {key: value for key, value in said.items() if value not in (None, "")}


def login(endpoint: Endpoint) -> str:
    """Say how a registry is logged in to, without the secret."""
    match endpoint.credentials:
        case Given(given):
            return f"user {given.username!r}, password ***"
        case Anonymous():
            return "none"
        case EcrToken(refresh):
            by = f" as {identity}" if (identity := str(endpoint.aws.identity)) else ""
            return f"token from AWS{by}, fetched again every {duration(refresh)}"
        case Ambient():
            return "docker's config.json, if it has one for this registry"


def _rule_data(rule: Rule) -> dict[str, Any]:
    return {
        "at": rule.where,
        "from": rule.source.text,
        "to": rule.rewrite.text or "(same name)",
        "tags": list(rule.tags.items) or "all",
        **_platform_data(rule),
        **{key: value for key, value in _optional_data(rule).items() if value},
    }


def _platform_data(rule: Rule) -> dict[str, Any]:
    if rule.subset:
        return {"platforms": [str(platform) for platform in rule.subset]}
    return {"platform": ", ".join(str(platform) for platform in rule.platforms) or "all"}


def _optional_data(rule: Rule) -> dict[str, Any]:
    """Return what few mappings have; it is shown only where it is set."""
    ages = {"newer-than": rule.ages.newer_than, "older-than": rule.ages.older_than}
    return {
        "exclude": list(rule.exclude.items),
        **{key: f"{seconds / _DAY:g}d" for key, seconds in ages.items() if seconds is not None},
        "skip-existing": list(rule.immutable.items),
        "to-tag": rule.names.to,
        "tag-prefix": rule.names.prefix,
        "tag-suffix": rule.names.suffix,
    }


def failed(counts: Mapping[str, int]) -> bool:
    """Tell whether anything could not be compared."""
    return bool(counts.get(Status.FAILED) or counts.get(Status.CANCELLED))
