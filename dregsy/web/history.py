"""What became of images, kept beside the journal where there is a folder for that, else in memory: safe to delete.

It has a file and a thread of its own, so that nothing here can hold up copies, or cost the journal its facts.
"""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dregsy.database import opened
from dregsy.log import label, one_line
from dregsy.model.report import CopyFinished, Event, Listener, Outcome, Status, Warned
from dregsy.private import own

MOST = 10_000
"""How many entries are kept in a file; the oldest go first."""
MOST_IN_MEMORY = 1000
"""How many where there is no file."""
LONGEST = 1000
"""The most characters of a reason that are kept."""

_FILE = "history-1.db"
_BATCH = 500
"""After how many new entries the oldest are sorted out."""
_TABLE = """
CREATE TABLE IF NOT EXISTS copies (at REAL NOT NULL, task TEXT, source TEXT, image TEXT, status TEXT, reason TEXT,
    digest TEXT, bytes INTEGER, seconds REAL, kind TEXT, message TEXT, hint TEXT);
CREATE INDEX IF NOT EXISTS copies_by_image ON copies (image, at);
CREATE INDEX IF NOT EXISTS copies_by_time ON copies (at);
"""
_COLUMNS = "at, task, source, image, status, reason, digest, bytes, seconds, kind, message, hint"


@dataclass(frozen=True, slots=True)
class Past:
    """How it ended for one image at one target: it was copied, or it failed.

    ``image`` is its name at the target, or at the source where no target was reached; ``bytes`` were sent, None
    is not known. ``kind``, ``message`` and ``hint`` tell of a failure, and are empty otherwise.
    """

    at: float
    task: str
    source: str
    image: str
    status: str
    reason: str
    digest: str
    bytes: int | None
    seconds: float
    kind: str
    message: str
    hint: str

    @classmethod
    def of(cls, outcome: Outcome, at: float) -> Self:
        """Take down an outcome."""
        copy, failure, moved = outcome.copy, outcome.failure, outcome.moved
        source = label(copy.origin)
        return cls(
            at,
            copy.task,
            source,
            source if outcome.target is None else label(outcome.target),
            str(outcome.status),
            str(outcome.reason or ""),
            str(moved.digest) if moved else "",
            moved.bytes_written if moved else None,
            round(outcome.seconds, 3),
            failure.kind if failure else "",
            one_line(failure.message[:LONGEST]) if failure else "",
            one_line(failure.hint[:LONGEST]) if failure else "",
        )


class History:
    """A listener that keeps the latest of what was copied and what failed, while its ``async with`` lasts.

    Without ``folder`` that lasts as long as this object. A file that fails is left alone, which is told once, as a
    warning, and things go on in memory: nobody's work depends on it.
    """

    def __init__(
        self,
        folder: Path | None = None,
        emit: Listener = lambda _: None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._emit = emit
        self._most = MOST if folder else MOST_IN_MEMORY
        self._now = now
        self._new: deque[Past] = deque(maxlen=MOST)
        self._is_due = False
        self._written = 0
        self._db: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, "history")

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is still to be written, and close."""
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._close))
        self._thread.shutdown()

    def __call__(self, event: Event) -> None:
        """Take down what was copied, or failed; the thread writes it."""
        match event:
            case CopyFinished(outcome) if outcome.status in {Status.COPIED, Status.FAILED}:
                self._new.append(Past.of(outcome, self._now()))
                if not self._is_due:
                    self._is_due = True
                    self._thread.submit(self._write)

    async def of(self, image: str, limit: int) -> list[Past]:
        """Return what became of an image, by its name at its source or target; the newest first."""
        return await self._ask("image = ? OR source = ?", (image, image), limit)

    async def latest(self, limit: int) -> list[Past]:
        """Return the newest of all."""
        return await self._ask("TRUE", (), limit)

    async def _ask(self, where: str, values: tuple[str, ...], limit: int) -> list[Past]:
        sql = f"SELECT {_COLUMNS} FROM copies WHERE {where} ORDER BY at DESC, rowid DESC LIMIT ?"  # noqa: S608 - all of it is ours
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, sql, (*values, limit))

    def _read(self, sql: str, values: tuple[object, ...]) -> list[Past]:
        self._write()
        try:
            return [Past(*row) for row in self._open().execute(sql, values)]
        except sqlite3.Error as error:
            self._do_without(error)
            return []

    def _write(self) -> None:
        """Write what is new, in one step."""
        self._is_due = False
        rows = [self._new.popleft() for _ in range(len(self._new))]
        try:
            self._insert(rows)
        except (sqlite3.Error, OSError) as error:
            self._do_without(error)
            self._insert(rows)

    def _insert(self, rows: list[Past]) -> None:
        db = self._open()
        with db:
            db.executemany(f"INSERT INTO copies VALUES ({', '.join('?' * 12)})", map(astuple, rows))  # noqa: S608 - ours
            self._written += len(rows)
            if self._written >= _BATCH:
                self._sort_out(db)

    def _sort_out(self, db: sqlite3.Connection) -> None:
        """Delete what is too much."""
        self._written = 0
        db.execute("DELETE FROM copies WHERE rowid <= (SELECT max(rowid) FROM copies) - ?", (self._most,))

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            if self._folder is not None:
                own(self._folder)
            name = str(self._folder / _FILE) if self._folder else ":memory:"
            self._db = opened(name, _TABLE)
            self._sort_out(self._db)
            self._db.commit()
        return self._db

    def _do_without(self, error: sqlite3.Error | OSError) -> None:
        """Let go of a file that fails, and have that told where listeners are told."""
        self._shut()
        if self._folder is not None:
            why = getattr(error, "strerror", None) or error
            text = f"going on without the history in {self._folder}: {why} — the status page knows of this start alone"
            self._loop.call_soon_threadsafe(self._emit, Warned("", text))
        self._folder, self._most = None, MOST_IN_MEMORY

    def _close(self) -> None:
        self._write()
        self._shut()

    def _shut(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()
