import json
import sys
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.measure import Entry
from benchmarks.result import Goal, Result
from benchmarks.session import Session
from tests.testbed.usage import Usage


def entry(peer: str, *seconds: float) -> Entry:
    """A tool that ran a few times."""
    return Entry(peer, [Usage(0, one, one / 2, 20.0, "") for one in seconds], [one / 4 for one in seconds])


def tables(workload: str, title: str, folder: Path) -> list[report.Plain]:
    """One table of one workload."""
    ours, theirs = entry("dregsy", 1.0, 3.0, 2.0), entry("other", 4.0, 4.0, 4.0)
    result = Result(title, [ours, theirs], [Goal("fast", "0.50x other", met=True)], ["A note."])
    return report.plain(workload, [result], Session(folder, 5, 1.0))


def test_a_table_has_medians_and_ratios(tmp_path: Path) -> None:
    """Each tool has its median, how that compares with the fastest other tool, and what the registries needed."""
    rows = report.markdown(tables("W1", "First", tmp_path)).splitlines()
    assert "| dregsy | 2.00 (1.00-3.00) | 0.50 | 1.00 | 20 | 0.50 |  |  |  |  |" in rows
    assert "| other | 4.00 (4.00-4.00) | 1.00 | 2.00 | 20 | 1.00 |  |  |  |  |" in rows
    assert "| fast | 0.50x other | met |" in rows


def test_figures_that_were_not_taken_anew_stay(tmp_path: Path) -> None:
    """What was measured takes the place of its workload's older tables; the others stay, in order."""
    kept = tmp_path / "results.json"
    kept.write_text(report.document([*tables("W1", "old", tmp_path), *tables("W3", "third", tmp_path)]))
    new = [*tables("start", "first", tmp_path), *tables("W1", "new", tmp_path)]
    assert [table["title"] for table in report.kept(kept, new)] == ["first", "new", "third"]
    assert json.loads(report.document(new)) == {"tables": new}


@pytest.mark.parametrize(
    ("python", "arguments", "command"),
    [
        ("", ["--only", "W1"], "make bench ARGS='--only W1'"),
        ("/usr/bin/python3", ["--write"], "make bench PYTHON=/usr/bin/python3 ARGS=--write"),
        ("", [], "make bench"),
    ],
)
def test_the_command_is_told(
    python: str, arguments: list[str], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A figure comes with the command that takes it again."""
    monkeypatch.setenv("PYTHON", python)
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    assert f"`{command}`" in report.markdown(tables("W1", "First", tmp_path))
