import asyncio
from urllib.parse import urlsplit

import pytest

from dregsy.embedded.server import EmbeddedRegistry
from dregsy.model.listen import Listen
from dregsy.model.report import Waiting
from dregsy.web.health import PATIENCE, Health
from dregsy.web.metrics import Metrics
from dregsy.web.server import Server
from tests.dregsy.cli.conftest import Dregsy
from tests.testbed.raw import RawServer, head


async def test_well_and_stuck(dregsy: Dregsy) -> None:
    """The answer is that of ``/healthz``, and so is the exit code."""
    moments = [0.0]
    health = Health(3600.0, now=lambda: moments[0])
    health(Waiting(0.0))
    async with Server(Listen.parse(":0"), Metrics(()).registry, health) as server:
        address = urlsplit(server.url).netloc
        well = await dregsy("health", address)
        moments[0] = PATIENCE * 2
        stuck = await dregsy("health", f":{address.rpartition(':')[2]}", "--if-served")

    assert (well.code, well.out, well.err) == (0, "ok\n", "")
    assert (stuck.code, stuck.err) == (1, "")
    assert stuck.out.startswith("the scheduler is stuck")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::]"])
async def test_without_a_host(dregsy: Dregsy, host: str) -> None:
    """This machine is meant by each address that it has for itself."""
    async with Server(Listen.parse(f"{host}:0"), Metrics(()).registry, Health(3600.0)) as server:
        ran = await dregsy("health", f":{urlsplit(server.url).port}", "--if-served")

    assert (ran.code, ran.out, ran.err) == (0, "ok\n", "")


async def test_nobody_there(dregsy: Dregsy) -> None:
    """Without ``listen`` there is nobody to ask: that is told, and is fine for who says so."""
    address = "127.0.0.1:1"

    strict, lenient = await dregsy("health", address), await dregsy("health", "--if-served", address)

    assert (strict.code, lenient.code) == (1, 0)
    assert strict.out == lenient.out == f"cannot tell: nobody listens on {address}\n"


async def test_somebody_else_there(dregsy: Dregsy) -> None:
    """Another server at that address says nothing about dregsy."""
    async with EmbeddedRegistry() as other:
        strict, lenient = await dregsy("health", other.host), await dregsy("health", "--if-served", other.host)

    assert (strict.code, lenient.code) == (1, 0)
    assert strict.out == f"cannot tell: who listens on {other.host} is no dregsy: it answers 404\n"


@pytest.mark.parametrize("said", [b"", b"What?\r\n\r\n"])
async def test_no_answer(dregsy: Dregsy, said: bytes) -> None:
    """A dregsy that takes the connection and says nothing, or no HTTP, is not well, whoever asks."""

    async def mumble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(said)
        await reader.read()

    async with RawServer(mumble) as server:
        ran = await dregsy("health", "--if-served", "--timeout", "0.2", server.host)

    assert (ran.code, ran.err) == (1, "")
    assert ran.out.startswith(f"no answer from {server.host}")


async def test_no_address(dregsy: Dregsy) -> None:
    """What is no address is a mistake, with a hint."""
    ran = await dregsy("health", "localhost")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: address 'localhost' has no port")
