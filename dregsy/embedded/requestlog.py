"""What a registry was asked: a log that tests and the demo count on, such as "no blob was fetched twice"."""

from collections.abc import Iterator
from dataclasses import dataclass

from dregsy.model import pattern


@dataclass(frozen=True, slots=True)
class Request:
    """One request; sizes are those of the bodies, in bytes. ``status`` is 0 until the answer begins."""

    method: str
    path: str
    query: str
    status: int
    bytes_in: int
    bytes_out: int


@dataclass(slots=True)
class Exchange:
    """A request that may still be going on; what has passed is counted before it is sent."""

    method: str
    path: str
    query: str
    status: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def so_far(self) -> Request:
        """Return what is known by now."""
        return Request(self.method, self.path, self.query, self.status, self.bytes_in, self.bytes_out)


class RequestLog:
    """All exchanges in the order in which they began."""

    def __init__(self) -> None:
        self._exchanges: list[Exchange] = []

    def begin(self, method: str, path: str, query: str) -> Exchange:
        """Note a request that has arrived."""
        exchange = Exchange(method, path, query)
        self._exchanges.append(exchange)
        return exchange

    def clear(self) -> None:
        """Forget everything, as before the first request."""
        self._exchanges.clear()

    def count(self, method: str, expression: str) -> int:
        """Count the requests of a method whose path, or path and query, contain a match of ``expression`` (RE2)."""
        wanted = pattern.compile_search(expression)
        return sum(one.method == method and wanted.search(f"{one.path}?{one.query}") is not None for one in self)

    def __iter__(self) -> Iterator[Request]:
        return (exchange.so_far() for exchange in self._exchanges)
