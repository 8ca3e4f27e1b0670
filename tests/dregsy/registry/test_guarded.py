"""Token servers and storage that are down are not asked for each image anew."""

import asyncio

import pytest

from dregsy.errors import Unreachable
from dregsy.model.endpoint import Endpoint
from dregsy.model.timeouts import Timeouts
from dregsy.registry.retry import Backoff
from tests.testbed.clients import given, registries
from tests.testbed.raw import TLS_HELLO, Conversation, RawServer, head

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def sending(place: str, host: str) -> Conversation:
    """A registry that sends its clients to ``host``, for tokens or for what it stores."""
    token = f'HTTP/1.1 401 No\r\nContent-Length: 0\r\nWWW-Authenticate: Bearer realm="http://{host}/token"\r\n\r\n'
    storage = f"HTTP/1.1 307 There\r\nContent-Length: 0\r\nLocation: http://{host}/x\r\n\r\n"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await head(reader):
            if asked[0] == TLS_HELLO:
                writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                return
            is_greeting = asked.startswith(b"GET /v2/ ")
            writer.write(token.encode() if place == "tokens" else OK if is_greeting else storage.encode())
            await writer.drain()

    return talk


@pytest.mark.parametrize("place", ["tokens", "storage"])
async def test_a_server_behind_a_registry_that_hangs(place: str) -> None:
    """Ten images cost the attempts of one, and all say why; that holds for the clients of other logins as well."""
    asked: list[bytes] = []

    async def mute(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        asked.append(await head(reader))
        await reader.read()

    limits = Timeouts(first=0.2, stall=0.2)
    async with (
        RawServer(mute) as dead,
        RawServer(sending(place, dead.host)) as server,
        registries(timeouts=limits, backoff=Backoff(attempts=2, base=0)) as clients,
    ):
        for number in range(10):
            client = clients.at(Endpoint(server.host, credentials=given(f"user{number % 2}", "a-long-word")))
            with pytest.raises(Unreachable, match=f"{dead.host} did not answer in time"):
                await client.get_manifest(f"r{number}", "v1")

    assert len(asked) <= 2  # an attempt may also end at the registry itself, when this machine stands still
