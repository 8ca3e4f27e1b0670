"""Whether processes are gone that somebody else started."""

import os
import select

from tests.testbed.servers import PATIENCE


def ends(pid: int) -> bool:
    """Whether a process ends, or has ended; who has been killed may take a moment to die."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], PATIENCE)[0])
    finally:
        os.close(process)
