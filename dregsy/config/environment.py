"""``${VAR}``, ``${VAR:-default}`` and ``${file:/path}`` in the values of a config file.

What is put in stays text: it is never read as YAML, never expanded again and never part of a message.
"""

from collections.abc import Mapping

from dregsy.config.files import Files
from dregsy.errors import DregsyError
from dregsy.model import pattern

FILE_LIMIT = 2**20
"""The most bytes a ``${file:…}`` may have."""

_REPLACED = pattern.compile_search(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME = pattern.compile_whole(r"[A-Za-z_][A-Za-z0-9_]*")


class Unresolved(DregsyError):
    """There is nothing to put in the place of a ``${…}``."""

    kind = "config"


class TooLong(DregsyError):
    """What is put in is more than there is room for."""

    kind = "config"


def replace(text: str, environ: Mapping[str, str], files: Files | None = None, room: float = float("inf")) -> str:
    """Return ``text`` with every ``${…}`` replaced; ``$${`` stands for ``${`` itself. Unresolved says why not.

    ``files`` notes the files that are read. TooLong as soon as the result has more than ``room`` characters.
    """
    files = files or Files()
    parts: list[str] = []
    done = length = 0
    for match in _REPLACED.finditer(text):
        start, end = match.span()
        inside, closed = match.group(1), bool(match.group(2))
        parts += text[done:start], _value(inside, environ, files, closed=closed)
        length += start - done + len(parts[-1])
        if length > room:
            raise TooLong("what is to be put in is too long")
        done = end
    return "".join((*parts, text[done:]))


def _value(inside: str | None, environ: Mapping[str, str], files: Files, *, closed: bool) -> str:
    if inside is None:
        return "${"
    if not closed:
        raise Unresolved("'${' has no closing '}'", hint="write '$${' for a literal '${'")
    if inside.startswith("file:"):
        return _content(inside.removeprefix("file:"), files)
    name, has_default, default = inside.partition(":-")
    if not _NAME(name):
        raise Unresolved(
            "'${…}' does not hold the name of a variable",
            hint="write ${NAME}, ${NAME:-default} or ${file:/path}, and '$${' for a literal '${'",
        )
    value = environ.get(name)
    if has_default:
        return value or default
    if value is None:
        raise Unresolved(
            f"the environment variable {name} is not set",
            hint=f"set it, or write ${{{name}:-default}}; '$${{' is a literal '${{'",
        )
    return value


def _content(path: str, files: Files) -> str:
    """Return what is in a mounted secret, without the line end that editors put last."""
    if not path.startswith("/"):
        raise Unresolved("'${file:…}' needs a path that starts with '/'")
    try:
        data = files.read(path, FILE_LIMIT + 1)
        if len(data) > FILE_LIMIT:
            raise Unresolved(f"the file that is named here is larger than {FILE_LIMIT // 1024} KiB")
        return data.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise Unresolved(f"the file {ascii(path)[:200]} cannot be read: {error.strerror}") from None
    except ValueError:
        raise Unresolved("the file that is named here is not a text in UTF-8") from None
