"""``make screenshots``: draws docs/images/terminal.svg, which is what a terminal shows of real runs of the command.

The commands run on a terminal of their own, between two small registries; nothing of what they print is changed.
"""

import asyncio
import fcntl
import os
import pty
import struct
import sys
import tempfile
import termios
from collections.abc import Iterator
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte

from dregsy.cli.demo import CONFIG, fill
from dregsy.embedded.server import EmbeddedRegistry

FILE = Path(__file__).resolve().parent.parent / "docs/images/terminal.svg"
COLUMNS, LINES = 96, 40
COMMANDS = ("check --diff -config sync.yaml", "-config sync.yaml", "-config sync.yaml", "verify -config sync.yaml")
_SECONDS = 60.0
_WIDTH, _HEIGHT, _EDGE, _BAR = 8.4, 19.0, 18.0, 34.0
_COLOURS = {
    "default": "#d5dae3", "black": "#4a5263", "red": "#f0717b", "green": "#8fd19e", "brown": "#e8c37b",
    "blue": "#7fb4f0", "magenta": "#c79bf0", "cyan": "#78d0d8", "white": "#f2f4f8",
    "brightblack": "#7d8799", "brightred": "#f0717b",
    "brightgreen": "#8fd19e", "brightbrown": "#e8c37b", "brightblue": "#7fb4f0", "brightmagenta": "#c79bf0",
    "brightcyan": "#78d0d8", "brightwhite": "#ffffff",
}  # fmt: skip
_PROMPT = "\x1b[1;32m$\x1b[0m "


async def recorded() -> pyte.Screen:
    """Run the commands, one after the other, and return the screen as it is in the end."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    async with EmbeddedRegistry() as source, EmbeddedRegistry() as target:
        await fill(source)
        with tempfile.TemporaryDirectory() as folder:
            _write(folder, CONFIG.format(source=source.host, target=target.host))
            for command in COMMANDS:
                stream.feed(f"{_PROMPT}\x1b[1mdregsy {command}\x1b[0m\r\n".encode())
                async for chunk in output(command.split(), folder):
                    stream.feed(chunk)
    stream.feed(_PROMPT.encode())
    return screen


def _write(folder: str, config: str) -> None:
    Path(folder, "sync.yaml").write_text(config, encoding="utf-8")


async def output(arguments: list[str], folder: str) -> Any:
    """Run dregsy on a terminal of its own and yield what it writes there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environ = {"PATH": os.environ["PATH"], "HOME": folder, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    program = str(Path(sys.executable).parent / "dregsy")
    process = await asyncio.create_subprocess_exec(
        program, *arguments, cwd=folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    async with asyncio.timeout(_SECONDS):
        while chunk := await _read(ours):
            yield chunk
        await process.wait()
    os.close(ours)


async def _read(terminal: int) -> bytes:
    """Return what is written to a terminal next; nothing when its last writer has gone."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(terminal, ready.set)
    try:
        await ready.wait()
        return os.read(terminal, 65536)
    except OSError:  # how Linux tells that nobody has the other side open
        return b""
    finally:
        loop.remove_reader(terminal)


def drawn(screen: pyte.Screen) -> str:
    """Return a screen as SVG, with fonts that every machine has."""
    used = max(row for row in range(LINES) if screen.display[row].strip()) + 1
    width, height = COLUMNS * _WIDTH + 2 * _EDGE, used * _HEIGHT + _EDGE + _BAR
    rows = "\n".join(one for row in range(used) for one in _row(screen, row))
    dots = "".join(
        f'<circle cx="{_EDGE + 4 + 20 * number}" cy="17" r="6" fill="{colour}"/>'
        for number, colour in enumerate(("#f0717b", "#e8c37b", "#8fd19e"))
    )
    box = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    fonts = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="dregsy on a terminal">\n'
        f'<rect width="100%" height="100%" rx="8" fill="#1b1f27"/>{dots}\n'
        f'<g font-family="{fonts}" font-size="14">\n{rows}\n</g>\n</svg>\n'
    )


def _row(screen: pyte.Screen, row: int) -> Iterator[str]:
    """Yield the texts of a line, one for each stretch that looks the same; each is as wide as its cells."""
    cells = [screen.buffer[row][column] for column in range(COLUMNS)]
    column = 0
    for (colour, bold), group in groupby(cells, key=lambda cell: (cell.fg, cell.bold)):
        text = "".join(cell.data for cell in group)
        shown = text.strip().replace(" ", "\N{NO-BREAK SPACE}")  # browsers make one of several blanks
        if shown:
            x = _EDGE + (column + len(text) - len(text.lstrip())) * _WIDTH
            place = f'x="{x:.1f}" y="{_BAR + (row + 0.8) * _HEIGHT:.1f}" textLength="{len(shown) * _WIDTH:.1f}"'
            weight = ' font-weight="bold"' if bold else ""
            yield f'<text {place} fill="{_COLOURS.get(colour, colour)}"{weight}>{escape(shown)}</text>'
        column += len(text)


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(drawn(asyncio.run(recorded())), encoding="utf-8")
