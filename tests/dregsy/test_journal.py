import asyncio
import sqlite3
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import pytest

from dregsy import database
from dregsy import journal as module
from dregsy.journal import FRESH, NAME, Journal
from dregsy.model.digest import Digest
from dregsy.model.report import Event, Warned

ONE, TWO = Digest.of(b"one"), Digest.of(b"two", "sha512")
NOW = 1_700_000_000.0
HOUR = 3600.0
FILE = "facts-1.db"


class Shelf:
    """Opens journals in one folder, at a time that can be set; ``heard`` are the warnings."""

    def __init__(self, state: Path) -> None:
        self.folder = state / NAME
        self.now = NOW
        self.heard: list[str] = []

    def journal(self, ttl: float = HOUR) -> Journal:
        """Open a journal as a process of its own would."""
        return Journal(self.folder, ttl, self._hear, now=lambda: self.now)

    def _hear(self, event: Event) -> None:
        assert isinstance(event, Warned)
        self.heard.append(event.message)

    def execute(self, sql: str, *values: object) -> None:
        """Change the file by hand."""
        with closing(sqlite3.connect(self.folder / FILE)) as db, db:
            db.execute(sql, values)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A folder without a journal."""
    return Shelf(tmp_path / "state")


def learn(journal: Journal) -> None:
    """Note a fact of each kind."""
    journal.saw_tag("host", "app", "v1", ONE)
    journal.saw_blob("host", "app", TWO)
    journal.keep(ONE, b"one")


async def knows(journal: Journal) -> tuple[bool, bool, bool]:
    """Tell which of the facts that ``learn`` notes are believed."""
    tags, homes = await journal.tags("host", "app"), await journal.homes("host", TWO)
    return tags == {"v1": ONE}, homes == ["app"], await journal.content(ONE) == b"one"


async def test_restart(shelf: Shelf) -> None:
    """What was noted is known at once, and to the next process; it stands in a folder of this user alone."""
    async with shelf.journal() as first:
        learn(first)
        assert await knows(first) == (True, True, True)
    async with shelf.journal() as second:
        assert await knows(second) == (True, True, True)
        assert await second.tags("host", "other") == {}
        assert await second.tags("other", "app") == {}
        assert await second.homes("other", TWO) == []
        assert await second.homes("host", ONE) == []
        assert await second.content(TWO) is None
    assert (shelf.folder.stat().st_mode & 0o777, shelf.heard) == (0o700, [])


async def test_striking_out(shelf: Shelf) -> None:
    """What is struck out is gone, for others as well: a tag, a place of a blob, a blob, a registry."""
    async with shelf.journal() as journal, shelf.journal() as other:
        learn(journal)
        await journal.drop_tag("host", "app", "v1")
        assert await knows(other) == (False, True, True)
        journal.drop_blob("host", TWO, "elsewhere")
        assert await knows(journal) == (False, True, True)
        journal.drop_blob("host", TWO, "app")
        assert await knows(journal) == (False, False, True)
        learn(journal)
        journal.drop_blobs("host", [ONE, TWO])
        assert await knows(journal) == (True, False, True)
        learn(journal)
        await journal.forget("host")
        assert await knows(other) == (False, False, True)


@pytest.mark.parametrize(
    ("ttl", "later", "expected"),
    [
        (HOUR, 0.0, (True, True, True)),
        (HOUR, HOUR * 3 / 4 - 1, (True, True, True)),
        (HOUR, HOUR, (False, False, True)),
        (60.0, 60.0, (False, True, True)),
        (0.0, 0.0, (False, True, True)),
        (0.0, FRESH, (False, False, True)),
        (9e9, 22.5 * 86400.0 - 1, (True, False, True)),
        (9e9, 31 * 86400.0, (False, False, True)),
    ],
)
async def test_age(ttl: float, later: float, expected: tuple[bool, ...], shelf: Shelf) -> None:
    """Facts are believed for ``ttl``, blobs from 15 minutes to a day, contents always."""
    async with shelf.journal(ttl) as journal:
        learn(journal)
        await journal.flush()
        shelf.now += later
        assert await knows(journal) == expected
    async with shelf.journal(ttl) as journal:
        assert await knows(journal) == expected
        assert await journal.last_digest("host", "app", "v2") is None


async def test_a_clock_that_was_ahead(shelf: Shelf) -> None:
    """What was noted while the clock was wrong is not believed once that time has come."""
    shelf.now += 86400
    async with shelf.journal() as journal:
        learn(journal)
        shelf.now -= 86400
        assert await knows(journal) == (False, False, True)
    async with shelf.journal() as journal:
        assert await knows(journal) == (False, False, False)
    shelf.now += 86400
    async with shelf.journal() as journal:
        assert await knows(journal) == (False, False, False)


async def test_not_all_at_once(shelf: Shelf) -> None:
    """Facts noted at the same time expire one after the other, within the last quarter of their time."""
    async with shelf.journal() as journal:
        for number in range(100):
            journal.saw_tag("host", "app", f"v{number}", ONE)
        left = []
        for later in (0.74, 0.85, 0.95, 1.0):
            shelf.now = NOW + later * HOUR
            left.append(len(await journal.tags("host", "app")))
    assert left[0] == 100 > left[1] > left[2] > left[3] == 0


async def test_without_a_folder() -> None:
    """In memory, contents, hints and places of blobs are known, and no tag is believed."""
    async with Journal() as journal:
        learn(journal)
        assert (await knows(journal), journal.believes_tags) == ((False, True, True), False)
        assert await journal.last_digest("host", "app", "v1") == ONE


async def test_bounds(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room for so many facts: then those unseen for longest go. Large contents are not kept at all."""
    monkeypatch.setattr(module, "_MOST", 10)
    monkeypatch.setattr(module, "_BATCH", 1)
    async with shelf.journal() as journal:
        for number in range(30):
            shelf.now += 1
            journal.saw_tag("host", "app", f"v{number}", ONE)
            journal.saw_blob("host", f"app/{number}", ONE)
            await journal.flush()
        assert len(await journal.tags("host", "app")) == 10
        assert await journal.homes("host", ONE) == [f"app/{number}" for number in range(20, 30)]
        journal.keep(TWO, b"x" * (2**18 + 1))
        assert await journal.content(TWO) is None


