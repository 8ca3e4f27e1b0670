"""The registry clients of a run: one for each host and login, so that connections, tokens and limits are shared."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from dregsy.credentials import Logins
from dregsy.model.endpoint import Endpoint
from dregsy.model.report import Listener
from dregsy.model.timeouts import Timeouts
from dregsy.registry.breaker import Breakers
from dregsy.registry.client import Registry
from dregsy.registry.retry import Backoff
from dregsy.registry.transport import Transport


class Registries:
    """Hands out registry clients; closes them all when left. ``emit`` hears of each request, and of waits."""

    def __init__(
        self,
        logins: Logins,
        environ: Mapping[str, str],
        *,
        timeouts: Timeouts | None = None,
        backoff: Backoff | None = None,
        emit: Listener = lambda _: None,
    ) -> None:
        self._logins = logins
        self._environ = environ
        self.timeouts = timeouts or Timeouts()
        self._backoff = backoff
        self.emit = emit
        self._breakers = Breakers(self.timeouts.down)
        self._known: dict[Endpoint, Registry] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        known, self._known = self._known, {}
        for registry in known.values():
            await registry.close()

    def at(self, endpoint: Endpoint) -> Registry:
        """Return the client of a registry; endpoints that differ in nothing but their prefix share one."""
        endpoint = endpoint.whole
        if endpoint not in self._known:
            transport = Transport(
                endpoint,
                self._logins,
                self._environ,
                timeouts=self.timeouts,
                backoff=self._backoff,
                breakers=self._breakers,
                emit=self.emit,
            )
            self._known[endpoint] = Registry(transport)
        return self._known[endpoint]
