"""What was learned about registries, kept over runs and restarts in a small SQLite file that is safe to delete.

It only ever spares questions. Why no fact in it can cause a wrong or missing image, whoever wrote it,
stands in docs/decisions/0006-journal.md.
"""

import asyncio
import shutil
import sqlite3
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from dregsy.database import opened
from dregsy.model.digest import Digest
from dregsy.model.ref import is_repository
from dregsy.model.report import Listener, Warned
from dregsy.private import own

NAME = ".dregsy-journal"
"""What our folder below ``state`` is called."""
FRESH = 900.0
"""For how many seconds it is believed at least where blobs are, so that one run brings each of them once."""

_FILE = "facts-1.db"
"""Another layout of the tables is another file: versions of dregsy that share a folder don't meet."""
_DAY = 86400.0
_MOST = 100_000
"""How many tags, and how many places of blobs, are remembered; those unseen for longest go first."""
_BATCH = 5000
"""How many facts are written before the oldest are sorted out."""
_LARGEST = 2**18
"""The most bytes of a content that is kept."""
_TABLES = """
CREATE TABLE IF NOT EXISTS tags (host TEXT, repository TEXT, reference TEXT, digest TEXT NOT NULL, seen REAL NOT NULL,
    PRIMARY KEY (host, repository, reference)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blobs (host TEXT, digest TEXT, repository TEXT, seen REAL NOT NULL,
    PRIMARY KEY (host, digest, repository)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contents (digest TEXT PRIMARY KEY, packed BLOB NOT NULL, seen REAL NOT NULL);
"""
_PROBES = (
    "SELECT host, repository, reference, digest, seen FROM tags LIMIT 1",
    "SELECT host, digest, repository, seen FROM blobs LIMIT 1",
    "SELECT digest, packed, seen FROM contents LIMIT 1",
)
_SORTING = (
    "DELETE FROM tags WHERE seen > :now OR seen <= :now - 30 * 86400",
    "DELETE FROM tags WHERE seen <= (SELECT seen FROM tags ORDER BY seen DESC LIMIT 1 OFFSET :most)",
    "DELETE FROM blobs WHERE seen > :now OR seen <= :now - 86400",
    "DELETE FROM blobs WHERE seen <= (SELECT seen FROM blobs ORDER BY seen DESC LIMIT 1 OFFSET :most)",
    "DELETE FROM contents WHERE seen > :now",
    """DELETE FROM contents WHERE seen <= (SELECT max(seen) FROM
        (SELECT seen, sum(length(packed)) OVER (ORDER BY seen DESC) AS total FROM contents)
        WHERE total > :most_bytes)""",
)
"""Delete what is too old, too much, or from a future that was none."""
_BROKEN = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_T = TypeVar("_T")
_Row = tuple[Any, ...]
_Statement = tuple[str, Sequence[object]]


