"""Reports in the XML that CI servers show as tests: a suite for each task, a test for each image and target."""

from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from dregsy.errors import DregsyError
from dregsy.log import arrow
from dregsy.model.report import Outcome, Report, Status
from dregsy.reports.data import image, is_cut

_DETAILS = ("status", "reason", "digest", "bytes_read", "bytes_written", "where")


def junit(reports: Sequence[Report], exit_code: int | None, trouble: DregsyError | None = None) -> str:
    """Return the runs as JUnit's XML, in the form that Jenkins' schema describes.

    What kept tasks from beginning is a suite of its own.
    """
    root = ET.Element("testsuites", name="dregsy")
    for report in reports:
        root.append(_suite(report))
    if trouble is not None or is_cut(reports, exit_code):
        suite = ET.SubElement(root, "testsuite", name="dregsy", time="0.000")
        kind, text = (trouble.kind, str(trouble)) if trouble else ("interrupted", "dregsy was stopped before")
        _error(suite, "dregsy", "all tasks begin", kind, text)
        _count(suite)
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written.decode() + "\n"


def _suite(report: Report) -> ET.Element:
    name = legal(report.task.name)
    began = datetime.fromtimestamp(report.started, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    seconds = f"{report.finished - report.started:.3f}"
    suite = ET.Element("testsuite", name=name, timestamp=began, time=seconds)
    for outcome in report.outcomes:
        suite.append(_case(name, outcome))
    if report.interrupted:
        _error(suite, name, "the run comes to its end", "interrupted", "the run was cut short before all was looked at")
    if report.warnings:
        ET.SubElement(suite, "system-out").text = legal("\n".join(f"warning: {text}" for text in report.warnings))
    _count(suite)
    return suite


def _case(task: str, outcome: Outcome) -> ET.Element:
    name = legal(arrow(outcome.copy, outcome.target))
    case = ET.Element("testcase", name=name, classname=task, time=f"{outcome.seconds:.3f}")
    if outcome.status is Status.CANCELLED:
        ET.SubElement(case, "skipped", message="the run was cut short")
    elif outcome.failure is not None:
        message = legal(outcome.failure.message)
        failed = ET.SubElement(case, "failure", type=legal(outcome.failure.kind), message=message)
        failed.text = legal(
            "\n".join(filter(None, (outcome.failure.message, outcome.failure.hint, outcome.copy.where)))
        )
    known = image(outcome)
    details = [f"{key}: {known[key]}" for key in _DETAILS if key in known]
    ET.SubElement(case, "system-out").text = legal("\n".join(details))
    return case


def _error(suite: ET.Element, task: str, name: str, kind: str, text: str) -> None:
    case = ET.SubElement(suite, "testcase", name=name, classname=task, time="0.000")
    ET.SubElement(case, "error", type=legal(kind), message=legal(text))


def _count(suite: ET.Element) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    for attribute, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{kind}"))))


def legal(text: str) -> str:
    """Replace what XML cannot hold by a question mark."""
    return text if text.isprintable() else "".join(sign if _is_legal(ord(sign)) else "?" for sign in text)


def _is_legal(code: int) -> bool:
    """Whether XML 1.0 can hold a character (§2.2)."""
    return code in {0x9, 0xA, 0xD} or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
