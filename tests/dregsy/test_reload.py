import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import pytest

from dregsy.config.load import Loaded
from dregsy.errors import UsageError
from dregsy.model.plan import Plan
from dregsy.model.report import Event, Reloaded, Warned
from dregsy.model.shard import Shard
from dregsy.reload import POLL, SETTLE, ConfigFile, Reloader

TASK = "tasks: [{name: 'NAME', source: {registry: a.example}, target: {registry: b.example}}]\n"
WATCHED = "watch: true\n" + TASK
Deed = Callable[[], object]


class Over(Exception):
    """Nothing more was to happen."""


@dataclass
class Script:
    """A clock whose time passes at once; ``deeds`` are done at their seconds, and after the last it is over."""

    deeds: dict[float, Deed] = field(default_factory=dict)
    time: float = 0.0

    def now(self) -> float:
        """Return the time."""
        return self.time

    async def sleep_until(self, when: float, wake: asyncio.Event) -> None:
        """Let time pass."""
        assert not wake.is_set()
        self.time = when
        due = [moment for moment in self.deeds if moment <= when]
        for moment in due:
            self.deeds.pop(moment)()
        if when > 100:
            raise Over


async def accept(_: Plan) -> None:
    """Find nothing wrong with a plan."""


@dataclass
class Watched:
    """A config file that is watched."""

    path: Path
    script: Script = field(default_factory=Script)
    events: list[Event] = field(default_factory=list)
    prove: Callable[[Plan], Awaitable[None]] = accept

    async def next(self, text: str = WATCHED, stdin: str | None = None) -> Loaded:
        """Return what is read next."""
        self.path.write_text(text)
        name, stream = (str(self.path), None) if stdin is None else ("-", StringIO(stdin))
        file = ConfigFile(name, environ={}, stdin=stream, shard=Shard(1, 3))
        self.reloader = Reloader(file, self.prove, self.events.append, self.script)
        return await self.reloader.next()

    def write(self, text: str) -> Deed:
        """Return what writes other text."""
        return lambda: self.path.write_text(text)

    @property
    def problems(self) -> list[str]:
        """All problems that were told."""
        return [str(one) for event in self.events if isinstance(event, Reloaded) for one in event.problems]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """Return a file that is not written yet."""
    return Watched(tmp_path / "sync.yaml")


def names(loaded: Loaded) -> list[str]:
    """Return the names of all tasks."""
    return [task.name for task in loaded.plan.tasks]


async def test_change_is_read_when_it_has_settled(watched: Watched) -> None:
    """A file that is rewritten twice is read once, some seconds after the last time."""
    watched.script.deeds = {2.0: watched.write("tasks: ["), 5.0: watched.write(WATCHED.replace("NAME", "new"))}

    loaded = await watched.next()

    assert (names(loaded), watched.events) == (["new"], [])
    assert [task.shard for task in loaded.plan.tasks] == [Shard(1, 3)]
    assert 5.0 + SETTLE <= watched.script.time <= 5.0 + SETTLE + POLL


async def test_change_that_is_taken_back(watched: Watched) -> None:
    """A file that is soon the same again is not read."""
    watched.script.deeds = {2.0: watched.write("tasks: ["), 4.0: watched.write(WATCHED)}

    with pytest.raises(Over):
        await watched.next()
    assert watched.events == []


async def test_file_replaced(watched: Watched, tmp_path: Path) -> None:
    """Editors write another file and move it there."""

    def replace() -> None:
        (tmp_path / "new").write_text(WATCHED.replace("NAME", "new"))
        (tmp_path / "new").rename(watched.path)

    watched.script.deeds = {2.0: replace}

    assert names(await watched.next()) == ["new"]


async def test_config_map_swapped(tmp_path: Path) -> None:
    """Kubernetes moves a symlink to another folder, and the file with it."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sync.yaml").write_text(WATCHED.replace("NAME", name))
    (tmp_path / "..data").symlink_to("old")
    (tmp_path / "sync.yaml").symlink_to("..data/sync.yaml")

    def swap() -> None:
        (tmp_path / "..tmp").symlink_to("new")
        (tmp_path / "..tmp").rename(tmp_path / "..data")

    watched = Watched(tmp_path / "sync.yaml", Script({2.0: swap}))

    assert names(await watched.next(WATCHED.replace("NAME", "old"))) == ["new"]


async def test_named_files_are_watched_too(watched: Watched, tmp_path: Path) -> None:
    """A secret that is mounted and rotated counts as part of the file."""
    secret = tmp_path / "name"
    secret.write_text("old")
    watched.script.deeds = {2.0: lambda: secret.write_text("new")}

    assert names(await watched.next(WATCHED.replace("NAME", f"${{file:{secret}}}"))) == ["new"]


async def test_all_mistakes_are_told_once_and_mending_is_noticed(watched: Watched) -> None:
    """A file that is wrong is told of with all its problems, a single time; the right one after it counts."""
    wrong = "watch: maybe\nparallel: none\n"
    watched.script.deeds = {2.0: watched.write(wrong), 40.0: watched.write(WATCHED.replace("NAME", "mended"))}

    loaded = await watched.next()

    assert [Reloaded] == [type(event) for event in watched.events]
    assert [
        f"{watched.path}:{line}: {key}: needs" in text
        for (line, key), text in zip([(1, "watch"), (2, "parallel")], watched.problems, strict=True)
    ] == [True, True]
    assert names(loaded) == ["mended"]


async def test_plan_that_cannot_be_run(watched: Watched) -> None:
    """A file that is right, but asks for what this machine cannot do, is refused like a wrong one."""

    async def refuse(plan: Plan) -> None:
        if plan.tasks[0].name == "bad":
            raise UsageError("no such binary", hint="install it")

    watched.prove = refuse
    good = watched.write(WATCHED.replace("NAME", "good"))
    watched.script.deeds = {2.0: watched.write(WATCHED.replace("NAME", "bad")), 20.0: good}

    assert names(await watched.next()) == ["good"]
    assert watched.problems == [f"{watched.path}: no such binary — install it"]


async def test_asked_for(watched: Watched) -> None:
    """What is asked for comes at once, also when nothing has changed."""

    def ask() -> None:
        watched.reloader.ask()

    watched.script.deeds = {2.0: ask}

    assert names(await watched.next()) == ["NAME"]
    assert watched.script.time == 2.0


async def test_not_watched(watched: Watched) -> None:
    """Without ``watch`` the file is not looked at until that is asked for."""
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(watched.next(TASK))
        await asyncio.sleep(0)
        watched.path.write_text(TASK.replace("NAME", "new"))
        watched.reloader.ask()

    assert (names(waiting.result()), watched.script.time) == (["new"], 0.0)


async def test_standard_input_cannot_be_read_again(watched: Watched) -> None:
    """A config without a file says so when it is to be watched or read again."""
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(watched.next(stdin=WATCHED))
        await asyncio.sleep(0)
        watched.reloader.ask()
        while len(watched.events) < 2:
            await asyncio.sleep(0)
        waiting.cancel()

    assert [Warned, Reloaded] == [type(event) for event in watched.events]
    assert "cannot be read again" in watched.problems[0]
