"""Servers below HTTP: one that says any bytes it is told to, and a proxy as companies have it."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

HEAD_LIMIT = 2**16
TLS_HELLO = 0x16
_TURNS = 10

Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """Holds ``conversation`` with everybody who connects, while its ``async with`` lasts."""

    def __init__(self, conversation: Conversation) -> None:
        self.host = ""
        self.connections = 0
        self._conversation = conversation
        self._server: asyncio.Server | None = None
        self._talking: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_LIMIT)
        self.host = "{}:{}".format(*self._server.sockets[0].getsockname()[:2])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        asyncio.get_running_loop().remove_reader(self._server.sockets[0].fileno())
        for _ in range(_TURNS):  # asyncio loses connections that it takes in the moment in which a server closes
            await asyncio.sleep(0)
        self._server.close()
        for task in self._talking:
            task.cancel()
        await asyncio.gather(*self._talking)
        await self._server.wait_closed()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._talking.add(task)
        try:
            await self._conversation(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the server is to
        finally:
            writer.close()
            try:
                async with asyncio.timeout(1):
                    await writer.wait_closed()  # a transport that the loop's end finds open is a warning
            except (OSError, TimeoutError, asyncio.CancelledError):
                writer.transport.abort()
            self._talking.discard(task)


async def head(reader: asyncio.StreamReader) -> bytes:
    """Read the head of a request; of a TLS hello, which has no end that could be found, the first byte."""
    first = await reader.readexactly(1)
    return first if first[0] == TLS_HELLO else first + await reader.readuntil(b"\r\n\r\n")


def saying(*answers: bytes) -> Conversation:
    """Have each request of a connection answered with the next of ``answers``, and then hang up.

    Who says hello in TLS is hung up on with an HTTP answer, as servers that speak plain HTTP do.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            if (await head(reader))[0] == TLS_HELLO:
                writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                return
            writer.write(answer)
            await writer.drain()

    return talk


class ForwardProxy(RawServer):
    """A forward proxy that leads every name to ``upstream``; ``heads`` is what it was asked, in order.

    ``status`` is what it answers to CONNECT.
    """

    def __init__(self, upstream: str, *, status: str = "200 OK") -> None:
        super().__init__(self._forward)
        self.heads: list[str] = []
        self._upstream = upstream
        self._status = status

    def asked(self) -> list[str]:
        """Method and target of all that was asked."""
        return [" ".join(one.split()[:2]) for one in self.heads]

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await head(reader)
        self.heads.append(asked.decode("latin-1"))
        is_tunnel = asked.startswith(b"CONNECT ")
        if is_tunnel:
            writer.write(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
            await writer.drain()
            if not self._status.startswith("200"):
                return
        host, _, port = self._upstream.rpartition(":")
        upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))
        try:
            if not is_tunnel:
                upstream_writer.write(asked)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pipe(reader, upstream_writer))
                group.create_task(_pipe(upstream_reader, writer))
        finally:
            upstream_writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until one side is done, and hang up on the other then."""
    try:
        while chunk := await reader.read(HEAD_LIMIT):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
