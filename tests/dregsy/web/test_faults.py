import asyncio
import io
import json
import socket
from functools import partial
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from dregsy import log
from dregsy.model.endpoint import Secret
from dregsy.web.faults import LOGGER
from tests.dregsy.web.stage import TOKEN, Stage
from tests.testbed.asking import ask

HEAD = b"POST /api/v1/run HTTP/1.1\r\nHost: localhost\r\n"
JUNK = [
    b"GET /x?\xff\x1b[31m HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    HEAD + b"Content-Length: -1\r\n\r\n",
    HEAD + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"POST /none HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
]


@pytest.fixture
def lines() -> io.StringIO:
    """Return all that is logged from now on."""
    stream = io.StringIO()
    log.setup(stream, as_json=True)
    return stream


def send(url: str, junk: bytes) -> bytes:
    """Send anything, and return the first of what comes back."""
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), 30) as client:
        client.sendall(junk)
        return client.recv(1000).split(b"\r\n")[0].partition(b" ")[2]


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
async def test_junk_is_not_worth_a_line(junk: bytes, lines: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    """It is refused, and whoever sends it fills no log."""
    async with Stage(token=TOKEN) as stage:
        answer = await asyncio.to_thread(send, stage.server.url, junk)

    assert (answer[:1], lines.getvalue(), capfd.readouterr().err) == (b"4", "", "")


async def test_a_mistake_of_ours_is_one_line(lines: io.StringIO) -> None:
    """It is told what it was and where, without logins and without a traceback; whoever asks is told 500."""
    kept = Secret("the-very-token-of-this")

    async def handler(_: web.Request) -> web.Response:
        raise KeyError(f"{kept.reveal()}\n")

    app = web.Application()
    app.add_routes([web.get("/", handler)])
    runner = web.AppRunner(app, logger=LOGGER)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    answer = await asyncio.to_thread(partial(ask, f"http://127.0.0.1:{runner.addresses[0][1]}", "/"))
    await runner.cleanup()

    (line,) = lines.getvalue().splitlines()
    said = json.loads(line)
    assert (answer.status, said["level"], "exception" in said, kept.reveal() in line) == (500, "error", False, False)
    assert said["message"].startswith("a request got no answer, which is a mistake in dregsy: KeyError: ")
    assert "(test_faults.py:" in said["message"]
