"""Config files that hold passwords, and that everybody on the machine may read."""

from collections.abc import Iterator
from pathlib import Path
from stat import S_IROTH, S_ISREG

from dregsy.config.problems import Findings, Loc
from dregsy.config.source import Data, Items, Scalar, Table

_SECRETS = frozenset({"auth", "token"})
_NOTIFY = "notify"
_SECRETS_OF_NOTIFY = frozenset({"password", "secret", "slack", "url", "webhook"})
_NOBODY = "none"


def give(file: str, data: Data, findings: Findings) -> None:
    """Add a warning where ``file`` holds a login itself, and not the name of a variable or of another file."""
    try:
        mode = Path(file).stat().st_mode
    except (OSError, ValueError):
        return
    place = next(_written(data, (), _SECRETS), None)
    if place is not None and S_ISREG(mode) and mode & S_IROTH:
        hint = "chmod o-r it, or write ${NAME} or ${file:/path} for the login"
        what = "secret" if place[0] == _NOTIFY else "login"
        findings.warning(place, f"is a {what} that everybody on this machine can read", hint)


def _written(data: Data, at: Loc, secrets: frozenset[str]) -> Iterator[Loc]:
    """Find the values of ``secrets`` that are written out; the depth of a file is bounded."""
    if isinstance(data, Table):
        for key, value in data.items():
            if key in secrets and isinstance(value, Scalar) and _is_written_out(value):
                yield (*at, key)
            yield from _written(value, (*at, key), _SECRETS_OF_NOTIFY if (*at, key) == (_NOTIFY,) else secrets)
    elif isinstance(data, Items):
        for position, one in enumerate(data):
            yield from _written(one, (*at, position), secrets)


def _is_written_out(text: Scalar) -> bool:
    return "${" not in text.written and text.strip() not in {"", _NOBODY}
