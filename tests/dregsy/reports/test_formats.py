import json
from pathlib import Path

import pytest
import yaml

from dregsy.errors import UsageError
from dregsy.reports import formats
from dregsy.reports.data import report_data
from tests.dregsy.reports.runs import NASTY, copied, failed, report


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("r.json", formats.as_json),
        ("r.yaml", formats.as_yaml),
        ("r.YML", formats.as_yaml),
        ("a.b/r.xml", formats.as_junit),
        ("r.txt.md", formats.as_markdown),
    ],
)
def test_suffixes(name: str, expected: formats.Format) -> None:
    """The end of the name says how the file is written."""
    assert formats.format_of(Path(name)) == expected


@pytest.mark.parametrize("name", ["r", "r.txt", ".json", "json", "r.json.gz", "a.json/r"])
def test_no_suffix(name: str) -> None:
    """A name that says nothing is refused, with all that it could say."""
    with pytest.raises(UsageError, match="has no suffix that tells its format") as caught:
        formats.format_of(Path(name))
    assert caught.value.hint == "end it in one of .json, .yaml, .yml, .xml, .md"


def test_json_and_yaml_are_the_same() -> None:
    """Both hold the data, whatever registries say."""
    reports = [report(copied("1.30"), failed("on", NASTY))]

    assert json.loads(formats.as_json(reports, None)) == report_data(reports, None)
    assert yaml.safe_load(formats.as_yaml(reports, None)) == report_data(reports, None)


def test_the_others() -> None:
    """XML begins as XML does, Markdown with a headline."""
    reports = [report(copied("1"))]

    assert formats.as_junit(reports, 0).startswith("<?xml version='1.0' encoding='utf-8'?>")
    assert formats.as_markdown(reports, 0).startswith("## dregsy: all is in place")
