"""The formats of report files, by the suffix of the file's name."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dregsy.errors import DregsyError, UsageError
from dregsy.model.report import Report
from dregsy.reports.data import report_data

Format = Callable[[Sequence[Report], int | None, DregsyError | None], str]
"""Writes the last runs of all tasks, the exit code or None while tasks go on, and what ended all of them, if it did."""


def format_of(file: Path) -> Format:
    """Return the format that a file's name asks for; UsageError where it asks for none."""
    formats = {".json": as_json, ".yaml": as_yaml, ".yml": as_yaml, ".xml": as_junit, ".md": as_markdown}
    try:
        return formats[file.suffix.lower()]
    except KeyError:
        hint = f"end it in one of {', '.join(formats)}"
        raise UsageError(f"--report {str(file)!r} has no suffix that tells its format", hint=hint) from None


def as_json(reports: Sequence[Report], exit_code: int | None, trouble: DregsyError | None = None) -> str:
    """Write what ``--json`` does."""
    return json.dumps(report_data(reports, exit_code, trouble), indent=2) + "\n"


def as_yaml(reports: Sequence[Report], exit_code: int | None, trouble: DregsyError | None = None) -> str:
    """Write the same in YAML."""
    import yaml

    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    data = report_data(reports, exit_code, trouble)
    text: str = yaml.dump(data, Dumper=dumper, sort_keys=False, allow_unicode=True, width=2**16)
    return text


def as_junit(reports: Sequence[Report], exit_code: int | None, trouble: DregsyError | None = None) -> str:
    """Write JUnit's XML."""
    from dregsy.reports.junit import junit

    return junit(reports, exit_code, trouble)


def as_markdown(reports: Sequence[Report], exit_code: int | None, trouble: DregsyError | None = None) -> str:
    """Write tables in Markdown."""
    from dregsy.reports.markdown import markdown

    return markdown(reports, exit_code, trouble)
