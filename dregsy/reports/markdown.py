"""Reports as tables in GitHub's Markdown, the most important first, so that they can be cut at their end.

What comes from registries is text in them, never markup.
"""

from collections.abc import Iterable, Iterator, Sequence

from dregsy.errors import DregsyError
from dregsy.log import WORDS, duration, label, one_line, size, totals
from dregsy.model.report import Outcome, Report, Status
from dregsy.reports.data import image, is_ok

_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>|~&$#"})
_COUNTS = "| task | copied | up to date | failed | cancelled | sent | time |\n|---|--:|--:|--:|--:|--:|--:|"
_FAILURES = "| source | target | why | what to do |\n|---|---|---|---|"
_IMAGES = "| source | target | digest | reason | read | written | time |\n|---|---|---|---|--:|--:|--:|"
_CUT = "\n… the rest is left out: there is no room for more."


def markdown(
    reports: Sequence[Report],
    exit_code: int | None,
    trouble: DregsyError | None = None,
    *,
    limit: int | None = None,
) -> str:
    """Return the runs as tables: counts, failures, warnings, then each image; at most ``limit`` bytes of UTF-8."""
    lines = _lines(reports, exit_code, trouble)
    return "".join(f"{line}\n" for line in (lines if limit is None else _cut(lines, limit)))


def _lines(reports: Sequence[Report], exit_code: int | None, trouble: DregsyError | None) -> Iterator[str]:
    mood = "all is in place" if is_ok(reports, exit_code) else "not everything is in place"
    yield f"## dregsy: {mood}\n"
    if trouble is not None:
        yield f"**The run failed:** {plain(str(trouble))}\n"
    if reports:
        yield from (_COUNTS, *map(_count_row, reports))
    outcomes = [outcome for report in reports for outcome in report.outcomes]
    by = {status: [one for one in outcomes if one.status is status] for status in Status}
    yield from _section("Failed", _FAILURES, map(_failure_row, by[Status.FAILED]))
    warnings = [(report.task.name, text) for report in reports for text in report.warnings]
    warnings += [(report.task.name, "the run was cut short") for report in reports if report.interrupted]
    yield from _section("Warnings", "", (f"- {plain(task)}: {plain(text)}" for task, text in warnings))
    for status in (Status.CANCELLED, Status.COPIED, Status.CURRENT):
        yield from _section(WORDS[status].capitalize(), _IMAGES, map(_image_row, by[status]))


def _section(title: str, head: str, rows: Iterable[str]) -> Iterator[str]:
    """Give a headline, a table's head and its rows, or nothing where there are no rows."""
    for number, row in enumerate(rows):
        if number == 0:
            yield f"\n### {title}\n"
            yield from [head] if head else []
        yield row


def _count_row(report: Report) -> str:
    counted = totals(report)
    sent = counted["bytes_written"]
    counts = (str(report.counts[status]) for status in WORDS)
    return _row(
        plain(report.task.name), *counts, "unknown" if sent is None else size(sent), duration(counted["seconds"])
    )


def _failure_row(outcome: Outcome) -> str:
    failure = outcome.failure
    why, hint = (failure.message, failure.hint) if failure else ("", "")
    where = f" ({outcome.copy.where})" if outcome.copy.where else ""
    return _row(*_places(outcome), plain(why + where), plain(hint))


def _image_row(outcome: Outcome) -> str:
    known = image(outcome)
    digest, reason = str(known.get("digest", "")), str(known.get("reason", ""))
    moved = (known.get("bytes_read"), known.get("bytes_written"))
    counts = ("" if count is None else size(count) for count in moved)
    return _row(*_places(outcome), f"`{digest}`" if digest else "", reason, *counts, duration(outcome.seconds))


def _places(outcome: Outcome) -> tuple[str, str]:
    return plain(label(outcome.copy.origin)), "" if outcome.target is None else plain(label(outcome.target))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def plain(text: str) -> str:
    """Write a text so that Markdown shows it as it is, on one line."""
    return one_line(text).translate(_ESCAPED)


def _cut(lines: Iterable[str], limit: int) -> Iterator[str]:
    """Give lines as long as there is room for them and for a remark that there were more."""
    room = limit - len(_CUT.encode()) - 1
    held: list[str] = []
    used = 0
    for line in lines:
        used += len(line.encode()) + 1
        if used > limit:
            yield from [_CUT] if room >= 0 else []
            return
        if held or used > room:
            held.append(line)
        else:
            yield line
    yield from held
