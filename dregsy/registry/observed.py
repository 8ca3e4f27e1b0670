"""A wire that tells listeners of each of its requests: which server, and what came back."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from dregsy.errors import DregsyError
from dregsy.model.endpoint import Endpoint
from dregsy.model.report import Answered, Listener
from dregsy.model.timeouts import Timeouts
from dregsy.registry.allowance import allowance
from dregsy.registry.wire import Body, Response, Wire


class ObservedWire(Wire):
    """The connections of one registry; requests to its token and storage servers are told, too."""

    def __init__(self, endpoint: Endpoint, environ: Mapping[str, str], timeouts: Timeouts, emit: Listener) -> None:
        super().__init__(endpoint, environ, timeouts)
        self._emit = emit

    async def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None = None
    ) -> Response:
        """Send one request as ``Wire.exchange`` does."""
        host = _host(url)
        try:
            response = await super().exchange(method, url, headers, body)
        except DregsyError:
            self._emit(Answered(host, method, 0))
            raise
        known = allowance(response.headers)
        left, limit = (known.left, known.limit) if known else (None, None)
        self._emit(Answered(host, method, response.status, left, limit))
        return response


def _host(url: str) -> str:
    """The host of a URL, and its port if it names one; nothing where it is no URL."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""
