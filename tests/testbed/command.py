"""The command as a user runs it: a process of its own, with an environment of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.testbed import forked
from tests.testbed.servers import die_with_parent

SECONDS = 120
"""The longest that one run may take."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a run ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All that it printed."""
        return self.out + self.err


class Dregsy:
    """Runs ``dregsy`` with ``folder`` as home and working directory; ``environ`` is added to a bare environment.

    ``within`` is put before its command line, as an Island asks for.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None, *, within: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **(environ or {})}
        self.within = within
        self.program = str(Path(sys.executable).parent / "dregsy")

    def write(self, text: str, name: str = "sync.yaml") -> str:
        """Write a config file and return its name."""
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o600)  # it may hold a login
        return name

    def config(self, document: Mapping[str, Any], name: str = "sync.yaml") -> str:
        """Write a config file from its content and return its name."""
        return self.write(yaml.safe_dump(dict(document), sort_keys=False), name)

    def run(self, *arguments: str, stdin: str = "") -> Done:
        """Run the command to its end: forked where that comes to the same, else as ``start`` does."""
        if not self.within and forked.suits(self.environ):
            ended = forked.run(
                arguments, environ=self.environ, folder=self.folder, stdin=stdin.encode(), seconds=SECONDS
            )
            return Done(ended.code, ended.out.decode(), ended.err.decode())
        done = subprocess.run(
            [*self.within, self.program, *arguments],
            env=self.environ,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start the command; its output goes to the files ``out`` and ``err`` in the folder."""
        with (self.folder / "out").open("w") as out, (self.folder / "err").open("w") as err:
            return subprocess.Popen(
                [*self.within, self.program, *arguments],
                env=self.environ,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                text=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl call, which takes no lock
            )


def mirror(source: str, target: str, *mappings: Mapping[str, Any], **task: Any) -> dict[str, Any]:
    """Return a config with one task between two registries; ``task`` is laid over the task's keys."""
    keys = {"name": "mirror", "source": {"registry": source}, "target": {"registry": target}, "mappings": [*mappings]}
    return {"tasks": [{**keys, **task}]}