async def test_contents_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contents have room for so many bytes; the oldest go first."""
    monkeypatch.setattr(module, "_BATCH", 1)
    time = iter(range(10_000))
    async with Journal(now=lambda: float(next(time))) as journal:
        contents = [zlib.compress(bytes([number])) + Digest.of(bytes([number])).hex.encode() for number in range(5)]
        monkeypatch.setattr(journal._store, "_most_bytes", 300)
        for content in contents:
            journal.keep(Digest.of(content), content)
            await journal.flush()
        kept = [await journal.content(Digest.of(content)) for content in contents]
    assert (kept[0], kept[-1]) == (None, contents[-1])


async def test_nonsense_in_the_file(shelf: Shelf) -> None:
    """Rows that make no sense are not there."""
    async with shelf.journal() as journal:
        learn(journal)
    for sql in (
        "UPDATE tags SET digest = 'nonsense'",
        "UPDATE blobs SET repository = '../../etc?x'",
        "UPDATE contents SET packed = 'text'",
    ):
        shelf.execute(sql)
    async with shelf.journal() as journal:
        assert await knows(journal) == (False, False, False)
        assert await journal.last_digest("host", "app", "v1") is None
    shelf.execute("UPDATE contents SET packed = ?", zlib.compress(bytes(2**22)))
    async with shelf.journal() as journal:
        assert len(await journal.content(ONE) or b"") == 2**18


@pytest.mark.parametrize("damage", ["garbage", "tables", "empty"])
async def test_a_broken_file(damage: str, shelf: Shelf) -> None:
    """A file that is no journal is replaced by one."""
    shelf.folder.mkdir(parents=True)
    shelf.folder.chmod(0o700)
    if damage == "tables":
        shelf.execute("CREATE TABLE tags (something)")
    else:
        (shelf.folder / FILE).write_bytes(b"no database at all " * 1000 if damage == "garbage" else b"")
    for expected in ((False, False, False), (True, True, True)):
        async with shelf.journal() as journal:
            assert await knows(journal) == expected
            learn(journal)
    assert (shelf.heard, [one.name for one in shelf.folder.parent.iterdir()]) == ([], [NAME])


@asynccontextmanager
async def full(shelf: Shelf, kilobytes: int = 64) -> AsyncIterator[None]:
    """Have the journal on a disk that is full, or soon is."""
    shelf.folder.mkdir(parents=True)
    mount = await asyncio.create_subprocess_exec(
        "mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=700", "none", shelf.folder
    )
    assert await mount.wait() == 0
    try:
        yield
    finally:
        umount = await asyncio.create_subprocess_exec("umount", shelf.folder)
        assert await umount.wait() == 0


async def test_a_full_disk(shelf: Shelf) -> None:
    """When the disk is full, that is said once; what is noted is known nevertheless, up to the end."""
    async with full(shelf), shelf.journal() as journal:
        for number in range(3000):
            journal.saw_tag("host", "app", f"v{number}", ONE)
        learn(journal)
        assert await knows(journal) == (False, True, True)
        assert await journal.last_digest("host", "app", "v2999") == ONE
    assert [
        f"going on without the journal in {shelf.folder}: database or disk is full" in one for one in shelf.heard
    ] == [True]


@pytest.mark.parametrize("clean", [True, False])
async def test_a_disk_that_turns_read_only(clean: bool, shelf: Shelf) -> None:
    """What cannot be written is not used, whether its log was left behind or not; that is said once, all goes on."""
    async with full(shelf, 4096):
        async with shelf.journal() as journal:
            learn(journal)
            await journal.flush()
            if not clean:
                kept = {one.name: one.read_bytes() for one in shelf.folder.iterdir()}
        if not clean:
            for name, content in kept.items():
                (shelf.folder / name).write_bytes(content)
        remount = await asyncio.create_subprocess_exec("mount", "-o", "remount,ro", shelf.folder)
        assert await remount.wait() == 0
        async with shelf.journal() as journal:
            await journal.drop_tag("host", "app", "v1")
            assert (await knows(journal))[0] is False
            learn(journal)
            assert (await knows(journal))[1:] == (True, True)
    assert ["going on without the journal" in one for one in shelf.heard] == [True]


@pytest.mark.parametrize("obstacle", ["file", "open", "link"])
async def test_a_folder_of_no_use(obstacle: str, shelf: Shelf, tmp_path: Path) -> None:
    """A folder that cannot be had, or that others may write to, is not used; a warning says so once."""
    shelf.folder.parent.mkdir()
    if obstacle == "file":
        shelf.folder.write_text("")
    elif obstacle == "open":
        shelf.folder.mkdir()
        shelf.folder.chmod(0o777)
    else:
        shelf.folder.symlink_to(tmp_path)
    async with shelf.journal() as journal:
        await asyncio.gather(knows(journal), knows(journal))
        learn(journal)
        assert (await knows(journal))[1:] == (True, True)
    assert len(shelf.heard) == 1
    assert shelf.folder.exists()


async def test_a_volume_that_a_new_pod_mounts(shelf: Shelf) -> None:
    """Kubernetes opens a pod's volume to its group: what is known stays known, and the folder is private again."""
    async with shelf.journal() as journal:
        learn(journal)
    for path in (shelf.folder.parent, shelf.folder):
        path.chmod(0o2770)
    for path in shelf.folder.iterdir():
        path.chmod(0o660)

    async with shelf.journal() as journal:
        assert await knows(journal) == (True, True, True)
    assert (shelf.heard, shelf.folder.stat().st_mode & 0o777) == ([], 0o700)


