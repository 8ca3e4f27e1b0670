"""Config files that hold passwords, and that everybody on the machine may read."""

from collections.abc import Iterator
from pathlib import Path
from stat import S_IROTH, S_ISREG

from dregsy.config.problems import Findings, Loc
from dregsy.config.source import Data, Items, Scalar, Table

_SECRETS = frozenset({"auth", "token"})
_NOBODY = "none"


def give(file: str, data: Data, findings: Findings) -> None:
    """Add a warning where ``file`` holds a login itself, and not the name of a variable or of another file."""
    try:
        mode = Path(file).stat().st_mode
    except (OSError, ValueError):
        return
    place = next(_logins(data, ()), None)
    if place is not None and S_ISREG(mode) and mode & S_IROTH:
        hint = "chmod o-r it, or write ${NAME} or ${file:/path} for the login"
        findings.warning(place, "is a login that everybody on this machine can read", hint)


def _logins(data: Data, at: Loc) -> Iterator[Loc]:
    """Find the logins that are written out; the depth of a file is bounded."""
    if isinstance(data, Table):
        for key, value in data.items():
            if key in _SECRETS and isinstance(value, Scalar) and _is_login(value):
                yield (*at, key)
            yield from _logins(value, (*at, key))
    elif isinstance(data, Items):
        for position, one in enumerate(data):
            yield from _logins(one, (*at, position))


def _is_login(text: Scalar) -> bool:
    return "${" not in text.written and text.strip() not in {"", _NOBODY}
