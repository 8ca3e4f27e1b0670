"""Looks for secrets wherever somebody may read: in texts, in files, and in what a machine shows of its processes."""

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

import psutil


def codings(secret: str) -> Iterator[str]:
    """Write a secret in all the ways in which it travels; in base64 also as a part of something longer."""
    raw = secret.encode()
    yield from (secret, json.dumps(secret)[1:-1], quote(raw), quote(raw, safe=""), quote_plus(raw), raw.hex())
    for ahead in range(3):
        inner = base64.b64encode(bytes(ahead) + raw).decode().rstrip("=")
        yield inner[(0, 2, 3)[ahead] : -1]  # what does not hang together with the neighbours
        yield inner[(0, 2, 3)[ahead] : -1].translate(str.maketrans("+/", "-_"))


def leaks(secrets: Iterable[str], texts: Iterable[str]) -> list[tuple[str, str]]:
    """Return each secret that stands in one of the texts, in any coding, with what stands around it."""
    found = []
    for secret in secrets:
        for coding in set(codings(secret)):
            for text in texts:
                place = text.find(coding)
                if place >= 0:
                    found.append((secret, text[max(0, place - 100) : place + len(coding) + 20]))
    return found


def contents(*folders: Path) -> list[str]:
    """Read all files below some folders."""
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return [file.read_bytes().decode("latin-1") for file in files]


def processes_below(process: int) -> list[str]:
    """Return command lines and environments of all children of a process; those of proxies are meant for them."""
    texts = []
    for one in psutil.Process(process).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended in the meantime
            environ = {name: value for name, value in one.environ().items() if not name.upper().endswith("_PROXY")}
            texts += [*one.cmdline(), *environ.values()]
    return texts
