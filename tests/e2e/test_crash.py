"""Ends that nobody planned: killed, cut off from power, out of disk. The next run does the rest, and no more."""

import asyncio
import base64
import json
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from dregsy.embedded import images
from dregsy.embedded.server import EmbeddedRegistry
from dregsy.journal import NAME, Journal
from dregsy.model.platform import Platform
from dregsy.model.report import Report, Status
from tests.e2e.test_signals import end, wait_for, wait_until
from tests.testbed.command import Dregsy, mirror
from tests.testbed.copying import Workshop, rule, task
from tests.testbed.faults import Fault, Gate, Seen
from tests.testbed.leaks import files_below
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]
ARM = Platform.parse("linux/arm64")
PASSWORD = "correct-horse-battery"
AUTH = base64.b64encode(json.dumps({"username": "alice", "password": PASSWORD}).encode()).decode()


@dataclass
class Phase:
    """A moment of a copy: that in which a request of this kind is under way, after ``skip`` of them were done."""

    method: str
    path: str
    skip: int = 0

    def fault(self, gate: Gate) -> Fault:
        """Hold that request."""
        return Fault(path=self.path, method=self.method, skip=self.skip, gate=gate, times=-1)


PHASES = {
    "upload open": Phase("POST", "/blobs/uploads/"),
    "first blob": Phase("PUT", "/blobs/uploads/"),
    "some blobs done": Phase("PUT", "/blobs/uploads/", skip=3),
    "first child": Phase("PUT", "/manifests/sha256:"),
    "second child": Phase("PUT", "/manifests/sha256:", skip=1),
    "before the tag": Phase("PUT", "/manifests/v"),
    "after a tag": Phase("PUT", "/manifests/v", skip=1),
}


def arrived(proxy: RecordingProxy, kind: str) -> set[str]:
    """Return the digests (and tags) of the blobs or manifests that the registry took."""
    put = [f"{one.path}?{one.query}" for one in list(proxy.seen) if one.method == "PUT" and one.status == 201]
    found = [re.search(rf"/{kind}/.*?(sha256[:%][0-9A-Fa-f]+|v\d+)$", one.rstrip("?")) for one in put]
    return {one.group(1).replace("%3A", ":") for one in found if one}


def finish_off(process: "Popen[str]", way: str, out: Path) -> None:
    """End a process the hard way."""
    if way == "kill -9":
        process.kill()
    else:
        process.send_signal(signal.SIGTERM)
        wait_for(out, "stopping")
        process.send_signal(signal.SIGTERM)
    end(process)


def secrets_below(*folders: Path) -> list[str]:
    """Name the files that hold the password, in whatever coding."""
    pair = base64.b64encode(f"alice:{PASSWORD}".encode())
    forms = (PASSWORD.encode(), AUTH.encode(), pair, base64.b64encode(PASSWORD.encode()))
    return [str(file) for file, content in files_below(*folders) if any(form in content for form in forms)]


