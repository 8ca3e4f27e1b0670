"""A folder for large temporary files: private, and gone afterwards, even after a crash."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dregsy.errors import UsageError
from dregsy.private import own

NAME = ".dregsy-scratch"
"""What our folder below ``state`` is called; everything in it is ours to remove."""
_ATTEMPTS = 10


@contextmanager
def scratch(state: str | None) -> Iterator[Path]:
    """Give a private folder that is gone afterwards, below ``state`` or else where the system has such.

    Also removes what processes left there that died. A live one holds a lock on its folder, which
    ends with it however it ends. UsageError when there is no place for such a folder.
    """
    base = Path(state) / NAME if state else _temporary() / f"dregsy-{os.getuid()}"
    try:
        folder, lock = _claim(base)
    except OSError as error:
        raise _no_place(f"{base} cannot be used: {error.strerror or error}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        with suppress(OSError):
            base.rmdir()  # when nobody else is in it


def _temporary() -> Path:
    """Where the system has temporary files; UsageError where all such places are read-only."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise _no_place(error.strerror or str(error)) from None


def _no_place(why: str) -> UsageError:
    hint = "set 'state', or the environment's TMPDIR, to a folder that dregsy may write to"
    return UsageError(f"there is no place for temporary files: {why}", hint=hint)


def _claim(base: Path) -> tuple[Path, int]:
    """Make a locked folder below ``base``, which is nobody else's."""
    trouble = OSError(f"other processes keep removing folders in {base}")
    for _ in range(_ATTEMPTS):
        try:
            own(base)
            for old in base.iterdir():
                _remove_if_dead(old)
            folder = Path(tempfile.mkdtemp(dir=base))
            lock = _lock(folder)
        except (FileNotFoundError, FileExistsError, BlockingIOError) as error:
            # Another process left just now and took the base with it, or it tidied up and took ours for a dead one's.
            trouble = error
            continue
        if folder.exists():
            return folder, lock
        os.close(lock)
    raise trouble


def _remove_if_dead(folder: Path) -> None:
    """Remove a folder that nobody holds a lock on."""
    try:
        lock = _lock(folder)
    except OSError:
        return
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _lock(folder: Path) -> int:
    """Lock a folder until the returned file descriptor is closed; BlockingIOError when it is locked."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
