"""Tasks and images as listeners hear of them, and metrics that listen."""

from prometheus_client import generate_latest

from dregsy.model.digest import Digest
from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Once, Rule, Task
from dregsy.model.ref import Ref
from dregsy.model.report import Event
from dregsy.model.rewrite import Rewrite, Selection
from dregsy.model.tags import TagFilter
from dregsy.web.metrics import Metrics
from tests.testbed.asking import figures

TARGETS = ("b.test", "c.test")
DIGEST = Digest.of(b"image")


def copy(tag: str | None, *, task: str = "nightly", where: str = "sync.yaml:1", targets: int = 2) -> Copy:
    """Return a copy of ``a.test/app`` to some targets."""
    source = Ref("a.test", "app", tag, None if tag else DIGEST)
    return Copy(
        task, source, tuple(Ref(host, "app", tag) for host in TARGETS[:targets]), tuple(range(targets)), where=where
    )


def rule(source: str, line: int) -> Rule:
    """Return a mapping."""
    selection = Selection.parse(source)
    return Rule(selection, Rewrite.parse("", selection=selection), TagFilter.parse([]), where=f"sync.yaml:{line}")


def task(name: str = "nightly", *rules: Rule, source: str = "a.test") -> Task:
    """Return a task."""
    return Task(name, Once(), Endpoint(source), (Endpoint("b.test"),), rules)


class Book:
    """Metrics at a time that is set by hand."""

    def __init__(self, *tasks: Task) -> None:
        self.time = 1000.0
        self.metrics = Metrics(tasks, now=lambda: self.time)

    def __call__(self, *events: Event) -> None:
        """Something happens."""
        for event in events:
            self.metrics(event)

    def of(self, start: str) -> dict[str, float]:
        """Return the figures whose names begin so, without ``dregsy_``."""
        found = figures(generate_latest(self.metrics.registry).decode())
        return {name[7:]: value for name, value in found.items() if name.startswith(f"dregsy_{start}")}