@pytest.mark.parametrize("way", ["kill -9", "SIGTERM twice"])
@pytest.mark.parametrize("name", PHASES)
def test_ended_in_each_phase(name: str, way: str, tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """Whenever it ends, each tag that is there is whole, and the next run brings what is missing and nothing else.

    No secret and no temporary file is left by then.
    """
    phase, gate = PHASES[name], Gate()
    index = images.index(images.image(f"{repo}/1"), images.image(f"{repo}/2", platform=ARM))
    other = images.image(f"{repo}/3")
    push(registry_a.host, repo, index, "v1")
    push(registry_a.host, repo, other, "v2")
    dregsy = Dregsy(tmp_path / "user", {"TMPDIR": str(tmp_path / "tmp")})
    (tmp_path / "tmp").mkdir()
    with DockerRegistry(tmp_path / "target", users={"alice": PASSWORD}) as target:
        file = Config(dregsy, repo)
        with RecordingProxy(target.host, phase.fault(gate)) as proxy:
            process = dregsy.start("-config", file.write(registry_a.host, proxy.host))
            gate.wait()
            wait_until(lambda: is_still(list(proxy.seen), phase))
            finish_off(process, way, dregsy.folder / "out")
            manifests = arrived(proxy, "manifests")
        assert secrets_below(dregsy.folder / "state", tmp_path / "tmp") == []
        halfway = dregsy.run("verify", "--deep", "--json", "-config", file.write(registry_a.host, target.host))
        assert set(json.loads(halfway.out)["counts"]) <= {"whole", "missing"}
        blobs = target.blobs(repo)
        with RecordingProxy(target.host) as proxy, RecordingProxy(registry_a.host) as source:
            assert dregsy.run("-config", file.write(source.host, proxy.host)).code == 0
            assert arrived(proxy, "blobs") == {*map(str, {**index.blobs, **other.blobs})} - blobs
            assert source.count("GET", "/blobs/") == len({**index.blobs, **other.blobs}) - len(blobs)
            assert arrived(proxy, "manifests") & manifests == set()
        assert dregsy.run("verify", "--deep", "-config", file.write(registry_a.host, target.host)).out == "2 whole\n"
    assert [one.name for one in (dregsy.folder / "state").iterdir()] == [NAME]
    assert list((tmp_path / "tmp").iterdir()) == []


def is_still(seen: Sequence[Seen], phase: Phase) -> bool:
    """Whether nothing is under way but what the gate holds."""
    held = [one for one in seen if one.method == phase.method and re.search(phase.path, f"{one.path}?{one.query}")]
    passed = sum(one.status != 0 for one in held)
    return passed == phase.skip and all(one.status for one in seen if one not in held)


@dataclass
class Config:
    """A file that mirrors two tags, one after the other, with a login and a journal."""

    dregsy: Dregsy
    repo: str
    relay: str = "native"

    def write(self, source: str, target: str) -> str:
        """Write it for these addresses."""
        document = mirror(source, target, {"from": self.repo, "tags": ["v1", "v2"]})
        document["tasks"][0]["target"]["auth"] = AUTH
        return self.dregsy.config({**document, "relay": self.relay, "parallel": 1, "retries": 0, "state": "state"})


async def test_power_cut(tmp_path: Path, embedded_pair: Pair) -> None:
    """A journal as a power cut leaves it, with its files from different moments, cut and garbled, harms no image."""
    source, target = embedded_pair
    chance = random.Random(20)  # noqa: S311 - no secret
    every = [images.index(images.image(f"x/{number}")) for number in range(12)]
    for number, image in enumerate(every):
        await images.seed(source, "app", image, f"v{number}")
    kept = tmp_path / "kept"
    kept.mkdir()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(tmp_path / "first", embedded_pair, Journal(tmp_path / NAME, 3600)))
        count = 0
        while not running.done():
            if (tmp_path / NAME).exists() and count < 40:
                copied_unevenly(tmp_path / NAME, kept / f"{count}", chance)
                count += 1
            await asyncio.sleep(0.005)
    assert running.result().counts[Status.COPIED] == len(every)
    for number in chance.sample(range(count), min(count, 6)):
        folder = kept / f"{number}"
        damaged(folder, chance)
        lost(target, chance)
        report = await run(tmp_path / f"again-{number}", embedded_pair, Journal(folder, 3600))
        assert [one.failure for one in report.outcomes if one.failure] == []
        repository = target.store.find("app")
        assert repository.tags == {f"v{number}": image.digest for number, image in enumerate(every)}
        assert all(digest in repository.blobs for image in every for digest in image.blobs)


async def run(folder: Path, pair: Pair, journal: Journal) -> Report:
    """Mirror the first registry to the second, as a process of its own would."""
    async with Workshop(folder, journal=journal) as shop:
        return await shop.run(task(pair[0].host, (pair[1].host,), rule("app")))


def copied_unevenly(source: Path, target: Path, chance: random.Random) -> None:
    """Copy the files of a journal one after the other, in any order, while it is written."""
    target.mkdir(mode=0o700)
    files = sorted(source.iterdir())
    for file in chance.sample(files, len(files)):
        with suppress(FileNotFoundError):  # SQLite's own files come and go
            shutil.copyfile(file, target / file.name)


def damaged(folder: Path, chance: random.Random) -> None:
    """Cut the log of a database, or garble its end."""
    for log in folder.glob("*-wal"):
        content = bytearray(log.read_bytes())
        cut = chance.randrange(len(content) + 1)
        garbage = chance.randbytes(len(content) - cut if chance.random() < 0.5 else 0)
        log.write_bytes(content[:cut] + garbage)


def lost(registry: EmbeddedRegistry, chance: random.Random) -> None:
    """Let a registry lose everything, or nothing."""
    if chance.random() < 0.5:
        repository = registry.store.find("app")
        for content in (repository.tags, repository.manifests, repository.blobs):
            content.clear()


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """Have a disk of that size at ``folder``."""
    folder.mkdir(parents=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=700", "none", str(folder)], check=True, timeout=60
    )
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=60)


