"""Runs the real command, in a process of its own, while the test's registries go on serving."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dregsy.embedded.images import image, seed
from dregsy.embedded.server import EmbeddedRegistry
from tests.testbed import forked


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it wrote."""

    code: int | None
    out: str
    err: str


Dregsy = Callable[..., Awaitable[Ran]]
Pair = tuple[EmbeddedRegistry, EmbeddedRegistry]


@pytest.fixture
def dregsy() -> Dregsy:
    """Return a function that runs ``dregsy`` with some arguments, and text for its standard input."""

    async def run(*arguments: str, stdin: str = "") -> Ran:
        ended = await asyncio.to_thread(
            forked.run,
            arguments,
            environ={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            folder=Path.cwd(),
            stdin=stdin.encode(),
            seconds=60,
        )
        return Ran(ended.code, ended.out.decode(), ended.err.decode())

    return run


@pytest.fixture
async def config(embedded_pair: Pair, tmp_path: Path) -> str:
    """Write a config that mirrors two images, which the source has, and return its name."""
    source, target = embedded_pair
    for name in ("a", "b"):
        await seed(source, f"test/{name}", image(f"app-{name}", layers=1, size=100), "1.0")
    file = tmp_path / "sync.yaml"
    file.write_text(f"""\
tasks:
- name: first
  source: {{registry: "{source.host}"}}
  target: {{registry: "{target.host}"}}
  mappings:
  - from: test/a
    to: mirror/a
- name: second
  source: {{registry: "{source.host}"}}
  target: {{registry: "{target.host}"}}
  mappings:
  - from: test/b
    tags: ['1.0', '2.0']
""")
    return str(file)
