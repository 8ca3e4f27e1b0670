"""What a registry's error answer means (OCI distribution spec, Error Codes)."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from dregsy.errors import NotFound, RateLimited, RegistryError, Unauthorized, Unreachable
from dregsy.model import jsontext
from dregsy.registry.retry import RETRYABLE_STATUS, retry_after
from dregsy.registry.wire import Response, show

_BODY_LIMIT = 64 * 2**10
_MESSAGE_LIMIT = 300
_EXPIRED = "the storage behind the registry refuses the address that the registry gave out: are the clocks right?"
_USED_UP = "pull rate limit"
"""What Docker Hub says when the pulls of six hours are used up; other requests go on to be answered."""
_MORE_QUOTA = "the pulls of this login or address are used up: log in for more, or set 'rate-limit' at the source"
_SLOWER = "the registry asks to slow down; lower 'parallel', or log in for a larger quota"
_ABUSE = "too many requests from this address in a short time, whatever the login: lower 'parallel'"
"""What is in front of a registry answers in its own words, not in those of the distribution API."""


async def failure(
    response: Response, *, elsewhere: bool = False, redacted: Callable[[str], str] = str
) -> RegistryError:
    """Turn an answer that was not wanted into the error to raise.

    ``elsewhere`` says that it came from a host that the registry redirected to: what that refuses is
    no matter of the login, but of an address that may have run out, and the registry gives another.
    ``redacted`` takes out of a text what must not be repeated; it sees the whole, before that is cut.
    """
    codes, said = await _explanation(response, redacted)
    place = redacted(f"{response.method} {show(response.url)}")
    text = f"{place} answered {response.status}" + (f": {said}" if said else "")
    refused = elsewhere and response.status in {401, 403}
    kind, hint = (RegistryError, _EXPIRED) if refused else _classify(response.status, codes)
    used_up = response.status == 429 and _USED_UP in said.lower()
    if response.status == 429:
        hint = _MORE_QUOTA if used_up else _SLOWER if codes else _ABUSE
    is_strange = response.status < 300  # a page of something in front of the registry, perhaps: it may go away
    error = kind(
        text,
        method=response.method,
        url=show(response.url),
        status=response.status,
        codes=codes,
        retryable=refused or response.status in RETRYABLE_STATUS or is_strange,
        hint=hint,
    )
    asked = retry_after(response.headers, time.time())
    error.retry_after = math.inf if asked is None and used_up else asked
    return error


def is_expired(error: RegistryError) -> bool:
    """Tell whether a registry refuses a login because of its age; AWS's answer then 403 instead of 401."""
    return error.status == 403 and "token has expired" in error.message


def is_used_up(error: RegistryError) -> bool:
    """Tell whether a registry refuses a pull because there were too many in some hours."""
    return error.status == 429 and _USED_UP in error.message.lower()


def _classify(status: int, codes: Sequence[str]) -> tuple[type[RegistryError], str]:
    match status:
        case 401:
            return (
                Unauthorized,
                "check the login for this registry, and that it exists: many answer so for what is not there",
            )
        case 403:
            return Unauthorized, "the login lacks the right to do this"
        case 404:
            return NotFound, ""
        case 429:
            return RateLimited, ""
        case 405 | 501 if "UNSUPPORTED" in codes:
            return RegistryError, "the registry does not allow this: is it read-only?"
        case _:
            return RegistryError, ""


async def _explanation(response: Response, redacted: Callable[[str], str]) -> tuple[tuple[str, ...], str]:
    """Codes and words of an error body; nothing where there is none, or where it is not the spec's JSON."""
    try:
        raw = await response.read(_BODY_LIMIT)
        errors = jsontext.parse(raw)["errors"]
    except (Unreachable, RegistryError, ValueError, KeyError, TypeError):
        return (), ""
    entries: list[dict[str, Any]] = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    codes = tuple(str(one.get("code", ""))[:100] for one in entries[:10])
    words = "; ".join(filter(None, (_words(one, redacted) for one in entries[:3])))
    return codes, words


def _words(entry: dict[str, Any], redacted: Callable[[str], str]) -> str:
    """One entry of an error body as printable text of bounded length."""
    text = redacted(f"{entry.get('code', '')} {entry.get('message', '')}".strip())
    return "".join(one if one.isprintable() else " " for one in text)[:_MESSAGE_LIMIT]
