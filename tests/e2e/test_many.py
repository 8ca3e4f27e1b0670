"""Many tags, many copies at once, more than one process: memory and open files stay bounded, nothing is hurt."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from tests.e2e.test_signals import end, wait_until
from tests.testbed.command import Dregsy, mirror
from tests.testbed.faults import Fault, Gate
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

BYTES_PER_TAG = 2048
"""With three targets."""
COPIES = 200
FILES = 400
"""How many files the process may have open."""
PATIENCE = 180.0
"""How long, in seconds, two processes that share a machine may take for all tags."""

MEASURED = """
import asyncio, os, sys, tracemalloc
from dregsy import app
from dregsy.model.report import TaskFinished, TaskStarted
from dregsy.reload import ConfigFile

def measure(event):
    if isinstance(event, TaskStarted):
        tracemalloc.start()
    elif isinstance(event, TaskFinished):
        print(len(event.report.outcomes), tracemalloc.get_traced_memory()[1])

file = ConfigFile(sys.argv[1], environ=os.environ)
sys.exit(asyncio.run(app.run(file, environ=os.environ, listeners=[measure])))
"""


def to_three(source: EmbeddedRegistry, *targets: EmbeddedRegistry) -> dict[str, Any]:
    """Return a config that mirrors one repository."""
    document: dict[str, Any] = mirror(source.host, "", {"from": "app"})
    del document["tasks"][0]["target"]
    document["tasks"][0]["targets"] = [{"registry": one.host} for one in targets]
    return {"relay": "native", **document}


async def peak(folder: Path, tags: int) -> int:
    """Mirror so many tags to three targets that have them, and return how many bytes that took at most."""
    names = [f"v{number}" for number in range(tags)]
    async with EmbeddedRegistry() as a, EmbeddedRegistry() as b, EmbeddedRegistry() as c, EmbeddedRegistry() as d:
        for registry in (a, b, c, d):
            await images.seed(registry, "app", images.image("x"), *names)
        dregsy = Dregsy(folder)
        config = dregsy.config({**to_three(a, b, c, d), "parallel": 2})
        command = [sys.executable, "-c", MEASURED, config]
        process = await asyncio.create_subprocess_exec(*command, env=dregsy.environ, cwd=folder, stdout=subprocess.PIPE)
        out, _ = await process.communicate()
    outcomes, most = map(int, out.split())
    assert (process.returncode, outcomes) == (0, 3 * tags)
    return most


async def test_memory_by_tags(tmp_path: Path) -> None:
    """Each tag more takes less than 2 KB, for what is planned, asked and reported together.

    Connections, which take more than that, are few and soon at their most.
    """
    few, many = 400, 1200
    before, after = await peak(tmp_path / "few", few), await peak(tmp_path / "many", many)
    assert (after - before) / (many - few) < BYTES_PER_TAG


def test_many_copies_at_once(tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """With ``parallel: 200`` as many copies are under way at once, and no more files are open than a user may have."""
    for number in range(COPIES):
        push(registry_a.host, repo, images.image(f"{repo}/{number}", layers=1, size=64), f"v{number}")
    gate = Gate()
    dregsy = Dregsy(tmp_path / "user", {"LOG_LEVEL": "debug"}, within=("prlimit", f"--nofile={FILES}:{FILES}"))
    with (
        DockerRegistry(tmp_path / "target") as target,
        RecordingProxy(target.host, Fault(path="/blobs/uploads/", method="PUT", gate=gate, times=-1)) as proxy,
    ):
        document = {**mirror(registry_a.host, proxy.host, {"from": repo}), "relay": "native", "parallel": COPIES}
        process = dregsy.start("-config", dregsy.config(document))
        gate.wait()
        wait_until(lambda: (dregsy.folder / "out").read_text().count(" copying ") == COPIES)
        gate.open()
        assert end(process) == 0
        file = dregsy.config(mirror(registry_a.host, target.host, {"from": repo}), "direct.yaml")
        assert dregsy.run("verify", "--deep", "--log-level", "error", "-config", file).out == f"{COPIES} whole\n"


@pytest.mark.parametrize("killed", [False, True])
def test_two_processes(
    killed: bool, tmp_path: Path, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """Two that do the same at the same time, with one journal: both end well, also when a third is killed meanwhile."""
    tags = [f"v{number}" for number in range(15)]
    for tag in tags:
        image = images.image(f"{repo}/{tag}", size=50_000)
        push(registry_a.host, repo, images.index(image, images.image(f"{repo}/{tag}/more")), tag)
    targets = [{"registry": f"{registry_b.host}/one"}, {"registry": f"{registry_b.host}/two"}]
    document: dict[str, Any] = mirror(registry_a.host, "", {"from": repo})
    del document["tasks"][0]["target"]
    document["tasks"][0]["targets"] = targets
    document |= {"relay": "native", "state": {"path": str(tmp_path / "state"), "ttl": "1h"}}
    users = [Dregsy(tmp_path / f"user{number}") for number in range(2 + killed)]
    processes = [user.start("-config", user.config(document)) for user in users]
    if killed:
        victim = users[-1].folder / "out"
        wait_until(lambda: "copied: " in victim.read_text() or processes[-1].poll() is not None)
        processes[-1].kill()
        end(processes.pop())
    assert [process.wait(PATIENCE) for process in processes] == [0, 0]
    said = [(user.folder / "out").read_text() + (user.folder / "err").read_text() for user in users]
    assert [text for text in said if "journal" in text or "failed" in text] == []
    (first, *_) = users
    assert first.run("verify", "--deep", "-config", "sync.yaml").out == f"{2 * len(tags)} whole\n"
    again = first.run("-config", "sync.yaml")
    assert (again.code, f"{2 * len(tags)} up to date" in again.said, "requests saved" in again.said) == (0, True, True)
