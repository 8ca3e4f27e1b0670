"""A wire that tells listeners of each of its requests: which server, and what came back."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from dregsy.errors import DregsyError
from dregsy.model.endpoint import Endpoint
from dregsy.model.report import Answered, Listener
from dregsy.model.timeouts import Timeouts
from dregsy.registry.allowance import allowance
from dregsy.registry.wire import Body, Response, Wire, show

_DIGITS = 12


class ObservedWire(Wire):
    """The connections of one registry; requests to its token and storage servers are told, too."""

    def __init__(self, endpoint: Endpoint, environ: Mapping[str, str], timeouts: Timeouts, emit: Listener) -> None:
        super().__init__(endpoint, environ, timeouts)
        self._emit = emit

    async def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None = None
    ) -> Response:
        """Send one request as ``Wire.exchange`` does."""
        host = urlsplit(show(url)).netloc.lower()
        try:
            response = await super().exchange(method, url, headers, body)
        except DregsyError:
            self._emit(Answered(host, method, 0))
            raise
        known = allowance(response.headers)
        limit = known.limit if known is not None else None
        self._emit(Answered(host, method, response.status, remaining(response.headers), limit))
        return response


def remaining(headers: Mapping[str, str]) -> int | None:
    """Read RateLimit-Remaining, as in ``76`` or Docker Hub's ``76;w=21600``; None where there is none."""
    text = headers.get("RateLimit-Remaining", "").partition(";")[0].strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None
