"""The key ``listen``: where dregsy may be asked how it does, and the token of those who may do more than ask."""

from typing import Annotated, Any

from pydantic import PlainValidator

from dregsy.config.fields import Section, problem, read_text, written
from dregsy.model.endpoint import Secret
from dregsy.model.listen import Listen

LEAST = 16
"""The fewest characters of a token: what is shorter can be guessed."""
MOST = 256
_HINT = "write ':8080', or '0.0.0.0:8080' to be reached from other machines"
_TOKEN_HINT = "make one with: openssl rand -hex 16"  # noqa: S105 - how to make one


def read_address(value: Any) -> Listen:
    """An address of this machine."""
    try:
        return Listen.parse(read_text(value))
    except ValueError as error:
        raise problem("listen", str(error), _HINT) from None


def read_token(value: Any) -> Secret:
    """A text that can stand in a header, and that nobody guesses."""
    text = read_text(value)
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise problem("token", "has blanks, or signs other than ASCII's", _TOKEN_HINT)
    if not LEAST <= len(text) <= MOST:
        raise problem("token", f"needs {LEAST} to {MOST} characters", _TOKEN_HINT)
    return Secret(text)


class Listening(Section):
    """An address, and the token that lets tasks be run and paused."""

    address: Annotated[Listen, PlainValidator(read_address), written("`:PORT` or `HOST:PORT`", type="string")]
    """Where to serve; ``listen: ':8080'`` is the same without a ``token``.

    Left out: required
    """
    token: Annotated[Secret, PlainValidator(read_token), written("16 to 256 characters", type="string")] | None = None
    """Lets whoever sends it run and pause tasks, see [The status page](../status-page.md#run-now-pause).

    Left out: nobody may
    """

    def settings(self) -> Listen:
        """Return what is asked for."""
        return Listen(self.address.host, self.address.port, self.token)


def read_listening(value: Any) -> Any:
    """An address alone has no token."""
    return value if isinstance(value, dict) else Listening.model_construct(address=read_address(value), token=None)
