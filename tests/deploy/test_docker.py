"""The Dockerfile and its locks; tests/image builds it."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WANTED = {
    "dregsy.lock": [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["gcp"]],
    "build.lock": PROJECT["build-system"]["requires"],
}


def pinned(name: str) -> dict[str, tuple[str, int]]:
    """The version of each package in a lock, and how many hashes it has."""
    text = (ROOT / "deploy/image" / name).read_text()
    found = re.findall(
        r"^([\w.-]+)==(\S+)([^\n]*\\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)*)", text, re.MULTILINE
    )
    assert len(found) == len(re.findall(r"^\w", text, re.MULTILINE))
    return {canonicalize_name(package): (version, hashes.count("--hash")) for package, version, hashes in found}


@pytest.mark.parametrize("name", WANTED)
def test_locks_hold_what_the_project_needs(name: str) -> None:
    """Each dependency is pinned to a version that pyproject.toml allows, and all have hashes; `make lock` mends it."""
    lock = pinned(name)

    for text in WANTED[name]:
        wanted = Requirement(text)
        version, _ = lock[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version), text
    assert min(hashes for _, hashes in lock.values()) > 0


def test_the_build_gets_what_it_copies_and_no_more() -> None:
    """What is not named in .dockerignore does not reach the daemon; all that the Dockerfile copies is there."""
    ignored, *let_in = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    named = {line.removeprefix("!") for line in let_in if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    files = {file for line in copied for file in line.split()}

    assert ignored == "*"
    assert {re.sub(r"/\w+\.lock$", "/*.lock", file) for file in files} == named
    assert [file for file in files if not (ROOT / file).exists()] == []
