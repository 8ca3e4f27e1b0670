"""Messages by HTTP: JSON of ours, signed, and what Slack and its like take. Nothing of an address but its host is told.

A signature is ``X-Dregsy-Signature: t=SECONDS,v1=HEX``: HMAC-SHA256 over SECONDS, a dot and the body.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from dregsy.errors import DregsyError
from dregsy.model.endpoint import Endpoint, Secret
from dregsy.model.notify import Slack, Webhook, place
from dregsy.notify.delivery import Undelivered
from dregsy.registry.retry import RETRYABLE_STATUS, retry_after
from dregsy.registry.wire import Wire

SIGNATURE = "X-Dregsy-Signature"
_HINTS = {
    401: "check the URL and what its server wants of its clients",
    403: "check the URL: it may have been withdrawn",
    404: "check the URL: there is nothing at it, or nothing any more",
    410: "the URL has been withdrawn: make a new one",
}


def signature(secret: Secret, body: bytes, now: int) -> str:
    """Return what proves that a body is ours, and from when it is (seconds since the epoch)."""
    signed = hmac.new(secret.reveal().encode(), f"{now}.".encode() + body, hashlib.sha256)
    return f"t={now},v1={signed.hexdigest()}"


async def post(
    channel: Webhook | Slack,
    body: bytes,
    *,
    environ: Mapping[str, str],
    certs: tuple[Path, ...] = (),
    now: Callable[[], float] = time.time,
) -> None:
    """Send a body of JSON once; Undelivered when the other side is not reached or does not take it.

    Proxies of the environment count, and the certificates of ``certs``. Redirects are not followed: signatures and
    bodies are for the address that was given.
    """
    host = place(channel.url)
    headers = {"Content-Type": "application/json"}
    if isinstance(channel, Webhook) and channel.secret is not None:
        headers[SIGNATURE] = signature(channel.secret, body, int(now()))
    wire = Wire(Endpoint(host, certs=certs), environ)
    try:
        answer = await wire.exchange("POST", channel.url.reveal(), headers, body)
        status, wait = answer.status, retry_after(answer.headers, now())
        await answer.release()
    except DregsyError as error:
        retryable = bool(getattr(error, "retryable", False))
        raise Undelivered(error.message, hint=_hint(error), retryable=retryable) from None
    finally:
        await wire.close()
    if not 200 <= status < 300:
        hint = _HINTS.get(status, "give the address that it leads to" if 300 <= status < 400 else "")
        retryable = status in RETRYABLE_STATUS
        raise Undelivered(f"{host} answered {status}", hint=hint, retryable=retryable, after=wait)


def _hint(error: DregsyError) -> str:
    """Leave out what would send a user to a registry."""
    return "" if "registry" in error.hint else error.hint
