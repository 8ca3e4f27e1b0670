"""Each fault on the way to a target that has an older image under the tag: it has one of the two, whole."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.model.report import Report, Status
from tests.faults.conftest import AT_TARGET, FAULTS, PHASES, SHORT, graph_at
from tests.testbed.clients import registries
from tests.testbed.copying import Workshop, left_over, rule, task
from tests.testbed.faults import Fault
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

VANISHES = "an answer of something in front"
ALL: dict[str, Callable[[Fault], Fault]] = {**FAULTS, VANISHES: lambda at: replace(at, status=201)}
AT_TAG = {phase: PHASES[phase] for phase in (*sorted(AT_TARGET), "head")}


async def updated(source: str, target: str, repository: str, fault: Fault, folder: Path) -> Report:
    """Copy with a fault on the way to the target."""
    before = asyncio.all_tasks()
    with RecordingProxy(target) as proxy:
        proxy.faults = [fault]
        async with Workshop(folder, timeouts=SHORT) as shop:
            report = await shop.run(task(source, (proxy.host,), rule(repository)), retries=1)
        if fault.gate is not None:
            fault.gate.open()
        assert left_over(before) == []
    return report


@pytest.mark.parametrize("times", [1, -1])
@pytest.mark.parametrize("phase", AT_TAG)
@pytest.mark.parametrize("fault", ALL)
async def test_an_update(
    fault: str,
    phase: str,
    times: int,
    registry_a: DockerRegistry,
    registry_b: DockerRegistry,
    repo: str,
    tmp_path: Path,
) -> None:
    """Whatever goes wrong, the tag is the old image or the new one, whole; nobody says copied where it is the old."""
    old, new = images.image(f"{repo}/old"), images.image(f"{repo}/new")
    push(registry_a.host, repo, new, "v1")
    push(registry_b.host, repo, old, "v1")
    made = ALL[fault](AT_TAG[phase])
    made.times = times
    report = await updated(registry_a.host, registry_b.host, repo, made, tmp_path)

    async with registries() as clients:
        found = {
            name: await graph_at(clients, registry_b.host, repo, "v1", image)
            for name, image in (("old", old), ("new", new))
        }
    (outcome,) = report.outcomes
    assert "whole" in found.values()
    assert outcome.status is not Status.COPIED or found["new"] == "whole"
    assert outcome.failure is not None or found["new"] == "whole"
