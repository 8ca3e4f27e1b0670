import os
import resource
import stat
from pathlib import Path

import pytest

from dregsy import atomic
from dregsy.errors import DregsyError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def mode(file: Path) -> int:
    """Return who may do what with a file."""
    return stat.S_IMODE(file.stat().st_mode)


def test_a_new_file(folder: Path) -> None:
    """It has the rights that others have; a private one is its owner's alone; nothing else stays in the folder."""
    before = os.umask(0o027)
    try:
        atomic.write(folder / "open", "größer\ud800\n")
        atomic.write(folder / "private", "x", private=True)
    finally:
        os.umask(before)

    assert (folder / "open").read_bytes() == "größer\\ud800\n".encode()
    assert [mode(folder / name) for name in ("open", "private")] == [0o640, 0o600]
    assert sorted(one.name for one in folder.iterdir()) == ["open", "private"]


def test_an_old_file(folder: Path) -> None:
    """It keeps its rights; who has it open goes on reading what was in it."""
    file = folder / "file"
    file.write_text("old")
    file.chmod(0o644)
    with file.open() as reader:
        atomic.write(file, "new")
        assert reader.read() == "old"

    assert (file.read_text(), mode(file)) == ("new", 0o644)
    atomic.write(file, "newer", private=True)
    assert mode(file) == 0o600


def test_a_link(folder: Path) -> None:
    """A link stays one."""
    (folder / "there").write_text("old")
    (folder / "link").symlink_to("there")

    atomic.write(folder / "link", "new")

    assert (folder / "link").is_symlink()
    assert (folder / "there").read_text() == "new"


def test_a_link_to_elsewhere(folder: Path) -> None:
    """What is private goes nowhere else, whoever made the link."""
    (folder / "there").write_text("old")
    (folder / "link").symlink_to("there")

    atomic.write(folder / "link", "new", private=True)

    assert ((folder / "link").is_symlink(), (folder / "link").read_text()) == (False, "new")
    assert (folder / "there").read_text() == "old"


def test_what_cannot_be_written(folder: Path) -> None:
    """It is told which file it is, and why; what was there stays."""
    (folder / "folder").mkdir()

    with pytest.raises(DregsyError, match="none/x cannot be written: no such file or directory"):
        atomic.write(folder / "none" / "x", "new")
    with pytest.raises(DregsyError, match="folder cannot be written: is a directory"):
        atomic.write(folder / "folder", "new")
    assert sorted(one.name for one in folder.iterdir()) == ["folder"]


def test_no_room(folder: Path) -> None:
    """When the disk takes no more, the old content stays, whole, and nothing lies about."""
    file = folder / "file"
    file.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    try:
        with pytest.raises(DregsyError, match="file cannot be written: file too large"):
            atomic.write(file, "x" * 2**17)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert [(one.name, one.read_text()) for one in folder.iterdir()] == [("file", "old")]


@pytest.mark.parametrize("name", ["none/x", "folder", "pipe", "x" * 300, "a\0b", "loop"])
def test_proof_of_what_cannot_be_written(folder: Path, name: str) -> None:
    """It is a mistake of the user's, told by the option."""
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")

    with pytest.raises(UsageError, match=r"^--report ") as caught:
        atomic.prove(folder / name, "--report")
    assert caught.value.hint


def test_proof_leaves_everything_as_it_was(folder: Path) -> None:
    """Neither is a file made, nor one changed."""
    (folder / "old").write_text("old")

    atomic.prove(folder / "old", "--report")
    atomic.prove(folder / "new", "--report")

    assert [(one.name, one.read_text()) for one in folder.iterdir()] == [("old", "old")]


def test_remove(folder: Path) -> None:
    """A file is gone afterwards, also where there was none; what is no file is told."""
    (folder / "old").write_text("old")

    atomic.remove(folder / "old")
    atomic.remove(folder / "old")

    assert list(folder.iterdir()) == []
    with pytest.raises(DregsyError, match="cannot be removed"):
        atomic.remove(folder)
