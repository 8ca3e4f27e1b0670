"""What happens, counted for Prometheus: a listener with a registry of metrics of its own.

Labels come from the config file and from this project; what is about hosts is in ``traffic``.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Info, ProcessCollector
from prometheus_client import disable_created_metrics as without_created

from dregsy import __version__
from dregsy.model.plan import Task
from dregsy.model.report import (
    CopyFinished,
    CopyFound,
    CopyProgress,
    CopyRetried,
    CopyStarted,
    Event,
    Outcome,
    Reloaded,
    Report,
    TaskFinished,
    TaskStarted,
)
from dregsy.web.freshness import Freshness
from dregsy.web.pending import Pending
from dregsy.web.traffic import Traffic

RESULTS = ("succeeded", "failed", "interrupted")


class Metrics:
    """A listener that keeps metrics about ``tasks``, and about those that take their place; ``registry`` has them."""

    def __init__(self, tasks: Sequence[Task], now: Callable[[], float] = time.time) -> None:
        without_created()  # type: ignore[no-untyped-call]  # the library left out its types
        self.registry = CollectorRegistry()
        self._now = now
        self._pending = Pending()
        self._tasks: set[str] = set()
        self._traffic = Traffic(self.registry)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        Info("dregsy_build", "What runs.", registry=self.registry).info({"version": __version__})
        self._runs = self._counter("task_runs", "Runs of the task that ended.", "task", "result")
        self._duration = self._gauge("task_last_run_duration_seconds", "How long the last run took.", "task")
        self._well = self._gauge("task_last_run_succeeded", "Whether the last run left nothing undone.", "task")
        self._success = self._gauge(
            "task_last_success_timestamp_seconds", "When a run last left nothing undone.", "task"
        )
        self._age = self._gauge("task_since_success_seconds", "How long ago that was.", "task")
        self._fresh = Freshness(self.registry)
        self._copies = self._counter(
            "copies", "Images, once for each target, by how that ended.", "task", "outcome", "reason"
        )
        self._copies_retried = self._counter("copies_retried", "Copies put up for another attempt.", "task")
        self._queued = self._gauge("copies_queued", "Copies found that wait to be compared or made.", "task")
        self._running = self._gauge("copies_running", "Copies that are being made.", "task")
        self._read = self._counter("read_bytes", "Bytes of images read from sources.", "task")
        self._written = self._counter("written_bytes", "Bytes of images sent to targets.", "task")
        self._saved = self._counter("saved_bytes", "Bytes of images that targets turned out to have.", "task")
        self._unasked = self._counter("requests_saved", "Requests that lists and the journal spared.", "task")
        self._reloads = self._counter("config_reloads", "How often the config was read again.", "result")
        self._reload_ok = self._gauge("config_last_reload_successful", "Whether what was read last counts.")
        self._reloaded = self._gauge("config_last_reload_success_timestamp_seconds", "Since when the config counts.")
        for result in ("accepted", "refused"):
            self._reloads.labels(result)
        self._reload_ok.set(1)
        self._take_up(tasks)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"dregsy_{name}", about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"dregsy_{name}", about, labels, registry=self.registry)

    def __call__(self, event: Event) -> None:
        """Count an event."""
        self._traffic(event)
        match event:
            case Reloaded(ok=ok, tasks=tasks):
                self._reloads.labels("accepted" if ok else "refused").inc()
                self._reload_ok.set(ok)
                if ok:
                    self._take_up(tasks)
            case _:
                self._copying(event)

    def _copying(self, event: Event) -> None:
        match event:
            case CopyProgress(copy, bytes_read, bytes_written, expected):
                self._read.labels(copy.task).inc(bytes_read)
                self._written.labels(copy.task).inc(bytes_written)
                self._saved.labels(copy.task).inc(max(0, -expected))
            case CopyFound(copy):
                self._pending.found(copy)
                self._count_pending(copy.task)
            case CopyStarted(copy):
                self._pending.started(copy)
                self._count_pending(copy.task)
            case CopyRetried(outcome):
                self._copies_retried.labels(outcome.copy.task).inc()
                self._pending.put_back(outcome)
                self._count_pending(outcome.copy.task)
            case CopyFinished(outcome):
                self._copies.labels(outcome.copy.task, str(outcome.status), why(outcome)).inc()
                self._pending.finished(outcome)
                self._count_pending(outcome.copy.task)
            case TaskStarted(task):
                self._forget_pending(task)
            case TaskFinished(report):
                self._finished(report)

    def _count_pending(self, task: str) -> None:
        self._queued.labels(task).set(self._pending.queued)
        self._running.labels(task).set(self._pending.running)

    def _forget_pending(self, task: Task) -> None:
        self._pending = Pending()
        self._count_pending(task.name)

    def _finished(self, report: Report) -> None:
        task = report.task
        self._forget_pending(task)
        result = "succeeded" if report.ok else "failed" if report.failures else "interrupted"
        self._runs.labels(task.name, result).inc()
        self._duration.labels(task.name).set(report.finished - report.started)
        self._unasked.labels(task.name).inc(report.saved)
        self._well.labels(task.name).set(report.ok)
        if report.ok:
            self._success.labels(task.name).set(report.finished)
            self._age.labels(task.name).set_function(partial(self._since, report.finished))
        self._fresh.finished(report)

    def _since(self, moment: float) -> float:
        return max(0.0, self._now() - moment)

    def _take_up(self, tasks: Sequence[Task]) -> None:
        """Begin with the tasks of a config; what is about others is no more."""
        self._reloaded.set(self._now())
        self._traffic.take_up(tasks)
        names = {task.name for task in tasks}
        for name in self._tasks - names:
            self._forget_task(name)
        self._fresh.take_up(tasks)
        self._tasks = names
        for name in names:
            self._begin(name)

    def _begin(self, task: str) -> None:
        """Have zeros from the start, so that the first of something is a step and no beginning."""
        for result in RESULTS:
            self._runs.labels(task, result)
        gauges, counters = (self._queued, self._running), (self._copies_retried, self._unasked)
        for metric in (*gauges, *counters, self._read, self._written, self._saved):
            metric.labels(task)

    def _forget_task(self, task: str) -> None:
        counters = (self._runs, self._copies, self._copies_retried, self._read, self._written, self._saved)
        gauges = (self._duration, self._well, self._success, self._age, self._queued, self._running)
        for metric in (*counters, self._unasked, *gauges):
            metric.remove_by_labels({"task": task})


def why(outcome: Outcome) -> str:
    """Say why an image was copied or left alone, and of a failure of what kind it is."""
    if outcome.failure is not None:
        return outcome.failure.kind
    return str(outcome.reason) if outcome.reason is not None else ""
