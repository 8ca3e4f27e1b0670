"""Runs an aiohttp application on a thread of its own, so that blocking clients and child processes may use it."""

import asyncio
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from aiohttp import web

from dregsy.embedded.server import Transports, end, record

PATIENCE = 60.0
"""The longest, in seconds, that an application may take to begin or to end."""

BUFFER = 2**18
"""The bytes of a connection that the kernel may hold each way, which are lost when it breaks: else it is megabytes."""


class Served(ABC):
    """An application that is served while its ``with`` lasts; ``host`` is its address as references have it."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.host = ""
        self.scheme = "https" if tls else "http"
        self._tls = tls
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._bound: Future[str] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None

    @abstractmethod
    async def application(self) -> web.Application:
        """Return what is to be served; called on the serving loop."""

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
        runner = web.AppRunner(
            await self.application(),
            access_log=None,
            auto_decompress=False,
            shutdown_timeout=0.1,
            handler_cancellation=True,
        )
        transports: Transports = {}
        listening = socket.create_server(("127.0.0.1", 0))
        for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):  # connections get what their listener has
            listening.setsockopt(socket.SOL_SOCKET, buffer, BUFFER)
        try:
            await runner.setup()
            transports = record(runner)
            await web.SockSite(runner, listening, ssl_context=self._tls).start()
            self._bound.set_result("{}:{}".format(*runner.addresses[0][:2]))
            await self._ended.wait()
        except OSError as error:
            self._bound.set_exception(error)
        finally:
            await end(runner, listening, transports)
