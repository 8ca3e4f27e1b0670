"""A wire that sends nothing to servers that are down or asked to be left alone, behind a registry as well."""

from collections.abc import Mapping

from dregsy.model.endpoint import Endpoint
from dregsy.model.report import Listener
from dregsy.model.timeouts import Timeouts
from dregsy.registry.breaker import Breakers
from dregsy.registry.observed import ObservedWire
from dregsy.registry.pauses import Pauses
from dregsy.registry.wire import Body, Response


class GuardedWire(ObservedWire):
    """The connections of one registry; ``breakers`` are shared with others, ``pauses`` are its own."""

    def __init__(
        self,
        endpoint: Endpoint,
        environ: Mapping[str, str],
        timeouts: Timeouts,
        emit: Listener,
        *,
        breakers: Breakers,
    ) -> None:
        super().__init__(endpoint, environ, timeouts, emit)
        self.pauses = Pauses()
        self._breakers = breakers

    async def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None = None
    ) -> Response:
        """Send one request as ``Wire.exchange`` does, or raise at once why none is sent."""
        self.pauses.check(url)
        self._breakers.at(url).check()
        response = await super().exchange(method, url, headers, body)
        self._breakers.at(url).answered()
        return response
