"""docs/docker.md and docs/kubernetes.md: their examples work, and what they name exists."""

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import Chart

from dregsy.cli import group
from dregsy.config.load import load
from dregsy.ending import LAST_CALL
from dregsy.notify.notifier import FLUSH

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = ("docker.md", "kubernetes.md", "metrics.md", "reports.md", "status-page.md")
ENVIRON = {"TARGET_AUTH": "eyJ1c2VybmFtZSI6InVzZXIiLCJwYXNzd29yZCI6InNlY3JldCJ9"}


def example(page: str) -> Any:
    """Return the page's last YAML example."""
    part = (DOCS / page).read_text().split("```yaml\n")[-1]
    return yaml.safe_load(part.partition("```")[0])


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Every link to a file of this project finds it."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (DOCS / page).read_text())

    assert [link for link in links if not (DOCS / link).exists()] == []


def test_the_file_for_docker() -> None:
    """Dregsy takes it without a word."""
    loaded = load("-", environ=ENVIRON, strict=True, stdin=StringIO(yaml.safe_dump(example("docker.md"))))

    assert loaded.warnings == ()


def test_docker_waits_for_the_end() -> None:
    """What --stop-timeout says on the page is longer than dregsy takes to end."""
    told = [float(number) for number in re.findall(r"--stop-timeout (\d+)", (DOCS / "docker.md").read_text())]
    (grace,) = [one.default for one in group.commands["run"].params if one.name == "grace"]

    assert told
    assert min(told) > float(str(grace)) + LAST_CALL + FLUSH


def test_the_values_for_helm() -> None:
    """The chart takes the values, and dregsy the file in them."""
    values = example("kubernetes.md")
    with Chart.load(str(ROOT / "deploy/helm/dregsy")) as chart:
        assert "StatefulSet" in "".join(chart.render(values=values).values())

    assert load("-", environ=ENVIRON, strict=True, stdin=StringIO(values["config"])).warnings == ()


def test_commands_use_what_there_is() -> None:
    """Targets of make, and folders and flags of the commands."""
    text = "".join((DOCS / page).read_text() for page in PAGES)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"`?make ([a-z-]+)", text)) <= targets
    assert all((ROOT / path).exists() for path in re.findall(r"\bdeploy/[\w/.-]*\w", text))
