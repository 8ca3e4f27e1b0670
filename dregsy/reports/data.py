"""The last runs of all tasks as plain data: what ``--json`` writes, and report files in JSON and YAML."""

from collections.abc import Sequence
from typing import Any

from dregsy.errors import DregsyError
from dregsy.log import facts, totals
from dregsy.model.report import Outcome, Report


def report_data(reports: Sequence[Report], exit_code: int | None, trouble: DregsyError | None = None) -> dict[str, Any]:
    """Return the runs as data. ``exit_code`` is None while tasks go on; ``trouble`` is what ended all of them."""
    told = {} if trouble is None else {"error": {"kind": trouble.kind, "error": trouble.message, "hint": trouble.hint}}
    return {
        "ok": is_ok(reports, exit_code),
        "exit_code": exit_code,
        **told,
        "tasks": [
            {
                **totals(report),
                "interrupted": report.interrupted,
                "warnings": list(report.warnings),
                "images": [image(one) for one in report.outcomes],
            }
            for report in reports
        ],
    }


def is_ok(reports: Sequence[Report], exit_code: int | None) -> bool:
    """Whether all is well, or was so far."""
    return exit_code == 0 if exit_code is not None else all(report.ok for report in reports)


def is_cut(reports: Sequence[Report], exit_code: int | None) -> bool:
    """Whether nothing that there is a report about went wrong, and yet not all is well: some tasks never began."""
    return bool(exit_code) and all(report.ok for report in reports)


def image(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as data; the digest is that at the target, or that at the source where nothing moved."""
    known, digest = facts(outcome), outcome.copy.source.digest
    return known if "digest" in known or digest is None else {**known, "digest": str(digest)}
