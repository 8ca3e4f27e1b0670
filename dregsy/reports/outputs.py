"""The files that a run was asked to leave behind: proved before it begins, written while it goes on and at its end."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
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
from dregsy.reports.replay import config, replayed, shard_of, taken

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable that names the file in which GitHub's runner wants Markdown."""
SUMMARY_LIMIT = 2**20
"""The most bytes that GitHub takes of a step; with more it shows nothing."""
_MISTAKES = (ArithmeticError, LookupError, OSError, TypeError, ValueError)


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


@dataclass(slots=True)
class Lost:
    """What failed in a run, by the config that counted then; ``tasks`` replay it, once that was asked for."""

    report: Report
    loaded: Loaded
    tasks: list[Table] | None = None

    def replayed(self) -> list[Table]:
        """Return what replays it."""
        assert self.loaded.read is not None
        if self.tasks is None:
            self.tasks = replayed(self.loaded.read, self.loaded.plan, self.report)
        return self.tasks


class FailedFile:
    """``--failed``: a config that replays what failed in the last run of each task. It may hold logins."""

    def __init__(self, name: str) -> None:
        self._file = Path(name)
        atomic.prove(self._file, "--failed")

    def remove(self) -> None:
        """Leave no file where it cannot be told what failed; DregsyError when that fails."""
        atomic.remove(self._file)

    def write(self, lost: Sequence[Lost], loaded: Loaded, exit_code: int | None) -> None:
        """Write it anew; DregsyError when that fails."""
        assert loaded.read is not None
        reports = [one.report for one in lost]
        tasks = [task for one in lost for task in one.replayed()]
        cut = any(report.interrupted for report in reports) or is_cut(reports, exit_code)
        left, shard = sum(map(taken, reports)), next(filter(None, map(shard_of, reports)), None)
        atomic.write(self._file, config(loaded.read, tasks, cut=cut, taken=left, shard=shard), private=True)


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

    They are written by a thread, one after the other, so that nothing waits for them; what waits to be written gives
    way to what is newer. ``loaded`` gives the config that counts. UsageError for a file that cannot be written.
    """

    def __init__(self, *, report: str, failed: str, summary: bool, environ: Mapping[str, str]) -> None:
        self._report = ReportFile(report) if report else None
        self._failed = FailedFile(failed) if failed else None
        self._summary = Summary(environ) if summary else None
        self._last = LastReports()
        self._lost: dict[int, Lost] = {}
        self._behind = False
        self._thread = ThreadPoolExecutor(1, "reports")
        self._writing: list[Future[list[DregsyError]]] = []
        self._loaded: Callable[[], Loaded] | None = None
        self._tell: Listener = lambda _: None

    def follow(self, loaded: Callable[[], Loaded], tell: Listener) -> None:
        """Take the config from ``loaded`` and let ``tell`` hear of trouble."""
        self._loaded, self._tell = loaded, tell

    def __call__(self, event: Event) -> None:
        """Write the files when a task that runs again has ended, and when nothing is to be done for a while."""
        self._last(event)
        self._complain([one for one in self._writing if one.done()])
        match event:
            case TaskFinished(report):
                if self._failed and self._loaded:
                    self._lost[id(report)] = Lost(report, self._loaded())
                self._behind = True
                if not isinstance(report.task.schedule, Once):
                    self._keep_up()
            case Waiting() if self._behind:
                self._keep_up()

    def wait(self) -> None:
        """Wait until all that was to be written is written."""
        self._complain(self._writing)

    def _complain(self, written: Sequence[Future[list[DregsyError]]]) -> None:
        self._writing = [one for one in self._writing if one not in written]
        for error in (error for one in written for error in one.result()):
            self._tell(Warned("", str(error)))

    def _keep_up(self) -> None:
        self._behind = False
        self._writing = [one for one in self._writing if not one.cancel()]
        self._writing.append(self._thread.submit(self._work(None, None)))

    def write(self, exit_code: int, trouble: DregsyError | None = None) -> Future[list[DregsyError]]:
        """Have all files written a last time; the answer is what stood in the way."""
        return self._thread.submit(self._work(exit_code, trouble))

    def _work(self, exit_code: int | None, trouble: DregsyError | None) -> Callable[[], list[DregsyError]]:
        """Return what writes all files as things are now."""
        reports, loaded = self._last.reports, self._loaded() if self._loaded else None
        kept = {id(report) for report in reports}
        self._lost = {key: lost for key, lost in self._lost.items() if key in kept}
        lost = [self._lost[id(report)] for report in reports if id(report) in self._lost]

        def tries() -> Iterator[tuple[str, Callable[[], None]]]:
            if report := self._report:
                yield "--report", lambda: report.write(reports, exit_code, trouble)
            if failed := self._failed:
                is_known = trouble is None and loaded is not None
                write = partial(failed.write, lost, loaded, exit_code) if is_known and loaded else failed.remove
                yield "--failed", write
            if (summary := self._summary) and exit_code is not None:
                yield "--summary", lambda: summary.write(reports, exit_code, trouble)

        return lambda: [error for one in tries() if (error := _error(*one)) is not None]


def _error(option: str, attempt: Callable[[], None]) -> DregsyError | None:
    """Return what stood in the way, if anything did: no file is a reason to end the copying."""
    try:
        attempt()
    except DregsyError as error:
        return error
    except _MISTAKES as error:  # its words may repeat what is in the file
        return DregsyError(f"the file of {option} could not be made: {type(error).__name__}")
    return None
