"""How each tool is told to do the same job; one class per tool, as small as its documentation allows.

dregsy and skopeo are what this was tried with. crane, regsync, image-syncer and ocync take part where they
are found in PATH; their adapters follow their documentation and have never run here.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.bed import Hosts

DREGSY = str(Path(sys.executable).parent / "dregsy")
Command = list[str]


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be copied: all tags of ``repositories``, to the repositories of the same names at each target.

    ``tags`` is what is in them, for tools that have to be told. Config files go to ``folder``. ``state`` is
    where a tool may keep what it learnt for its next run; ``tls`` says whether the registries have certificates.
    """

    folder: Path
    hosts: Hosts
    tags: Mapping[str, Sequence[str]]
    state: Path | None = None
    tls: bool = False
    interval: int = 0

    def write(self, name: str, document: Any) -> str:
        """Write a config file, as JSON, which is YAML as well, and return its path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / name
        path.write_text(json.dumps(document, indent=1))
        return str(path)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each repository with each target: names with hosts."""
        return [(f"{self.hosts.source}/{name}", f"{host}/{name}") for name in self.tags for host in self.hosts.targets]


class Peer(Protocol):
    """A tool that can do jobs."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    @property
    def program(self) -> str:
        """What it is called in PATH."""

    @property
    def version(self) -> tuple[str, ...]:
        """The arguments that have it tell its version."""

    @property
    def keeps(self) -> bool:
        """Whether it writes something down for its next run."""

    def commands(self, job: Job) -> list[Command]:
        """Return what to run, one after the other."""


@dataclass(frozen=True, slots=True)
class Dregsy:
    """This project, with one of its relays; ``keeps`` lets it have a journal; ``parallel`` copies at once."""

    name: str = "dregsy"
    relay: str = "native"
    keeps: bool = False
    parallel: int = 0
    program: str = DREGSY
    version: tuple[str, ...] = ("--version",)

    def commands(self, job: Job) -> list[Command]:
        """One run over one task."""
        settings: dict[str, Any] = {"relay": self.relay}
        if self.keeps and job.state:
            settings["state"] = str(job.state)
        if self.parallel:
            settings["parallel"] = self.parallel
        places = [{"registry": host, "skip-tls-verify": not job.tls} for host in (job.hosts.source, *job.hosts.targets)]
        task = {
            "name": "bench",
            **({"interval": job.interval} if job.interval else {}),
            "source": places[0],
            "targets": places[1:],
            "mappings": [{"from": name} for name in job.tags],
        }
        return [[self.program, f"-config={job.write('dregsy.yaml', {**settings, 'tasks': [task]})}"]]


@dataclass(frozen=True, slots=True)
class SkopeoSync:
    """``skopeo sync``; it has one target at a time."""

    name: str = "skopeo sync"
    program: str = "skopeo"
    version: tuple[str, ...] = ("--version",)
    keeps: bool = False

    def commands(self, job: Job) -> list[Command]:
        """One run for each target; skopeo keeps the last part of a repository's name only."""
        source = {"tls-verify": job.tls, "images": {name: [] for name in job.tags}}
        path = job.write("skopeo.yaml", {job.hosts.source: source})
        base = next(iter(job.tags)).rpartition("/")[0]
        flags = ["--src=yaml", "--dest=docker", f"--dest-tls-verify={_word(job.tls)}"]
        return [["skopeo", "--insecure-policy", "sync", *flags, path, f"{host}/{base}"] for host in job.hosts.targets]


@dataclass(frozen=True, slots=True)
class SkopeoCopy:
    """``skopeo copy``, a run for each tag."""

    name: str = "skopeo copy"
    program: str = "skopeo"
    version: tuple[str, ...] = ("--version",)
    keeps: bool = False

    def commands(self, job: Job) -> list[Command]:
        """One run for each tag and target."""
        flags = [f"--src-tls-verify={_word(job.tls)}", f"--dest-tls-verify={_word(job.tls)}", "--preserve-digests"]
        copy = ["skopeo", "--insecure-policy", "copy", "--all", *flags]
        return [
            [*copy, f"docker://{job.hosts.source}/{name}:{tag}", f"docker://{host}/{name}:{tag}"]
            for name, tags in job.tags.items()
            for tag in tags
            for host in job.hosts.targets
        ]


