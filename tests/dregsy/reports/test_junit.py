from itertools import groupby
from xml.etree import ElementTree as ET

import pytest

from dregsy.errors import DregsyError
from dregsy.reports.junit import junit, legal
from tests.dregsy.reports.runs import NASTY, cancelled, copied, current, failed, report, task

CHILDREN = {
    "testsuites": ["testsuite"],
    "testsuite": ["testcase", "system-out"],
    "testcase": ["skipped", "error", "failure", "system-out"],
}
"""What may stand in what, in this order: as Jenkins' schema (junit-10.xsd) has it."""
REQUIRED = {
    "testsuites": {"name"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time"},
    "testcase": {"name", "classname", "time"},
    "skipped": {"message"},
    "error": {"type", "message"},
    "failure": {"type", "message"},
    "system-out": set[str](),
}


def parsed(text: str) -> ET.Element:
    """Read XML, and see that it has the form of the schema."""
    root = ET.fromstring(text.encode())  # noqa: S314 - we wrote it
    for element in root.iter():
        kinds = [kind for kind, _ in groupby(child.tag for child in element)]
        assert kinds == [kind for kind in CHILDREN.get(element.tag, []) if kind in kinds]
        assert set(element.attrib) - {"timestamp"} == REQUIRED[element.tag]
    return root


def test_a_run() -> None:
    """A test for each image and target: passed, failed or skipped; the suite counts them."""
    root = parsed(junit([report(copied("1"), current("2"), failed("3"), cancelled("4"))], 1))

    (suite,) = root
    counts = {key: suite.get(key) for key in ("name", "tests", "failures", "errors", "skipped", "time", "timestamp")}
    assert counts == {
        "name": "nightly",
        "tests": "4",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
        "time": "10.000",
        "timestamp": "1970-01-01T00:16:40",
    }
    names = [case.get("name") for case in suite.iter("testcase")]
    assert names == [f"a.test/app:{number} -> b.test/app:{number}" for number in (1, 2, 3, 4)]
    (failure,) = suite.iter("failure")
    assert (failure.get("type"), failure.text) == ("unreachable", "it broke\nmend it\nsync.yaml:8")
    assert "bytes_written: 2000" in (suite[0].findtext("system-out") or "")


def test_a_run_that_was_cut_short() -> None:
    """It does not pass, though nothing failed."""
    (suite,) = parsed(junit([report(interrupted=True)], 1))

    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")


def test_trouble() -> None:
    """What kept all tasks from running is an error."""
    (suite,) = parsed(junit([], 1, DregsyError("no relay", hint="get one")))

    (error,) = suite.iter("error")
    assert (suite.get("errors"), error.get("message")) == ("1", "no relay — get one")


def test_tasks_that_never_began() -> None:
    """A command that was stopped between two tasks does not pass, though all that ran is well."""
    done, stopped = (parsed(junit([report(copied("1"))], code)) for code in (0, 1))

    assert [len(root) for root in (done, stopped)] == [1, 2]
    assert stopped[1].get("errors") == "1"


def test_nothing_breaks_the_xml() -> None:
    """Names, warnings and reasons may hold any character."""
    odd = f"{NASTY} \ud800 \ufffe \U0001f600"

    (suite,) = parsed(junit([report(failed("1", odd, odd), of=task(odd), warnings=(odd,))], 1))

    (failure,) = suite.iter("failure")
    assert (failure.get("message") or "").startswith("a|b")
    assert (suite.get("name") or "").endswith("? ? \U0001f600")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("\x00\x1b\x7f", "??\x7f"),
        ("\ud800", "?"),
        ("\uffff\ufffd", "?\ufffd"),
        ("\U0010ffff",) * 2,
    ],
)
def test_legal(text: str, expected: str) -> None:
    """Only what XML 1.0 cannot hold is replaced."""
    assert legal(text) == expected
