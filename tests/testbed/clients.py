"""Registry clients for tests: they wait for nothing, and prove at the end that they left nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from dregsy.credentials import Logins
from dregsy.model.endpoint import Endpoint, Given, Login, Secret
from dregsy.model.timeouts import Timeouts
from dregsy.registry import pool
from dregsy.registry.pool import Registries
from dregsy.registry.retry import Backoff

_OURS = tuple(str(Path(module.__file__ or "").parent) for module in (pool, aiohttp))


@asynccontextmanager
async def registries(
    *,
    environ: Mapping[str, str] | None = None,
    timeouts: Timeouts | None = None,
    backoff: Backoff | None = None,
) -> AsyncIterator[Registries]:
    """Open clients that retry without waiting; AssertionError when one keeps a connection or a task."""
    environ = environ or {}
    logins = Logins(environ, Path("/nonexistent"))
    async with Registries(logins, environ, timeouts=timeouts, backoff=backoff or Backoff(base=0)) as clients:
        yield clients
        assert held(clients) == 0
    assert tasks() == []


def held(clients: Registries) -> int:
    """How many connections are in use."""
    sessions = [registry._transport._wire._session for registry in clients._known.values()]
    return sum(len(session.connector._acquired) for session in sessions if session and session.connector)


def tasks() -> list[str]:
    """Name the coroutines that run for registry clients; those of servers in the same loop do not count."""
    codes = [getattr(task.get_coro(), "cr_code", None) for task in asyncio.all_tasks()]
    return [
        code.co_qualname
        for code in codes
        if code and code.co_filename.startswith(_OURS) and "/web_" not in code.co_filename
    ]


def given(username: str, password: str) -> Given:
    """The credentials that a config file holds."""
    return Given(Login(username, Secret(password)))


def trusting(folder: Path, host: str, ca_file: Path, pair: tuple[Path, Path] | None = None) -> Endpoint:
    """An endpoint that trusts a CA and shows a client certificate, by a certs.d folder that is made for it."""
    place = folder / "certs.d" / host
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes(ca_file.read_bytes())
    if pair is not None:
        (place / "client.cert").write_bytes(pair[0].read_bytes())
        (place / "client.key").write_bytes(pair[1].read_bytes())
    return Endpoint(host, certs=(folder / "certs.d",))
