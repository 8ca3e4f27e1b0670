"""The files that a run was asked to leave behind: proved before it begins, written while it goes on and at its end."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from dregsy import atomic
from dregsy.config.load import Loaded
from dregsy.config.source import Table
from dregsy.errors import DregsyError, UsageError
from dregsy.model.plan import Once
from dregsy.model.report import Event, LastReports, Listener, Report, TaskFinished, Waiting, Warned
from dregsy.reports.data import is_cut
from dregsy.reports.formats import Format, format_of
from dregsy.reports.markdown import markdown
from dregsy.reports.replay import config, replayed, taken

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable that names the file in which GitHub's runner wants Markdown."""
SUMMARY_LIMIT = 2**20
"""The most bytes that GitHub takes of a step; with more it shows nothing."""


def apart(config: str, *named: str) -> None:
    """See that no two options name one file; UsageError, since one would take the other's place."""
    files = [os.path.realpath(name) for name in named if name]
    own = os.path.realpath(config) if config else None
    if own in files or len(set(files)) < len(files):
        what = "the config itself" if own in files else "one file for two purposes"
        raise UsageError(f"--report or --failed names {what}", hint="name a file of its own for each")


class ReportFile:
    """``--report``: how the last run of each task ended."""

    def __init__(self, name: str) -> None:
        self._file = Path(name)
        self._format: Format = format_of(self._file)
        atomic.prove(self._file, "--report")

    def write(self, reports: Sequence[Report], exit_code: int | None, trouble: DregsyError | None = None) -> None:
        """Write it anew; DregsyError when that fails."""
        atomic.write(self._file, self._format(reports, exit_code, trouble))


class FailedFile:
    """``--failed``: a config that replays what failed in the last run of each task. It may hold logins."""

    def __init__(self, name: str) -> None:
        self._file = Path(name)
        self._tasks: dict[int, list[Table]] = {}
        atomic.prove(self._file, "--failed")

    def note(self, report: Report, loaded: Loaded) -> None:
        """Take what failed out of the file that counts now."""
        assert loaded.read is not None
        self._tasks[id(report)] = replayed(loaded.read, loaded.plan, report)

    def remove(self) -> None:
        """Leave no file where it cannot be told what failed; DregsyError when that fails."""
        atomic.remove(self._file)

    def write(self, reports: Sequence[Report], loaded: Loaded, exit_code: int | None) -> None:
        """Write it anew; DregsyError when that fails."""
        assert loaded.read is not None
        self._tasks = {id(report): self._tasks[id(report)] for report in reports}
        tasks = [task for some in self._tasks.values() for task in some]
        cut = any(report.interrupted for report in reports) or is_cut(reports, exit_code)
        left = sum(map(taken, reports))
        atomic.write(self._file, config(loaded.read, tasks, cut=cut, taken=left), private=True)


class Summary:
    """``--summary``: tables behind what other commands of a step of GitHub's actions left there."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        name = environ.get(SUMMARY, "")
        if not name:
            hint = "it is for GitHub Actions, which set it; elsewhere use --report FILE.md"
            raise UsageError(f"--summary needs the variable {SUMMARY}, which is not set", hint=hint)
        self._file = Path(name)
        try:
            with self._file.open("ab") as stream:
                stream.tell()  # a pipe has no size to be kept within a limit
        except (OSError, ValueError) as error:
            raise self._unwritable(error) from None

    def write(self, reports: Sequence[Report], exit_code: int | None, trouble: DregsyError | None = None) -> None:
        """Append it, cut to what there is room for; DregsyError when that fails."""
        try:
            with self._file.open("ab") as stream:
                room = max(0, SUMMARY_LIMIT - stream.tell())
                stream.write(markdown(reports, exit_code, trouble, limit=room).encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: Exception) -> DregsyError:
        reason = getattr(error, "strerror", None) or "it is no regular file"
        hint = f"check what {SUMMARY} names"
        return UsageError(f"the summary {str(self._file)!r} cannot be written: {reason.lower()}", hint=hint)


class Outputs:
    """A listener that keeps the files of a run up to date; where that fails, it warns, and tries again in the end.

    ``loaded`` gives the config that counts. UsageError for a file that cannot be written.
    """

    def __init__(self, *, report: str, failed: str, summary: bool, environ: Mapping[str, str]) -> None:
        self._report = ReportFile(report) if report else None
        self._failed = FailedFile(failed) if failed else None
        self._summary = Summary(environ) if summary else None
        self._last = LastReports()
        self._behind = False
        self._loaded: Callable[[], Loaded] | None = None
        self._tell: Listener = lambda _: None

    def follow(self, loaded: Callable[[], Loaded], tell: Listener) -> None:
        """Take the config from ``loaded`` and let ``tell`` hear of trouble."""
        self._loaded, self._tell = loaded, tell

    def __call__(self, event: Event) -> None:
        """Write the files when a task that runs again has ended, and when nothing is to be done for a while."""
        self._last(event)
        match event:
            case TaskFinished(report):
                if self._failed and self._loaded:
                    self._failed.note(report, self._loaded())
                self._behind = True
                if not isinstance(report.task.schedule, Once):
                    self._keep_up()
            case Waiting() if self._behind:
                self._keep_up()

    def _keep_up(self) -> None:
        self._behind = False
        for error in self._written(None, None):
            self._tell(Warned("", str(error)))

    def finish(self, exit_code: int, trouble: DregsyError | None = None) -> list[DregsyError]:
        """Write all files a last time; return what stood in the way."""
        errors = list(self._written(exit_code, trouble))
        if self._summary:
            try:
                self._summary.write(self._last.reports, exit_code, trouble)
            except DregsyError as error:
                errors.append(error)
        return errors

    def _written(self, exit_code: int | None, trouble: DregsyError | None) -> Iterator[DregsyError]:
        if self._report:
            try:
                self._report.write(self._last.reports, exit_code, trouble)
            except DregsyError as error:
                yield error
        if self._failed:
            try:
                if trouble is None and self._loaded is not None:
                    self._failed.write(self._last.reports, self._loaded(), exit_code)
                else:
                    self._failed.remove()
            except DregsyError as error:
                yield error
