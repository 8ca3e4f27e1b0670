import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dregsy import database
from dregsy.database import opened

TABLES = "CREATE TABLE IF NOT EXISTS facts (text TEXT);"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another process that is about to write the first table of a new file."""
    with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield db


def test_what_was_written_is_there(tmp_path: Path) -> None:
    """A file that is opened again has what it had; a reader sees it, and does not wait, while another writes."""
    name = str(tmp_path / "new.db")
    with closing(opened(name, TABLES)) as first, first:
        first.execute("INSERT INTO facts VALUES ('old')")
    with closing(opened(name, TABLES)) as writer, closing(opened(name, TABLES)) as reader:
        writer.execute("INSERT INTO facts VALUES ('new')")
        assert reader.execute("SELECT text FROM facts").fetchall() == [("old",)]


def test_made_by_two_at_once(tmp_path: Path, other: sqlite3.Connection) -> None:
    """Who finds a new file in the hands of another, who makes it as well, has it as soon as that one lets go."""
    waits = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        other.execute("COMMIT")

    with closing(opened(str(tmp_path / "new.db"), TABLES, pause=pause)) as db:
        assert db.execute("SELECT text FROM facts").fetchall() == []
    assert len(waits) == 1


def test_never_let_go(tmp_path: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the other does not let go, there is an end to waiting."""
    assert other.in_transaction
    monkeypatch.setattr(database, "BUSY", 0.0)
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        opened(str(tmp_path / "new.db"), TABLES)


def test_no_database(tmp_path: Path) -> None:
    """What is no database, or has no folder, is an error."""
    (tmp_path / "new.db").write_bytes(b"no database at all " * 1000)
    for name, why in (("new.db", "not a database"), ("nowhere/new.db", "unable to open")):
        with pytest.raises(sqlite3.DatabaseError, match=why):
            opened(str(tmp_path / name), TABLES)
