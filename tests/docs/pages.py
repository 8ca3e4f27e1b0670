"""The pages of the documentation, and the blocks on them."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "certs.d-example/README.md",
    *sorted((ROOT / "deploy").rglob("*.md")),
)
LOGIN = "dXNlcjpwYXNzd29yZA=="
VALUES = {"AUTH": LOGIN, "URL": "https://hooks.example.com/path", "TOKEN": 32 * "x", "SECRET": 32 * "x"}
"""What a variable is worth that has such a word in its name; others are a host."""
_FENCED = r"(?ms)^( *)```(\w*)\n(.*?)^\1```$"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its text, the line it begins in, and what stands above it, back to the block before."""

    kind: str
    text: str
    line: int
    above: str

    @property
    def first(self) -> str:
        """Its first line."""
        return self.text.partition("\n")[0]


def name(page: Path) -> str:
    """Return a page's path from the project's root."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """Yield all fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    end = 0
    for found in re.finditer(_FENCED, text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(found[2], textwrap.dedent(found[3]), line, text[end : found.start()])
        end = found.end()


def fenced(page: Path, kind: str) -> list[Block]:
    """Return the blocks of one kind."""
    return [block for block in blocks(page) if block.kind == kind]


def environ_of(text: str) -> dict[str, str]:
    """Return a value for each variable that a config file names."""
    names = {name for name in re.findall(r"\$\{(\w+)", text) if not name.isdecimal()}
    return {name: next((VALUES[word] for word in VALUES if word in name), "registry.example.com") for name in names}
