"""Where messages arrive: a server for webhooks and a mail server, real ones, on threads of their own."""

import asyncio
import ssl
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Self

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.testbed.serving import PATIENCE, Served


@dataclass(frozen=True, slots=True)
class Received:
    """A request that a webhook got."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Hooks(Served):
    """Takes every POST and keeps it; ``answers`` are the statuses of the first ones, 200 is that of all others."""

    def __init__(self, *answers: int, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self.received: list[Received] = []
        self._answers = list(answers)

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"{self.scheme}://{self.host}"

    async def application(self) -> web.Application:
        """Serve every path."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        self.received.append(Received(request.path_qs, dict(request.headers), await request.read()))
        status = self._answers.pop(0) if self._answers else 200
        headers = {"Location": "http://127.0.0.1:1/"} if 300 <= status < 400 else {}
        return web.Response(status=status, text=f"you sent {request.path_qs}", headers=headers)


class MailServer:
    """A mail server; ``login`` is who may send, ``refused`` whom it knows not, ``security`` how it uses ``tls``.

    ``mails`` are what it took, and ``logins`` the users that it let in.
    """

    def __init__(
        self,
        *,
        login: tuple[str, str] | None = None,
        refused: tuple[str, ...] = (),
        tls: ssl.SSLContext | None = None,
        security: str = "none",
    ) -> None:
        self.port = 0
        self.mails: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.logins: list[str] = []
        self._login = login
        self._refused = refused
        self._settings: dict[str, Any] = {"hostname": "localhost"}  # DNS would be asked for the name
        if login is not None:
            upgraded = security == "starttls"  # it does not know of TLS that was there from the start
            self._settings |= {
                "authenticator": self._authenticate,
                "auth_required": upgraded,
                "auth_require_tls": upgraded,
            }
        if security == "starttls":
            self._settings |= {"tls_context": tls, "require_starttls": True}
        self._tls = tls if security == "tls" else None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._bound: Future[int] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._bound.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._ended is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(PATIENCE)

    async def _serve(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        talks: list[SMTP] = []

        def talk() -> SMTP:
            talks.append(SMTP(self, loop=loop, **self._settings))
            return talks[-1]

        server = await loop.create_server(talk, "127.0.0.1", 0, ssl=self._tls)
        self._bound.set_result(server.sockets[0].getsockname()[1])
        await self._ended.wait()
        server.close()
        for one in talks:
            if one.transport is not None:
                one.transport.close()
        await server.wait_closed()

    def _authenticate(self, _: Any, __: Session, ___: Envelope, ____: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == self._login
        self.logins += [data.login.decode()] if good else []
        return AuthResult(success=good, handled=False)

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, _: Any, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        """Take a recipient, or not."""
        if address in self._refused:
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Session, envelope: Envelope) -> str:  # noqa: N802 - the library's name
        """Take a mail."""
        self.envelopes.append(envelope)
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append(message_from_bytes(content, policy=policy.default))
        return "250 OK"
