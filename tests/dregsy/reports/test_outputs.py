import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from dregsy.config.load import Loaded, load
from dregsy.errors import DregsyError, UsageError
from dregsy.model.plan import Copy, Every, Once
from dregsy.model.ref import Ref
from dregsy.model.report import Event, Failure, Outcome, Reloaded, Report, Status, TaskFinished, Waiting, Warned
from dregsy.reports.outputs import SUMMARY, SUMMARY_LIMIT, Outputs
from tests.dregsy.reports.runs import copied, failed, report, task

TEXT = """
tasks:
- name: %s
  interval: 60
  source: {registry: a.test}
  target: {registry: b.test}
  mappings: [{from: x}]
"""


def loaded(name: str = "t") -> Loaded:
    """Load a config."""
    return load("-", environ={}, stdin=StringIO(TEXT % name))


def lost(file: Loaded, tag: str) -> Report:
    """A run of the file's task in which a tag failed."""
    (of,) = file.plan.tasks
    copy = Copy(of.name, Ref("a.test", "x", tag), (Ref("b.test", "x", tag),), (0,), where=of.rules[0].where)
    failure = Failure("unreachable", "no answer")
    return Report(of, 0, 1, (Outcome(copy, copy.targets[0], Status.FAILED, failure=failure),))


class Desk:
    """Outputs in a folder, with what they said."""

    def __init__(self, folder: Path, **asked: Any) -> None:
        self.folder = folder
        self.said: list[Event] = []
        self.file = loaded()
        wanted = {"report": "", "failed": "", "summary": False, "environ": {}, **asked}
        self.outputs = Outputs(**wanted)
        self.outputs.follow(lambda: self.file, self.said.append)

    def tell(self, event: Event) -> None:
        """Let the outputs hear of something, and wait until they are written."""
        self.outputs(event)
        self.outputs.wait()

    def finish(self, code: int, trouble: DregsyError | None = None) -> list[DregsyError]:
        """Have all written a last time."""
        return self.outputs.write(code, trouble).result()

    def data(self) -> Any:
        """Return what is in the report."""
        return json.loads((self.folder / "r.json").read_text())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_tasks_that_run_again(folder: Path) -> None:
    """The file is written anew after each run, and always has the last run of each task."""
    desk = Desk(folder, report="r.json")
    one, other = task("one", Every(60)), task("other", Every(60))

    for run, expected in (
        (report(copied("1"), of=one), [("one", 1)]),
        (report(failed("1"), of=other), [("one", 1), ("other", 0)]),
        (report(of=one), [("one", 0), ("other", 0)]),
    ):
        desk.tell(TaskFinished(run))
        assert [(found["task"], found["copied"]) for found in desk.data()["tasks"]] == expected
    assert (desk.data()["ok"], desk.data()["exit_code"]) == (False, None)


def test_tasks_that_run_once(folder: Path) -> None:
    """The file is written when all are through, or others are waited for, and in the end."""
    desk = Desk(folder, report="r.json")

    desk.tell(TaskFinished(report(copied("1"), of=task("one", Once()))))
    before = (folder / "r.json").exists()
    desk.tell(Waiting(5.0))
    waiting = desk.data()["exit_code"]
    assert desk.finish(0) == []

    assert (before, waiting, desk.data()["exit_code"], desk.data()["ok"]) == (False, None, 0, True)


def test_what_cannot_be_written_any_more(folder: Path) -> None:
    """It is a warning each time while tasks go on, and an error in the end; with room again all is well."""
    (folder / "out").mkdir()
    desk = Desk(folder / "out", report="out/r.json")
    (folder / "out").rename(folder / "away")

    desk.tell(TaskFinished(report(of=task("one", Every(60)))))
    errors = desk.finish(0)
    (folder / "away").rename(folder / "out")

    assert [type(one) for one in desk.said] == [Warned]
    assert [one.message for one in errors] == ["out/r.json cannot be written: no such file or directory"]
    assert desk.finish(0) == []
    assert desk.data()["ok"]


@pytest.mark.parametrize("suffix", ["json", "yaml", "xml", "md"])
def test_a_config_whose_name_is_no_text(folder: Path, suffix: str) -> None:
    """What failed is told with the name of the file all the same, and what replays it is written."""
    name = os.fsdecode(b"f\xfcr.yaml")
    Path(name).write_text(TEXT % "t")
    desk = Desk(folder, report=f"r.{suffix}", failed="f.yaml")
    desk.file = load(name, environ={})

    desk.tell(TaskFinished(lost(desk.file, "1")))

    assert (desk.said, desk.finish(1)) == ([], [])
    assert "udcfcr.yaml:" in (folder / f"r.{suffix}").read_text()
    assert "- '1'" in (folder / "f.yaml").read_text()


