"""Runs dregsy as a daemon."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.peers import Dregsy, Job, clean_environ
from tests.testbed.servers import die_with_parent, stop


@contextmanager
def started(peer: Dregsy, job: Job) -> Iterator["subprocess.Popen[bytes]"]:
    """Give a daemon that does ``job`` whenever its interval is over; RuntimeError if it ends by itself."""
    command = peer.commands(job)[0]
    environ = clean_environ(job.folder / "home", None)
    log = job.folder / "log"
    with log.open("wb") as out:
        daemon = subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread of ours holds a lock that prctl needs
        )
    try:
        yield daemon
        if daemon.poll() is not None:
            raise RuntimeError(f"the daemon ended: {log.read_text()[-1000:]}")
    finally:
        stop(daemon)
