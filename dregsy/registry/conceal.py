"""What a login looks like in the words of somebody it was sent to, and how it is taken out of them.

Registries, token servers and tools repeat what they got, as it is or in the codings in which it was sent.
"""

import base64
import gc
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from dregsy.model.endpoint import Login, Secret
from dregsy.registry.wire import basic

STARS = "***"
_LEAST = 4
"""A shorter text would garble what is said, and is no secret."""


def forms(login: Login) -> Iterator[str]:
    """Give every text in which the secrets of ``login`` go out."""
    if login.password is not None:
        yield from coded(basic(login).removeprefix("Basic "))
        yield from coded(login.password.reveal())
    if login.identity_token is not None:
        yield from coded(login.identity_token.reveal())


def coded(secret: str) -> Iterator[str]:
    """Give a secret as it is, in JSON, in a URL, in a form, and in base64."""
    raw = secret.encode(errors="replace")
    yield from (secret, json.dumps(secret)[1:-1], quote(raw), quote(raw, safe=""), quote_plus(raw))
    for text in (base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
        yield text.decode().rstrip("=")


def conceal(text: str, secrets: Iterable[str]) -> str:
    """Put stars in the place of all ``secrets``, the longest first: one may be a part of another."""
    for secret in sorted({one for one in secrets if len(one) >= _LEAST}, key=len, reverse=True):
        text = text.replace(secret, STARS)
    return text


def conceal_all(text: str) -> str:
    """Conceal every secret that this process holds at this moment: for what may contain anything, as tracebacks do.

    Takes the time to look at all objects that there are.
    """
    found: set[str] = set()
    for one in gc.get_objects():
        if isinstance(one, Login):
            found.update(forms(one))
        elif isinstance(one, Secret):
            found.update(coded(one.reveal()))
    return conceal(text, found)