@dataclass(frozen=True, slots=True)
class Crane:
    """``crane cp --all-tags``. Never tried."""

    name: str = "crane"
    program: str = "crane"
    version: tuple[str, ...] = ("version",)
    keeps: bool = False

    def commands(self, job: Job) -> list[Command]:
        """One run for each repository and target."""
        plain = [] if job.tls else ["--insecure"]
        return [["crane", *plain, "cp", "--all-tags", source, target] for source, target in job.pairs]


@dataclass(frozen=True, slots=True)
class Regsync:
    """``regsync once``, with as many copies at once as dregsy makes. Never tried."""

    name: str = "regsync"
    program: str = "regsync"
    version: tuple[str, ...] = ("version",)
    keeps: bool = False

    def commands(self, job: Job) -> list[Command]:
        """One run over a step for each repository and target."""
        hosts = (job.hosts.source, *job.hosts.targets)
        document = {
            "version": 1,
            "creds": [{"registry": host, "tls": "enabled" if job.tls else "disabled"} for host in hosts],
            "defaults": {"parallel": 4},
            "sync": [{"source": source, "target": target, "type": "repository"} for source, target in job.pairs],
        }
        return [["regsync", "-c", job.write("regsync.yaml", document), "once"]]


@dataclass(frozen=True, slots=True)
class ImageSyncer:
    """``image-syncer``. Never tried."""

    name: str = "image-syncer"
    program: str = "image-syncer"
    version: tuple[str, ...] = ("--version",)
    keeps: bool = False

    def commands(self, job: Job) -> list[Command]:
        """One run over a rule for each repository."""
        hosts = (job.hosts.source, *job.hosts.targets)
        logins = {host: {"username": "", "password": "", "insecure": not job.tls} for host in hosts}
        rules = {f"{job.hosts.source}/{name}": [f"{host}/{name}" for host in job.hosts.targets] for name in job.tags}
        files = [f"--auth={job.write('auth.json', logins)}", f"--images={job.write('images.json', rules)}"]
        return [["image-syncer", *files]]


@dataclass(frozen=True, slots=True)
class Ocync:
    """``ocync sync``, which keeps its cache beside its config. Never tried; its documentation has no plain http."""

    name: str = "ocync"
    program: str = "ocync"
    version: tuple[str, ...] = ("version",)
    keeps: bool = True

    def commands(self, job: Job) -> list[Command]:
        """One run over a mapping for each repository."""
        targets = {f"target{number}": {"url": host} for number, host in enumerate(job.hosts.targets)}
        registries = {"source": {"url": job.hosts.source}, **targets}
        document = {
            "global": {"cache_dir": str(job.state or job.folder / "cache")},
            "registries": {name: {**registry, "auth_type": "anonymous"} for name, registry in registries.items()},
            "target_groups": {"all": list(targets)},
            "defaults": {"source": "source", "targets": "all", "tags": {"glob": "*"}},
            "mappings": [{"from": name, "to": name} for name in job.tags],
        }
        return [["ocync", "sync", "-c", job.write("ocync.yaml", document)]]


OURS: tuple[Peer, ...] = (Dregsy(), Dregsy("dregsy, skopeo relay", relay="skopeo"))
OTHERS: tuple[Peer, ...] = (SkopeoSync(), Crane(), Regsync(), ImageSyncer(), Ocync())


def found(peers: Sequence[Peer]) -> list[Peer]:
    """Those whose programs are on this machine."""
    return [peer for peer in peers if shutil.which(peer.program)]


def version(peer: Peer) -> str:
    """What a tool says its version is, on one line."""
    done = subprocess.run([peer.program, *peer.version], capture_output=True, text=True, check=False, timeout=20)
    return " ".join((done.stdout or done.stderr).split())[:80]


def one_command(job: Job, commands: Sequence[Command]) -> Command:
    """Make several commands one that can be measured: a script that runs them in turn and stops at the first error."""
    if len(commands) == 1:
        return commands[0]
    script = job.folder / "run.sh"
    job.folder.mkdir(parents=True, exist_ok=True)
    script.write_text("set -e\n" + "".join(f"{shlex.join(command)}\n" for command in commands))
    return ["sh", str(script)]


def clean_environ(home: Path, ca_file: Path | None) -> dict[str, str]:
    """An environment without anyone's logins, proxies or caches, that trusts ``ca_file``."""
    home.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "XDG_DATA_HOME": str(home),
        "_CONTAINERS_ROOTLESS_UID": "1000",  # has skopeo, run by root, remember blobs in this home and not in /var/lib
        "LANG": "C.UTF-8",
        **({"SSL_CERT_FILE": str(ca_file)} if ca_file else {}),
    }


def _word(value: bool) -> str:
    return "true" if value else "false"
