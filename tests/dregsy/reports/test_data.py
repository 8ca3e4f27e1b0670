from dregsy.errors import RelayUnavailable
from dregsy.reports.data import is_cut, is_ok, report_data
from tests.dregsy.reports.runs import DIGEST, copied, current, failed, report


def test_report_data() -> None:
    """There are sums for each task and one entry for each image and target, with the digest where it is known."""
    data = report_data([report(copied("1"), current("2"), failed("3"), warnings=("odd",))], 1)

    (task,) = data["tasks"]
    assert (data["ok"], data["exit_code"]) == (False, 1)
    assert [task[key] for key in ("task", "copied", "current", "failed", "warnings", "interrupted")] == [
        *("nightly", 1, 1, 1, ["odd"], False),
    ]
    assert [one["digest"] for one in task["images"]] == [str(DIGEST)] * 3
    assert [one["reason"] for one in task["images"] if "reason" in one] == ["missing", "current"]
    assert {key: task["images"][2][key] for key in ("kind", "error", "hint", "seconds")} == {
        "kind": "unreachable",
        "error": "it broke",
        "hint": "mend it",
        "seconds": 0.25,
    }


def test_trouble() -> None:
    """What kept all tasks from running is in the data."""
    data = report_data([], 1, RelayUnavailable("no skopeo", relay="skopeo", hint="install it"))

    assert data["error"] == {"kind": "relay-unavailable", "error": "no skopeo", "hint": "install it"}


def test_cut() -> None:
    """An exit code that no report explains tells that tasks never began."""
    good, bad = report(copied("1")), report(failed("1"))

    assert [is_cut([good], code) for code in (None, 0, 1)] == [False, False, True]
    assert [is_cut(some, 1) for some in ([], [good, bad])] == [True, False]


def test_ok() -> None:
    """While tasks go on all is well as long as nothing is left undone; in the end the exit code says it."""
    good, bad, cut = report(copied("1")), report(failed("1")), report(interrupted=True)

    assert [is_ok([one], None) for one in (good, bad, cut)] == [True, False, False]
    assert [is_ok([good], code) for code in (0, 1)] == [True, False]
