"""A folder for large temporary files: private, and gone afterwards, even after a crash."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dregsy.errors import UsageError


@contextmanager
def scratch(state: str | None) -> Iterator[Path]:
    """Give a private folder that is gone afterwards, below ``state`` or else where the system has such.

    Below ``state`` it also removes what processes left there that died. A live one holds a lock on its
    folder, which ends with it however it ends. UsageError when ``state`` cannot be used.
    """
    if state is None:
        with tempfile.TemporaryDirectory(prefix="dregsy-", ignore_cleanup_errors=True) as name:
            yield Path(name)
        return
    try:
        folder, lock = _claim(Path(state))
    except OSError as error:
        raise UsageError(
            f"the state folder {state!r} cannot be used: {error.strerror or error}",
            hint="set 'state' to a folder that dregsy may write to",
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _claim(state: Path) -> tuple[Path, int]:
    """Make a locked scratch folder; nobody else cleans up between its making and its locking."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    guard = _lock(state)
    try:
        for old in state.glob("scratch-*"):
            _remove_if_dead(old)
        folder = Path(tempfile.mkdtemp(prefix="scratch-", dir=state))
        return folder, _lock(folder)
    finally:
        os.close(guard)


def _remove_if_dead(folder: Path) -> None:
    """Remove a scratch folder that nobody holds a lock on."""
    try:
        lock = _lock(folder, fcntl.LOCK_NB)
    except OSError:
        return
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _lock(folder: Path, flags: int = 0) -> int:
    """Lock a folder until the returned file descriptor is closed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
