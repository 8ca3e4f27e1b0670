"""Each fault in each phase of a copy between real registries: passing ones are outlived, lasting ones do no harm."""

import asyncio
from pathlib import Path

import pytest

from dregsy.embedded import images
from dregsy.model.platform import Platform
from dregsy.model.report import Report, Status
from dregsy.model.timeouts import Timeouts
from tests.faults.conftest import AT_TARGET, FAULTS, FINAL, HANGING, LONG, PATIENT, PHASES, SHORT, graph_at
from tests.testbed.clients import registries
from tests.testbed.copying import Workshop, left_over, rule, task
from tests.testbed.faults import Fault
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry


async def copied(folder: Path, source: str, target: str, repository: str, limits: Timeouts) -> Report:
    """Run a task for all tags of a repository."""
    async with Workshop(folder, timeouts=limits) as shop:
        return await shop.run(task(source, (target,), rule(repository)), retries=2)


def armed(fault: str, phase: str, times: int) -> Fault:
    """The fault, ready for use."""
    made = FAULTS[fault](PHASES[phase])
    made.times = times
    return made


def made(text: str) -> images.Image:
    """An index of two images, with blobs that nobody else has."""
    return images.index(images.image(text), images.image(f"{text}/arm", platform=Platform("linux", "arm64")))


async def outcome(
    hosts: tuple[str, str], fault: Fault, phase: str, repository: str, folder: Path, limits: Timeouts
) -> tuple[Report, int, str]:
    """Copy an image with a fault in the way; return the report, how often it struck, and what the target has."""
    image, before = made(repository), asyncio.all_tasks()
    push(hosts[0], repository, image, "v1")
    with RecordingProxy(hosts[0]) as source, RecordingProxy(hosts[1]) as target:
        (target if phase in AT_TARGET else source).faults = [fault]
        times = fault.times
        report = await copied(folder, source.host, target.host, repository, limits)
        struck = times - fault.times
        if fault.gate is not None:
            fault.gate.open()
        assert left_over(before) == []
    async with registries() as clients:
        return report, struck, await graph_at(clients, hosts[1], repository, "v1", image)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_passing_fault(
    fault: str, phase: str, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, tmp_path: Path
) -> None:
    """What goes wrong twice costs time and nothing else: the image is at the target, whole. Answers are believed."""
    limits = PATIENT if fault in HANGING else LONG
    hosts = registry_a.host, registry_b.host
    report, struck, found = await outcome(hosts, armed(fault, phase, 2), phase, repo, tmp_path, limits)

    expected = ("nothing", Status.FAILED) if (fault, phase) in FINAL else ("whole", Status.COPIED)
    assert [(found, one.status) for one in report.outcomes] == [expected]
    assert struck > 0


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_lasting_fault(
    fault: str, phase: str, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str, tmp_path: Path
) -> None:
    """What always goes wrong has an end, is told, and leaves nothing at the target that is not whole."""
    limits = SHORT if fault in HANGING else LONG
    hosts = registry_a.host, registry_b.host
    report, struck, found = await outcome(hosts, armed(fault, phase, -1), phase, repo, tmp_path, limits)

    assert struck > 0
    assert found in {"nothing", "whole"}
    assert found == "whole" or not report.ok
    assert report.ok or all(one.failure and one.failure.message for one in report.failures)