class Journal:
    """What is known of registries. Without a folder it lasts as long as this object, and has no tags to believe.

    ``ttl`` is for how many seconds facts are believed, 30 days at most; 0 believes none about tags. Trouble with the
    file is told once, as a warning, and then things go on without it. Hosts are those of APIs.
    """

    def __init__(
        self,
        folder: Path | None = None,
        ttl: float = 0.0,
        emit: Listener = lambda _: None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ttl = min(ttl, 30 * _DAY) if folder else 0.0
        self._blobs_ttl = max(FRESH, min(self._ttl, _DAY))
        self._emit = emit
        self._now = now
        self._store = _Store(folder)
        self._writes: list[_Statement] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is still to be written, and close."""
        try:
            await self.flush()
        finally:
            await self._store.close()

    @property
    def believes_tags(self) -> bool:
        """Whether it is of use to note what tags point at."""
        return self._ttl > 0

    async def tags(self, host: str, repository: str) -> dict[str, Digest]:
        """Return what tags and digests of a repository were found to point at, the longest unseen first.

        They get up to a quarter of their time less, by their names, so that they don't all expire at once.
        """
        now = self._now()
        rows = await self._ask(
            "SELECT reference, digest, seen FROM tags WHERE host = ? AND repository = ? AND seen > ? AND seen <= ?"
            " ORDER BY seen",
            (host, repository, now - self._ttl, now),
        )
        return {
            str(reference): digest
            for reference, text, seen in rows
            if now - seen < self._ttl * (1 - _fraction(str(reference)) / 4) and (digest := _digest(text)) is not None
        }

    def saw_tag(self, host: str, repository: str, reference: str, digest: Digest) -> None:
        """Note what a registry just said a tag or digest points at."""
        values = (host, repository, reference, str(digest), self._now())
        self._write("INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?, ?)", *values)

    async def drop_tag(self, host: str, repository: str, reference: str) -> None:
        """Strike out what a tag points at; comes back when that is done, so that the tag may be written."""
        self._write("DELETE FROM tags WHERE host = ? AND repository = ? AND reference = ?", host, repository, reference)
        await self.flush()

    async def last_digest(self, host: str, repository: str, reference: str) -> Digest | None:
        """Return what a tag pointed at when it was last seen, however long ago: good for a guess."""
        rows = await self._ask(
            "SELECT digest FROM tags WHERE host = ? AND repository = ? AND reference = ?", (host, repository, reference)
        )
        return _digest(rows[0][0]) if rows else None

    async def homes(self, host: str, digest: Digest) -> list[str]:
        """Return the repositories that were seen to have a blob, the last seen at the end."""
        now = self._now()
        rows = await self._ask(
            "SELECT repository FROM blobs WHERE host = ? AND digest = ? AND seen > ? AND seen <= ? ORDER BY seen",
            (host, str(digest), now - self._blobs_ttl, now),
        )
        return [name for (name,) in rows if isinstance(name, str) and is_repository(name)]

    def saw_blob(self, host: str, repository: str, digest: Digest) -> None:
        """Note that a repository has a blob now."""
        self._write("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?)", host, str(digest), repository, self._now())

    def drop_blob(self, host: str, digest: Digest, repository: str) -> None:
        """Strike out that a repository has a blob."""
        self._write("DELETE FROM blobs WHERE host = ? AND digest = ? AND repository = ?", host, str(digest), repository)

    def drop_blobs(self, host: str, digests: Iterable[Digest]) -> None:
        """Strike out that any repository has these blobs."""
        for digest in digests:
            self._write("DELETE FROM blobs WHERE host = ? AND digest = ?", host, str(digest))

    async def forget(self, host: str) -> None:
        """Strike out all that is known of a registry: it is not what it was."""
        self._write("DELETE FROM tags WHERE host = ?", host)
        self._write("DELETE FROM blobs WHERE host = ?", host)
        await self.flush()

    async def content(self, digest: Digest) -> bytes | None:
        """Return the bytes that a digest names, where they were kept; the caller checks that it is them."""
        rows = await self._ask("SELECT packed FROM contents WHERE digest = ?", (str(digest),))
        try:
            return zlib.decompressobj().decompress(rows[0][0], _LARGEST) if rows else None
        except (zlib.error, TypeError):
            return None

    def keep(self, digest: Digest, content: bytes) -> None:
        """Keep the bytes that a digest names, unless they are many."""
        if len(content) <= _LARGEST:
            packed = zlib.compress(content, 1)
            self._write("INSERT OR REPLACE INTO contents VALUES (?, ?, ?)", str(digest), packed, self._now())

    async def flush(self) -> None:
        """Write what is still to be written."""
        if self._writes:
            await self._ask("SELECT 1", ())

    def _write(self, sql: str, *values: object) -> None:
        self._writes.append((sql, values))

    async def _ask(self, sql: str, values: Sequence[object]) -> list[_Row]:
        """Write what is still to be written, then read. What cannot be had of a file that fails is not there."""
        store, now = self._store, self._now()
        writes, self._writes = self._writes, []
        try:
            return await store.run(lambda: store.exchange(writes, (sql, values), now))
        except (sqlite3.Error, OSError) as error:
            if store.folder is None:
                raise
            await self._do_without(store, error)
        self._writes = [*writes, *self._writes]
        return await self._ask(sql, values)

    async def _do_without(self, store: "_Store", error: Exception) -> None:
        """Let go of a file that fails, and everything in it: some of it could no longer be struck out."""
        if self._store is store:
            self._store = _Store(None)
            why = getattr(error, "strerror", None) or error
            text = f"going on without the journal in {store.folder}: {why}"
            self._emit(Warned("", f"{text} — registries are asked again; the folder is safe to delete"))
            await store.run(store.discard)
            await store.close()


class _Store:
    """The tables: in a file, which a thread of its own works with, or in memory."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._thread = ThreadPoolExecutor(1, "journal") if folder else None
        self._db: sqlite3.Connection | None = None
        self._most_bytes = 2**26 if folder else 2**23
        self._written = 0

    async def run(self, work: Callable[[], _T]) -> _T:
        """Do ``work``, after all that was to be done before; a cancellation does not undo it."""
        if self._thread is None:
            return work()
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))

    async def close(self) -> None:
        """Close the file and end the thread."""
        await self.run(self._close)
        if self._thread is not None:
            self._thread.shutdown()

    def exchange(self, writes: Sequence[_Statement], read: _Statement, now: float) -> list[_Row]:
        """Execute all ``writes`` at once, then ``read``; ``now`` is in seconds since 1970."""
        if self._db is None:
            self._db = self._open()
            self._sort_out(self._db, now)
        if writes:
            with self._db as db:
                for statement in writes:
                    db.execute(*statement)
            self._written += len(writes)
            if self._written >= _BATCH:
                self._sort_out(self._db, now)
        return self._db.execute(*read).fetchall()

    def discard(self) -> None:
        """Remove the file, so that nobody believes it any more; does nothing where it was never opened."""
        if self._db is not None:
            self._close()
            assert self.folder is not None
            _remove(self.folder)

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def _open(self) -> sqlite3.Connection:
        """Open the file, or one anew where it is broken."""
        if self.folder is None:
            return _connected(":memory:")
        own(self.folder)
        try:
            return _connected(str(self.folder / _FILE))
        except sqlite3.Error as error:
            if error.sqlite_errorcode not in _BROKEN:
                raise
        _remove(self.folder)
        own(self.folder)
        return _connected(str(self.folder / _FILE))

    def _sort_out(self, db: sqlite3.Connection, now: float) -> None:
        self._written = 0
        with db:
            for statement in _SORTING:
                db.execute(statement, {"now": now, "most": _MOST, "most_bytes": self._most_bytes})


def _connected(name: str) -> sqlite3.Connection:
    """Open the tables, or make them; sqlite3.Error when they cannot be used."""
    db = opened(name, _TABLES)
    try:
        for probe in _PROBES:
            db.execute(probe).fetchall()
    except sqlite3.Error:
        db.close()
        raise
    return db


def _remove(folder: Path) -> None:
    """Remove ``folder`` as a whole, in one step: other processes go on with what they have open, or begin anew."""
    aside = folder.with_name(f"{NAME}-{uuid.uuid4().hex}")
    with suppress(OSError):
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _digest(text: object) -> Digest | None:
    try:
        return Digest.parse(str(text))
    except ValueError:
        return None


def _fraction(text: str) -> float:
    """Return a number between 0 and 1 that is always the same for a text."""
    return zlib.crc32(text.encode(errors="replace")) / 2**32
