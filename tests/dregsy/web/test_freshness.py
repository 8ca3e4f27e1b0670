import pytest
from prometheus_client import CollectorRegistry, generate_latest

from dregsy.model.endpoint import Endpoint
from dregsy.model.plan import Copy, Once, Rule, Task
from dregsy.model.ref import DOCKER_HUB, Ref
from dregsy.model.report import Outcome, Report, Status
from dregsy.web.freshness import Freshness
from tests.dregsy.web.events import rule
from tests.testbed.asking import figures

NAME = "dregsy_mapping_last_success_timestamp_seconds"


class Book:
    """Freshness after some runs, each of which ends ten seconds after the one before."""

    def __init__(self, *rules: Rule, source: Endpoint | None = None) -> None:
        self.task = Task("nightly", Once(), source or Endpoint("a.test"), (Endpoint("b.test"),), rules)
        self.registry = CollectorRegistry()
        self.freshness = Freshness(self.registry)
        self.freshness.take_up([self.task])
        self.now = 0.0

    def run(self, *outcomes: Outcome, interrupted: bool = False) -> dict[str, float]:
        """Run the task; return which mappings are there, and their moments."""
        self.now += 10.0
        self.freshness.finished(Report(self.task, self.now - 5, self.now, outcomes, interrupted=interrupted, saved=0))
        found = figures(generate_latest(self.registry).decode())
        return {name.partition('mapping="')[2].partition('"')[0]: value for name, value in found.items()}

    def lost(self, repository: str, tag: str | None = "1", *, line: int = 1) -> Outcome:
        """An image of a mapping that did not get to where it belongs; without a tag a list that there was none of."""
        target = None if tag is None else Ref("b.test", repository, tag)
        source = Ref(self.task.source.host, repository, tag)
        copy = Copy("nightly", source, (target,) if target else (), (0,) if target else (), where=f"sync.yaml:{line}")
        return Outcome(copy, target, Status.FAILED)


def test_what_is_at_its_targets_is_fresh() -> None:
    """Whatever becomes of other mappings; a run that was cut short tells nothing."""
    book = Book(rule("app", 1), rule("regex:lib/.*", 2), rule("app", 3))

    assert book.run(interrupted=True) == {}
    assert book.run() == {"app": 20, "regex:lib/.*": 20, "app#2": 20}
    assert book.run(book.lost("lib/a", line=2)) == {"app": 30, "regex:lib/.*": 20, "app#2": 30}


@pytest.mark.parametrize("prefix", ["", "team"])
def test_mappings_in_one_line(prefix: str) -> None:
    """As YAML's flow style and JSON have them: one that fails does not touch those that mean other repositories."""
    book = Book(rule("app", 1), rule("regex:lib/.*", 1), source=Endpoint("a.test", prefix))
    lost = book.lost(f"{prefix}/lib/a".lstrip("/"))

    assert book.run(lost) == {"app": 10}
    assert book.run(book.lost(f"{prefix}/app".lstrip("/"))) == {"app": 10, "regex:lib/.*": 20}


def test_official_images() -> None:
    """Docker Hub has them below ``library/``, which mappings may leave out."""
    book = Book(rule("busybox", 1), rule("library/alpine", 1), rule("team/app", 1), source=Endpoint(DOCKER_HUB))

    assert book.run(book.lost("library/busybox"), book.lost("library/alpine")) == {"team/app": 10}


@pytest.mark.parametrize("prefix", ["", "team"])
def test_no_list(prefix: str) -> None:
    """Where it is not known which repositories there are, no mapping of that line that needs a list is fresh."""
    rules = (rule("regex:lib/.*", 1), rule("regex:app/.*", 1), rule("a", 1), rule("b", 2))
    book = Book(*rules, source=Endpoint("a.test", prefix))

    assert book.run(book.lost(prefix or "*", None)) == {"a": 10, "b": 10}


def test_what_is_gone_is_told_no_more() -> None:
    """A mapping that is in no task ends; those that are still there go on."""
    book = Book(rule("app", 1), rule("lib", 2))
    book.run()
    kept = Book(rule("app", 7)).task

    book.freshness.take_up([kept])

    assert figures(generate_latest(book.registry).decode()) == {f'{NAME}{{mapping="app",task="nightly"}}': 10}
