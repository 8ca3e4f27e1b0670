"""Folders that are this user's alone: what lies in them was put there by nobody else."""

import os
from pathlib import Path
from stat import S_ISDIR


def own(folder: Path) -> None:
    """Make ``folder`` where it is missing; PermissionError when it is somebody else's, or anybody may write to it.

    One that only groups of ours may write to is closed to them: Kubernetes opens all of a pod's volume to
    the pod's ``fsGroup``, each time it mounts it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    is_ours = S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    opened_to = found.st_mode & 0o022
    if is_ours and opened_to == 0o020 and found.st_gid in {os.getegid(), *os.getgroups()}:
        _close(folder)
    elif not is_ours or opened_to:
        raise PermissionError(None, "it belongs to, or may be written by, somebody else")


def _close(folder: Path) -> None:
    """Make it this user's alone, and never what a link leads to."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
