"""Files that are written whole or not at all: whoever reads one meanwhile finds the old content or the new."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from dregsy.errors import DregsyError, UsageError

_PRIVATE = 0o600
_PUBLIC = 0o666


def write(file: Path, content: str, *, private: bool = False) -> None:
    """Put ``content`` in the place of what ``file`` holds; DregsyError when that fails, and the file is as before.

    A new file gets the rights that the umask leaves, an old one keeps its own, and a link stays one: what it leads to
    is replaced. A ``private`` file is its owner's alone, and takes the place of a link: who knows who made it.
    """
    try:
        place = file.absolute() if private else file.resolve()
        kept = None if private or not place.exists() else stat.S_IMODE(place.stat().st_mode)
        with _beside(place, _PRIVATE if private or kept is not None else _PUBLIC) as temporary:
            with temporary.open("wb") as stream:
                if kept is not None:
                    os.fchmod(stream.fileno(), kept)
                stream.write(content.encode("utf-8", "backslashreplace"))
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(place)
    except OSError as error:
        raise DregsyError(
            f"{file} cannot be written: {_reason(error)}", hint="name a file in a folder that can be written to"
        ) from None


def remove(file: Path) -> None:
    """Have no such file; DregsyError when it cannot be removed."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise DregsyError(f"{file} cannot be removed: {_reason(error)}") from None


def prove(file: Path, option: str) -> None:
    """See whether ``file`` could be written; UsageError, which names the ``option``, when not. Nothing is changed."""
    try:
        place = file.resolve()
        if place.exists() and not place.is_file():
            raise UsageError(f"{option} {str(file)!r} is no regular file", hint="name one that may be replaced")
        with _beside(place):
            pass
    except (OSError, ValueError, RuntimeError) as error:
        hint = "name a file in a folder that exists and can be written to"
        raise UsageError(f"{option} {str(file)!r} cannot be written: {_reason(error)}", hint=hint) from None


class _beside:  # noqa: N801 - a context manager that is used as a function
    """A new file in the same folder, which is gone at the end unless it was renamed; the umask counts."""

    def __init__(self, place: Path, rights: int = _PRIVATE) -> None:
        self._rights = rights
        self._path = place.with_name(f".dregsy-{secrets.token_hex(8)}")

    def __enter__(self) -> Path:
        os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, self._rights))
        return self._path

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._path.unlink()


def _reason(error: Exception) -> str:
    text = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it has no legal name"
    return text.lower()
