import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit

from aiohttp import web

from dregsy.web.events import KEEP, READERS, Events, Parts
from tests.dregsy.web.stage import Stage, copied


class Reader:
    """Reads events as a browser does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = 0

    @classmethod
    async def at(cls, url: str) -> "Reader":
        """Connect, and read the head of the answer; ConnectionResetError when it is cut before."""
        address = urlsplit(url)
        self = cls(*await asyncio.open_connection(address.hostname, address.port))
        self.writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await self.reader.readline()
        if not head:
            self.close()
            raise ConnectionResetError
        self.status = int(head.split()[1])
        while (await self.reader.readline()).strip():
            pass
        return self

    async def part(self, name: str) -> str:
        """Wait for a part, and return it."""
        while True:
            line = await self.reader.readline()
            assert line, "the server ended it"
            if line.startswith(b"data: "):
                found, text = json.loads(line[6:])
                if found == name:
                    return str(text)

    async def ends(self) -> None:
        """Wait until the server ends it."""
        while await self.reader.read(65536):
            pass

    def close(self) -> None:
        """Go away."""
        self.writer.close()


async def test_what_changes_is_sent() -> None:
    """At first all parts; then those that changed, and no others."""
    async with Stage() as stage, asyncio.timeout(30):
        reader = await Reader.at(stage.server.url)
        title = await reader.part("title")
        stage.ran(copied("1"))
        later = await reader.part("title")
        latest = await reader.part("latest")
        reader.close()

    assert (title, later) == ("Nothing has run yet · dregsy", "All is well · dregsy")
    assert "b.test/app:1" in latest


async def test_the_end_of_dregsy_ends_it() -> None:
    """Readers do not hold up the server's end."""
    async with asyncio.timeout(30):
        async with Stage(pace=3600.0) as stage:
            reader = await Reader.at(stage.server.url)
            title = await reader.part("title")
        await reader.ends()
        reader.close()
    assert title == "Nothing has run yet · dregsy"


async def test_there_are_only_so_many_readers() -> None:
    """One more is told to come back later, and may once another has gone; other pages are served all the while."""
    async with Stage() as stage, asyncio.timeout(30):
        readers = [await Reader.at(stage.server.url) for _ in range(READERS)]
        late = await Reader.at(stage.server.url)
        page = await stage.ask("/")
        for reader in readers:
            reader.close()
        while True:
            again = await Reader.at(stage.server.url)
            again.close()
            if again.status == 200:
                break
        late.close()

    assert [reader.status for reader in readers] == [200] * READERS
    assert (late.status, page.status) == (503, 200)


@asynccontextmanager
async def served(events: Events) -> AsyncIterator[tuple[str, int]]:
    """Serve events alone."""
    app = web.Application()
    app[KEEP] = lambda _, __: None
    app.add_routes([web.get("/events", events.serve)])
    app.on_shutdown.append(lambda _: events.close())
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0]
    await runner.cleanup()


class Torrent:
    """Parts of a size, and others each time."""

    def __init__(self, size: int) -> None:
        self.made = 0
        self.size = size

    async def __call__(self) -> Parts:
        """Make them."""
        self.made += 1
        return {"x": f"{self.made}{'x' * self.size}"}


async def test_slow_readers_are_let_go() -> None:
    """Who does not read what is sent is cut after a while, and until then no more is made for it than it took."""
    torrent = Torrent(2**24)  # more than the kernel takes on the way, whose receiving end is kept small
    events = Events(torrent, pace=0.0, patience=0.05)
    with ExitStack() as stack:
        async with served(events) as place, asyncio.timeout(60):
            slow = stack.enter_context(socket.socket())
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(place)
            slow.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while not torrent.made:
                await asyncio.sleep(0)
            while events.readers:
                await asyncio.sleep(0.01)

    assert torrent.made <= 3


async def test_parts_are_made_once_for_all() -> None:
    """However many read, it is one who asks what there is to see."""
    parts = Torrent(0)
    events = Events(parts, pace=3600.0)
    async with served(events) as (host, port), asyncio.timeout(30):
        readers = [await Reader.at(f"http://{host}:{port}") for _ in range(8)]
        told = [await reader.part("x") for reader in readers]
        for reader in readers:
            reader.close()

    assert (told, parts.made) == (["1"] * 8, 1)


async def reading(url: str) -> Reader:
    """Connect, again where the machine was so busy that the connection was cut before its request was seen."""
    while True:
        with suppress(ConnectionResetError):
            return await Reader.at(url)


async def test_readers_stay_longer_than_others() -> None:
    """A connection that is read from is not cut when others are: it is told the end, not torn."""
    async with asyncio.timeout(30):
        async with Stage(life=1.0) as stage:
            reader = await reading(stage.server.url)
            other = await asyncio.open_connection("127.0.0.1", urlsplit(stage.server.url).port)
            with suppress(ConnectionResetError):
                assert await other[0].read() == b""
            other[1].close()
            stage.ran(copied("1"))
            while "All is well" not in await reader.part("title"):
                pass
        reader.close()
