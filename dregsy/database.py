"""SQLite files that several processes work with at the same time, also while the first of them makes one."""

import sqlite3
import time
from collections.abc import Callable

BUSY = 10.0
"""How long, in seconds, another process may keep a file to itself."""
_PAUSE = 0.005


def opened(name: str, tables: str, *, pause: Callable[[float], object] = time.sleep) -> sqlite3.Connection:
    """Open the file ``name``, or make it, with what the script ``tables`` creates where it is missing.

    Writing begins with IMMEDIATE, and readers don't wait for it. Blocks while others have the file, for ``BUSY`` at
    most; ``pause`` is told for how many seconds to wait. sqlite3.Error when the file cannot be used.
    """
    db = sqlite3.connect(name, timeout=BUSY, isolation_level="IMMEDIATE")
    try:
        _keep_log(db, pause)
        db.execute("PRAGMA synchronous = NORMAL")
        db.executescript(tables)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _keep_log(db: sqlite3.Connection, pause: Callable[[float], object]) -> None:
    """Switch a new file to a log of its own: the one step for which SQLite, with others there, does not wait itself."""
    end = time.monotonic() + BUSY
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                raise
        else:
            return
        pause(_PAUSE)
