"""Alerts and the dashboard ask for nothing but metrics that there are, by labels that these have."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
METRICS = DEPLOY.parent / "docs/metrics.md"
SCRAPED = {"instance", "job"}
"""Labels that Prometheus gives to everything."""
FOREIGN = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}


def documented() -> dict[str, set[str]]:
    """The labels of each metric, by docs/metrics.md, which another test compares with the program."""
    rows = re.findall(r"^\| `(dregsy_\w+)` \| ([^|]*)\|", METRICS.read_text(), re.MULTILINE)
    return {name: {*re.findall(r"`(\w+)`", labels), *SCRAPED} for name, labels in rows} | dict.fromkeys(
        FOREIGN, SCRAPED
    )


def rules() -> list[dict[str, Any]]:
    """All alert rules."""
    document = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def targets() -> Iterator[dict[str, Any]]:
    """All that the dashboard asks for."""
    for panel in json.loads((DEPLOY / "grafana/dregsy.json").read_text())["panels"]:
        yield from panel.get("targets", [])


EXPRESSIONS = [rule["expr"] for rule in rules()] + [target["expr"] for target in targets()]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_name_what_there_is(expression: str) -> None:
    """Each metric exists, and has the labels that are selected, kept or joined by."""
    known = documented()
    asked = re.findall(r"\b((?:dregsy|process)_\w+|up\b)(?:\{([^}]*)\})?", expression)
    assert asked

    for name, selectors in asked:
        assert name in known
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selectors)) <= known[name]
    together = set.intersection(*(known[name] for name, _ in asked))
    for labels in re.findall(r"\b(?:by|on) ?\(([^)]*)\)", expression):
        assert {label.strip() for label in labels.split(",")} <= together


@pytest.mark.parametrize("courses", ["alerts.yaml", "alerts-of-weeks.yaml"])
def test_alerts_tell_what_is_wrong_and_nothing_else(courses: str) -> None:
    """As Prometheus itself evaluates them over the courses of things in a file."""
    ran = subprocess.run(
        ["promtool", "test", "rules", str(Path(__file__).with_name(courses))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout


def test_alerts_are_told_in_words() -> None:
    """Each has a severity, and a summary and description that use labels which its metrics have."""
    known = documented()

    for rule in rules():
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        labels = set.union(*(known[name] for name in re.findall(r"\b(?:dregsy_\w+|up\b)", rule["expr"])))
        told = f"{rule['annotations']['summary']} {rule['annotations']['description']}"
        assert set(re.findall(r"\$labels\.(\w+)", told)) <= labels


def test_the_dashboard_leaves_no_metric_out() -> None:
    """Each metric of our own is shown somewhere, but for those that tell again what others do."""
    shown = {name for target in targets() for name in re.findall(r"dregsy_\w+", target["expr"])}
    own = {name for name in documented() if name.startswith("dregsy_")}

    assert own - shown == {
        "dregsy_config_last_reload_success_timestamp_seconds",
        "dregsy_config_reloads_total",
        "dregsy_task_last_success_timestamp_seconds",
    }


def test_panels_do_not_overlap() -> None:
    """Each has an id and a place of its own, within Grafana's 24 columns."""
    panels = json.loads((DEPLOY / "grafana/dregsy.json").read_text())["panels"]
    cells = [
        (column, line)
        for place in (panel["gridPos"] for panel in panels)
        for column in range(place["x"], place["x"] + place["w"])
        for line in range(place["y"], place["y"] + place["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(cells)) == len(cells)
    assert max(column for column, _ in cells) < 24
