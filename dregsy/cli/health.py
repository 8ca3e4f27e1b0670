"""``dregsy health`` asks a dregsy that runs on this machine how it is, for health checks without an HTTP client."""

import errno
from typing import TYPE_CHECKING

import click

from dregsy.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dregsy.model.listen import Listen

_LONGEST = 1000
_LOOPBACK_6 = "::1"
"""Asked, too, where no host is told: ``[::]:8080`` takes no connections to 127.0.0.1."""
_NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
"""What asking ::1 fails with on machines without IPv6."""


@click.command("health")
@click.argument("address", metavar="[HOST]:PORT", default=":8080")
@click.option("--if-served", is_flag=True, help="Take it for well when no dregsy answers there, as without 'listen'.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, max=3600, min_open=True),
    default=5.0,
    show_default=True,
    help="How long the answer may take: whoever is well gives it at once.",
)
def command(address: str, *, if_served: bool, timeout: float) -> int:
    """Ask a running dregsy whether it is well.

    The address is what 'listen' or --listen says, by default ':8080'. The exit code is 0 when it is well, else 1:
    stuck, silent, or not there. With --if-served it is fine that nobody is there: then all that can be said is
    that whoever started dregsy would know of its end.
    """
    from dregsy.model.listen import Listen

    try:
        place = Listen.parse(address)
    except ValueError as error:
        raise UsageError(f"address {address!r} {error}", hint="give what 'listen' says, such as ':8080'") from None
    places = [place, Listen(_LOOPBACK_6, place.port)] if address.strip().startswith(":") else [place]
    is_well, text = _answer(places, timeout)
    click.echo(text if is_well is not None else f"cannot tell: {text}")
    return 0 if is_well or (is_well is None and if_served) else 1


def _answer(places: "Sequence[Listen]", timeout: float) -> tuple[bool | None, str]:
    """Return what the first dregsy says that is at one of these places, or else what the first place has."""
    answers = (_asked(place, timeout) for place in places)
    first = next(answers)
    return first if first[0] is not None else next((one for one in answers if one[0] is not None), first)


def _asked(place: "Listen", timeout: float) -> tuple[bool | None, str]:
    """Return whether the dregsy there is well, or None where there is none, and what can be said about it."""
    import http.client

    connection = http.client.HTTPConnection(place.host, place.port, timeout=timeout)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        text = answer.read(_LONGEST).decode(errors="replace").strip()
    except ConnectionRefusedError:
        return None, f"nobody listens on {place}"
    except TimeoutError:
        return False, f"no answer from {place} within {timeout:g} s"
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, OSError) and error.errno in _NOT_HERE:
            return None, f"nobody listens on {place}"
        return False, f"no answer from {place}: {error or type(error).__name__}"
    finally:
        connection.close()
    if answer.status in {200, 503}:
        return answer.status == 200, text
    return None, f"who listens on {place} is no dregsy: it answers {answer.status}"