@pytest.mark.parametrize(
    ("relay", "targets", "code"),
    [("native", 1, 0), ("native", 2, 1), ("skopeo", 1, 0), ("skopeo", 2, 0)],
    ids=["journal", "journal and spool", "skopeo's journal and logins", "skopeo's, two targets"],
)
def test_full_disk(relay: str, targets: int, code: int, tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """Where the disk of 'state' and TMPDIR is full, what needs no room is done and the rest named; room heals it."""
    image = images.image(repo, layers=1, size=300_000)
    push(registry_a.host, repo, image, "v1")
    disk = tmp_path / "disk"
    dregsy = Dregsy(tmp_path / "user", {"TMPDIR": str(disk)})
    with DockerRegistry(tmp_path / "target", users={"alice": PASSWORD}) as target, small_disk(disk, 48):
        document: dict[str, Any] = mirror(registry_a.host, target.host, {"from": repo, "to": f"{repo}/one"})
        document["tasks"][0]["target"]["auth"] = AUTH
        if targets == 2:
            first = document["tasks"][0].pop("target")
            document["tasks"][0]["targets"] = [first, {**first, "registry": f"{target.host}/two"}]
        file = dregsy.config({**document, "relay": relay, "retries": 0, "state": str(disk / "state")})

        ran = dregsy.run("-config", file)
        assert ran.code == code, ran.said
        assert ("No space left on device" in ran.said) == bool(code)
        assert secrets_below(disk) == []
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True, timeout=60)
        assert dregsy.run("-config", file).code == 0
        assert dregsy.run("verify", "--deep", "-config", file).out == f"{targets} whole\n"
        assert [one.name for one in disk.rglob("*") if one.is_file() and NAME not in str(one)] == []


@pytest.mark.parametrize("jump", [-10 * 365 * 86400.0, -3600.0, 3600.0, 10 * 365 * 86400.0])
async def test_clock_jumps(jump: float, tmp_path: Path, embedded_pair: Pair) -> None:
    """Whichever way the clock jumped between two runs, what changed meanwhile is copied and what was lost is back."""
    source, target = embedded_pair
    time = 1_700_000_000.0
    for moment, image in ((time, images.image("x/1")), (time + jump, images.image("x/2"))):
        await images.seed(source, "app", image, "moves", "new" if moment != time else "stays")
        journal = Journal(tmp_path / NAME, 1800, now=lambda moment=moment: moment)  # type: ignore[misc]  # a default
        report = await run(tmp_path / f"{moment}", embedded_pair, journal)
        assert report.ok
        assert target.store.find("app").tags == source.store.find("app").tags
        target.store.find("app").tags.clear()
    journal = Journal(tmp_path / NAME, 1800, now=lambda: time)
    assert (await run(tmp_path / "back", embedded_pair, journal)).ok
    assert target.store.find("app").tags == source.store.find("app").tags


@pytest.mark.parametrize("relay", ["native", "skopeo"])
def test_killed_with_several_targets(relay: str, tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """Killed while one of three targets has the tag: nothing secret is left, the next run serves the others."""
    push(registry_a.host, repo, images.image(repo, size=300_000), "v1")
    gate = Gate()
    dregsy = Dregsy(tmp_path / "user", {"TMPDIR": str(tmp_path / "tmp")})
    (tmp_path / "tmp").mkdir()
    with DockerRegistry(tmp_path / "target", users={"alice": PASSWORD}) as target:

        def written(host: str) -> str:
            places = [{"registry": f"{host}/{number}", "auth": AUTH} for number in range(3)]
            task = {
                "name": "x",
                "source": {"registry": registry_a.host},
                "targets": places,
                "mappings": [{"from": repo}],
            }
            return dregsy.config({"relay": relay, "retries": 0, "state": "state", "tasks": [task]})

        with RecordingProxy(target.host, PHASES["after a tag"].fault(gate)) as proxy:
            process = dregsy.start("-config", written(proxy.host))
            gate.wait()
            process.kill()
            end(process)
            assert secrets_below(dregsy.folder / "state", tmp_path / "tmp") == []
        assert dregsy.run("-config", written(target.host)).code == 0
        assert dregsy.run("verify", "--deep", "-config", written(target.host)).out == "3 whole\n"
    assert [one.name for one in (dregsy.folder / "state").iterdir()] == [NAME]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_skopeo_is_killed(tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """Killed while skopeo works for it: no login is on a disk, and the next run finishes."""
    push(registry_a.host, repo, images.image(repo), "v1", "v2")
    gate = Gate()
    dregsy = Dregsy(tmp_path / "user", {"TMPDIR": str(tmp_path / "tmp")})
    (tmp_path / "tmp").mkdir()
    with DockerRegistry(tmp_path / "target", users={"alice": PASSWORD}) as target:
        file = Config(dregsy, repo, "skopeo")
        with RecordingProxy(target.host, PHASES["before the tag"].fault(gate)) as proxy:
            process = dregsy.start("-config", file.write(registry_a.host, proxy.host))
            gate.wait()
            process.kill()
            end(process)
            assert secrets_below(dregsy.folder / "state", tmp_path / "tmp") == []
        assert dregsy.run("-config", file.write(registry_a.host, target.host)).code == 0
        assert dregsy.run("verify", "--deep", "-config", file.write(registry_a.host, target.host)).out == "2 whole\n"
    assert secrets_below(dregsy.folder / "state", tmp_path / "tmp") == []
    assert list((dregsy.folder / "state").iterdir()) == [dregsy.folder / "state" / NAME]
