import pytest

from dregsy.errors import DregsyError
from dregsy.reports.markdown import markdown, plain
from tests.dregsy.reports.runs import NASTY, cancelled, copied, current, failed, report


def test_order() -> None:
    """What failed comes first, then warnings, then all else."""
    text = markdown([report(current("1"), copied("2"), cancelled("3"), failed("4"), warnings=("odd",))], 1)

    heads = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
    assert heads == [
        *("dregsy: not everything is in place", "Failed", "Warnings", "Cancelled", "Copied", "Up to date"),
    ]


def test_all_is_well() -> None:
    """There are no sections about nothing."""
    text = markdown([report(current("1"))], 0)

    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "## dregsy: all is in place",
        "### Up to date",
    ]


def test_what_registries_say_is_no_markup() -> None:
    """A failure's text breaks no table, and makes no link, no picture, no HTML and no second line."""
    text = markdown([report(failed("1", NASTY))], 1)

    (row,) = [line for line in text.splitlines() if "a.test/app:1" in line]
    unescaped = row.replace("\\\\", "").replace("\\|", "")
    assert unescaped.count("|") == 5
    assert "a\\|b \\<img src=x\\> !\\[x\\](http://evil.test/) \\`id\\` \\*x\\*" in row
    assert "\x1b" not in text


@pytest.mark.parametrize("sign", list("\\`*_[]<>|~&$#"))
def test_signs_that_mean_something(sign: str) -> None:
    """They are escaped."""
    assert plain(f"a{sign}b") == f"a\\{sign}b"


def test_trouble() -> None:
    """What kept all tasks from running is told first."""
    assert markdown([], 1, DregsyError("no relay", hint="get one")).splitlines()[2] == (
        "**The run failed:** no relay — get one"
    )


@pytest.mark.parametrize("limit", [0, 10, 60, 61, 500, 1000])
def test_a_limit(limit: int) -> None:
    """It never takes more bytes than there are, ends at the end of a line, and says that it was cut."""
    whole = markdown([report(*(failed(str(number), "größer") for number in range(20)))], 1)

    text = markdown([report(*(failed(str(number), "größer") for number in range(20)))], 1, limit=limit)

    assert len(text.encode()) <= limit
    assert text == "" or text.endswith("… the rest is left out: there is no room for more.\n")
    assert whole.startswith(text.removesuffix("\n… the rest is left out: there is no room for more.\n"))


def test_a_limit_that_is_just_enough() -> None:
    """What fits to the last byte is not cut."""
    whole = markdown([report(failed("1"))], 1)
    size = len(whole.encode())

    assert markdown([report(failed("1"))], 1, limit=size) == whole
    assert markdown([report(failed("1"))], 1, limit=size - 1) != whole
