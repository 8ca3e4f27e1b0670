"""Since when all that a mapping means has been at its targets: of each, however many stand in one line."""

from collections import Counter as Counts
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Gauge

from dregsy.model.plan import Task
from dregsy.model.ref import DOCKER_HUB
from dregsy.model.report import Outcome, Report, Status


class Freshness:
    """A gauge for each mapping of the tasks that there are, in a registry of metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gauge = Gauge(
            "dregsy_mapping_last_success_timestamp_seconds",
            "When all that the mapping means was last at its targets.",
            ("task", "mapping"),
            registry=registry,
        )
        self._mappings: set[tuple[str, str]] = set()

    def take_up(self, tasks: Sequence[Task]) -> None:
        """Go on with these tasks; mappings that are in none of them are told no more."""
        mappings = {(task.name, name) for task in tasks for name in _names(task)}
        for labels in self._mappings - mappings:
            self._gauge.remove(*labels)
        self._mappings = mappings

    def finished(self, report: Report) -> None:
        """A run has ended: what it left nothing of undone is fresh. One that was cut short tells nothing."""
        if report.interrupted:
            return
        task = report.task
        lost = [one for one in report.outcomes if one.status not in {Status.COPIED, Status.CURRENT}]
        undone = {number for one in lost for number in _meant(task, one)}
        for number, name in enumerate(_names(task)):
            if number not in undone:
                self._gauge.labels(task.name, name).set(report.finished)


def _names(task: Task) -> Iterator[str]:
    """Name the mappings of a task, by what they are ``from``; those that come later with the same get a number."""
    counts: Counts[str] = Counts()
    for rule in task.rules:
        text = rule.source.text
        counts[text] += 1
        yield text if counts[text] == 1 else f"{text}#{counts[text]}"


def _meant(task: Task, outcome: Outcome) -> Sequence[int]:
    """Find the mappings that an outcome may belong to: those in its line that mean its repository, else all in it."""
    source = outcome.copy.source
    prefix = task.source.prefix
    near = [number for number, rule in enumerate(task.rules) if rule.where == outcome.copy.where]
    if source.tag is None and source.repository in {prefix, "*"}:
        return [number for number in near if task.rules[number].source.fixed is None]  # there was no list
    name = source.repository.removeprefix(f"{prefix}/" if prefix else "")
    names = {name, name.removeprefix("library/")} if source.host == DOCKER_HUB else {name}
    return [number for number in near if any(map(task.rules[number].source.matches, names))] or near
