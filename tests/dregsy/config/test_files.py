import os
from pathlib import Path

import pytest

from dregsy.config.files import Files
from dregsy.config.load import load
from dregsy.errors import ConfigError


def noted(path: Path) -> Files:
    """Read a file."""
    files = Files()
    files.read(str(path), 100)
    return files


def test_same_content_is_no_change(tmp_path: Path) -> None:
    """A file that is written again with the same content, or gets another mode, has not changed."""
    path = tmp_path / "a"
    path.write_text("x")
    files = noted(path)

    path.write_text("x")
    path.chmod(0o600)

    assert files.held == files.hold_now()


def test_other_content_is_a_change(tmp_path: Path) -> None:
    """Content is what counts: the same size and time do not hide a change."""
    path = tmp_path / "a"
    path.write_text("x")
    times = path.stat()
    files = noted(path)

    path.write_text("y")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    assert files.held != files.hold_now()


def test_file_that_goes_and_comes_back(tmp_path: Path) -> None:
    """A file that is gone has changed, until it is back."""
    path = tmp_path / "a"
    path.write_text("x")
    files = noted(path)

    path.unlink()
    gone = files.hold_now()
    path.write_text("x")

    assert gone != files.held
    assert files.held == files.hold_now()


def test_files_of_a_broken_config_are_known(tmp_path: Path) -> None:
    """What a config names is noted, be it there or not, so that mending it can be noticed."""
    config, there, missing = tmp_path / "sync.yaml", tmp_path / "there", tmp_path / "missing"
    there.write_text("native")
    config.write_text(f"relay: ${{file:{there}}}\nstate: ${{file:{missing}}}\n")
    files = Files()

    with pytest.raises(ConfigError):
        load(str(config), environ={}, files=files)

    assert [str(config), str(there), str(missing)] == list(files.held)
    before = files.hold_now()
    missing.write_text("x")
    assert before != files.hold_now()


def test_pipes_are_not_read_again(tmp_path: Path) -> None:
    """A pipe is read once: nobody waits for what it may give later."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    write = os.open(path, os.O_RDWR)
    try:
        os.write(write, b"x")
        files = Files()

        assert files.read(str(path), 1) == b"x"
        assert files.hold_now() == {}
    finally:
        os.close(write)