def test_what_cannot_be_made(folder: Path) -> None:
    """A file that cannot be made ends nothing: it is a warning, and the others are written."""
    desk = Desk(folder, report="r.yaml", failed="f.yaml")

    desk.tell(TaskFinished(report(of=task("no text: \udcff", Every(60)))))
    errors = desk.finish(0)

    told = "the file of --report could not be made: UnicodeEncodeError"
    assert ([type(one) for one in desk.said], [one.message for one in errors]) == ([Warned], [told])
    assert (folder / "f.yaml").exists()


def test_failed(folder: Path) -> None:
    """The config has what failed in the last run of each task, also of a file that was read again meanwhile."""
    desk = Desk(folder, failed="f.yaml")
    old, new = desk.file, loaded("u")
    tags = []

    desk.tell(TaskFinished(lost(old, "1")))
    tags.append([one["mappings"] for one in yaml.safe_load((folder / "f.yaml").read_text())["tasks"]])
    desk.file = new
    desk.tell(Reloaded(ok=True, tasks=new.plan.tasks))
    desk.tell(TaskFinished(lost(new, "2")))
    tags.append([one["mappings"] for one in yaml.safe_load((folder / "f.yaml").read_text())["tasks"]])

    assert tags == [[[{"from": "x", "tags": ["1"]}]], [[{"from": "x", "tags": ["2"]}]]]
    assert (folder / "f.yaml").stat().st_mode & 0o777 == 0o600


def test_tasks_that_never_began(folder: Path) -> None:
    """A command that was stopped between two tasks says in its config that not all is in it."""
    desk = Desk(folder, failed="f.yaml")

    desk.finish(1)

    assert "A run was cut short" in (folder / "f.yaml").read_text()


def test_trouble(folder: Path) -> None:
    """Where no task could begin the report says why, and there is no config that would copy nothing."""
    (folder / "f.yaml").write_text("tasks: []\n")
    desk = Desk(folder, report="r.json", failed="f.yaml")

    assert desk.finish(1, DregsyError("no relay")) == []

    assert desk.data()["error"]["error"] == "no relay"
    assert not (folder / "f.yaml").exists()


def test_summary(folder: Path) -> None:
    """Tables come behind what is there already, once, in the end."""
    (folder / "s.md").write_text("before\n")
    desk = Desk(folder, summary=True, environ={SUMMARY: "s.md"})

    desk.tell(TaskFinished(report(failed("1"), of=task("one", Every(60)))))
    assert desk.finish(1) == []

    text = (folder / "s.md").read_text()
    assert text.startswith("before\n## dregsy: not everything is in place\n")
    assert text.count("## dregsy") == 1


@pytest.mark.parametrize("there", [0, 1000, SUMMARY_LIMIT - 10, SUMMARY_LIMIT + 10])
def test_summary_limit(folder: Path, there: int) -> None:
    """With what is there already it never gets larger than GitHub allows."""
    (folder / "s.md").write_text("x" * there)
    desk = Desk(folder, summary=True, environ={SUMMARY: "s.md"})

    desk.tell(TaskFinished(report(*(failed(str(number), "größer " * 500) for number in range(300)))))
    desk.finish(1)

    size = (folder / "s.md").stat().st_size
    assert size <= max(there, SUMMARY_LIMIT)
    assert size > SUMMARY_LIMIT - 5000 - there


@pytest.mark.parametrize("environ", [{}, {SUMMARY: ""}, {SUMMARY: "no/such"}, {SUMMARY: "."}, {SUMMARY: "a\0b"}])
def test_no_summary(folder: Path, environ: dict[str, str]) -> None:
    """Outside of GitHub Actions there is no place for it, which is told before the run."""
    with pytest.raises(UsageError) as caught:
        Desk(folder, summary=True, environ=environ)
    assert SUMMARY in f"{caught.value}"


def test_a_summary_that_is_gone(folder: Path) -> None:
    """It is told in the end."""
    (folder / "s").mkdir()
    desk = Desk(folder, summary=True, environ={SUMMARY: "s/s.md"})
    (folder / "s" / "s.md").unlink()
    (folder / "s").rmdir()

    (error,) = desk.finish(0)

    assert error.message == "the summary 's/s.md' cannot be written: no such file or directory"


def test_the_last_of_many_counts(folder: Path) -> None:
    """Who tells of runs faster than they can be written finds the last one in the file; the summary comes once."""
    desk = Desk(folder, report="r.json", summary=True, environ={SUMMARY: "s.md"})
    of = task("one", Every(60))

    for number in range(50):
        desk.outputs(TaskFinished(report(*[copied("1")] * number, of=of)))
    desk.outputs.wait()

    assert [one["copied"] for one in desk.data()["tasks"]] == [49]
    assert (folder / "s.md").read_text() == ""
