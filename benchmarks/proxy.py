"""A proxy that counts: passes bytes on as they are, and writes down each request, its answer and their sizes.

It stands in front of a registry in runs that are counted, never in those that are timed. Registries name
themselves by the ``Host`` they are asked by, so nothing has to be rewritten.
"""

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from benchmarks.framing import Framing

PATIENCE = 20.0
_PIECE = 256 * 1024
_NO_BODY = frozenset({204, 304})
_TLS_HELLO = 0x16


@dataclass(slots=True)
class Exchange:
    """One request and its answer: sizes of the bodies in bytes; ``status`` is 0 while there is no answer."""

    method: str
    path: str
    status: int = 0
    bytes_up: int = 0
    bytes_down: int = 0

    @property
    def kind(self) -> str:
        """What it is about: ``ping``, ``tags``, ``manifests``, ``blobs``, ``uploads``, or ``other``."""
        path = self.path.partition("?")[0]
        if path in {"/v2", "/v2/"}:
            return "ping"
        parts = path.strip("/").split("/")
        if path.endswith("/tags/list"):
            return "tags"
        if "uploads" in parts[-2:]:
            return "uploads"
        return parts[-2] if len(parts) > 3 and parts[-2] in {"manifests", "blobs"} else "other"


@dataclass(slots=True)
class Tally:
    """All that passed one or several proxies."""

    exchanges: list[Exchange] = field(default_factory=list)
    connections: int = 0
    hellos: int = 0
    """Connections on which a client tried TLS, which nobody here speaks."""

    @classmethod
    def of(cls, tallies: Iterable["Tally"]) -> Self:
        """Add tallies up."""
        every = list(tallies)
        return cls(
            [one for tally in every for one in tally.exchanges],
            sum(tally.connections for tally in every),
            sum(tally.hellos for tally in every),
        )

    def take(self) -> "Tally":
        """Return what was counted so far, and begin anew."""
        taken = Tally(self.exchanges, self.connections, self.hellos)
        self.exchanges, self.connections, self.hellos = [], 0, 0
        return taken

    def requests(self, *kinds: str, method: str = "", status: int = 0) -> int:
        """How many requests there were, of certain kinds, one method and one status if these are given."""
        return sum(
            (not kinds or one.kind in kinds) and method in {"", one.method} and status in {0, one.status}
            for one in self.exchanges
        )

    def by_kind(self) -> Counter[str]:
        """How many requests there were of each method and kind, such as ``HEAD manifests``."""
        return Counter(f"{one.method} {one.kind}" for one in self.exchanges)

    @property
    def bytes_up(self) -> int:
        """The bytes of all requests' bodies."""
        return sum(one.bytes_up for one in self.exchanges)

    @property
    def bytes_down(self) -> int:
        """The bytes of all answers' bodies."""
        return sum(one.bytes_down for one in self.exchanges)

    @property
    def mounted(self) -> int:
        """How many blobs were mounted from one repository into another."""
        return sum(one.kind == "uploads" and "mount=" in one.path and one.status == 201 for one in self.exchanges)

    def most_fetches(self) -> int:
        """How often the blob was fetched that was fetched most, whatever the repository."""
        fetched = Counter(
            one.path.rpartition("/")[2] for one in self.exchanges if one.kind == "blobs" and one.method == "GET"
        )
        return max(fetched.values(), default=0)


class CountingProxy:
    """Stands in front of ``upstream`` while its ``with`` lasts; ``host`` is its own address, ``tally`` what it saw.

    It listens on the address of ``upstream``, in the network namespace of the thread that enters it.
    """

    def __init__(self, upstream: str) -> None:
        self.host = ""
        self.tally = Tally()
        self._address, _, port = upstream.rpartition(":")
        self._port = int(port)
        self._bound: Future[str] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.host = self._bound.result(PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._ended is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(PATIENCE)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await asyncio.start_server(self._serve_client, self._address, 0)
        except OSError as error:
            self._bound.set_exception(error)
            return
        self._bound.set_result("{}:{}".format(*server.sockets[0].getsockname()[:2]))
        await self._ended.wait()
        server.close()

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tally.connections += 1
        with suppress(OSError, asyncio.CancelledError):
            upstream_reader, upstream_writer = await asyncio.open_connection(self._address, self._port)
            watched = _Connection(self.tally)
            async with asyncio.TaskGroup() as group:
                group.create_task(_relay(reader, upstream_writer, watched.up))
                group.create_task(_relay(upstream_reader, writer, watched.down))
        writer.close()


class _Connection:
    """The exchanges of one connection; answers come in the order of the requests."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._latest = Exchange("", "")
        self._open: deque[Exchange] = deque()
        self._requests = Framing(self._request, self._sent, lambda: None)
        self._answers = Framing(self._answer, self._received, self._answered)
        self._is_tls = False

    def up(self, data: bytes) -> None:
        """Take what the client sent; what begins as TLS does is no HTTP, nor is the answer to it."""
        if not self._is_tls and not self._latest.method and data[0] == _TLS_HELLO:
            self._is_tls = True
            self._tally.hellos += 1
        if not self._is_tls:
            self._requests.feed(data)

    def down(self, data: bytes) -> None:
        """Take what the registry sent."""
        if not self._is_tls:
            self._answers.feed(data)

    def _request(self, head: bytes) -> bool:
        method, path, _ = head.decode("latin-1").split(" ", 2)
        self._latest = Exchange(method, path)
        self._open.append(self._latest)
        self._tally.exchanges.append(self._latest)
        return True

    def _sent(self, size: int) -> None:
        self._latest.bytes_up += size

    def _answer(self, head: bytes) -> bool:
        exchange = self._open[0]
        exchange.status = int(head.split(b" ", 2)[1])
        return exchange.method != "HEAD" and exchange.status not in _NO_BODY and exchange.status >= 200

    def _received(self, size: int) -> None:
        self._open[0].bytes_down += size

    def _answered(self) -> None:
        if self._open[0].status >= 200:  # before the answer proper, "100 Continue" may come
            self._open.popleft()


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, watch: Callable[[bytes], None]) -> None:
    """Pass bytes on until their sender ends; both sides of the connection end then."""
    try:
        while data := await reader.read(_PIECE):
            watch(data)
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # either side may break off; the other one is told by the close below
    finally:
        writer.close()