async def test_begun_by_many_at_once(tmp_path: Path) -> None:
    """Of those that find no journal and make one at the same moment, each works with the file."""
    for number in range(20):
        shelf = Shelf(tmp_path / f"{number}")
        async with AsyncExitStack() as stack:
            every = [await stack.enter_async_context(shelf.journal()) for _ in range(8)]
            for journal in every:
                learn(journal)
            assert await asyncio.gather(*map(knows, every)) == [(True, True, True)] * 8
        assert shelf.heard == []


async def test_kept_by_another_process(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another process doesn't let go of the file, there is none: what is struck out is nowhere believed."""
    monkeypatch.setattr(database, "BUSY", 0.01)
    async with shelf.journal() as journal:
        learn(journal)
        await journal.flush()
        with closing(sqlite3.connect(shelf.folder / FILE)) as other:
            other.execute("BEGIN IMMEDIATE")
            await journal.drop_tag("host", "app", "v1")
        assert ["database is locked" in one for one in shelf.heard] == [True]
        journal.saw_blob("host", "app", ONE)
        assert await journal.homes("host", ONE) == ["app"]
    async with shelf.journal() as journal:
        assert await knows(journal) == (False, False, False)


async def test_deleted_while_open(shelf: Shelf) -> None:
    """A folder may be deleted at any time; the next process begins a new one."""
    async with shelf.journal() as journal:
        learn(journal)
        await journal.flush()
        for one in shelf.folder.iterdir():
            one.unlink()
        shelf.folder.rmdir()
        learn(journal)
        assert await knows(journal) == (True, True, True)
    for expected in ((False, False, False), (True, True, True)):
        async with shelf.journal() as journal:
            assert await knows(journal) == expected
            learn(journal)
    assert shelf.heard == []


async def test_cancelled(shelf: Shelf) -> None:
    """What was to be written is written, although the one who asked for it was cancelled."""
    async with shelf.journal() as journal:
        learn(journal)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(journal.flush())
            await asyncio.sleep(0)
            asking.cancel()
        assert asking.cancelled()
    async with shelf.journal() as journal:
        assert await knows(journal) == (True, True, True)


async def test_unused(shelf: Shelf) -> None:
    """A journal that is asked nothing leaves no trace."""
    async with shelf.journal():
        pass
    assert not shelf.folder.parent.exists()


async def test_other_versions(shelf: Shelf) -> None:
    """A file with another layout, of a newer or older dregsy, is left alone."""
    shelf.folder.mkdir(parents=True)
    shelf.folder.chmod(0o700)
    (shelf.folder / "facts-2.db").write_text("newer")
    async with shelf.journal() as journal:
        learn(journal)
    assert (shelf.folder / "facts-2.db").read_text() == "newer"
