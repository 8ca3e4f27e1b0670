"""Lists without end are given up in time, with an error that says so and that may be tried again."""

import asyncio
import json
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from dregsy.model.plan import Listing
from dregsy.model.report import Outcome
from dregsy.model.timeouts import Timeouts
from tests.testbed.copying import Workshop, rule, task
from tests.testbed.raw import TLS_HELLO, RawServer, head

numbers = count()


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request for a list with one new name and where there are more."""
    while asked := await head(reader):
        if asked[0] == TLS_HELLO:
            writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            return
        one, link = f"n{next(numbers)}", ""
        path = asked.split()[1].decode().partition("?")[0]
        if path != "/v2/":
            link = f'Link: <{path}?last={one}>; rel="next"\r\n'
        body = json.dumps({"tags": [one], "repositories": [one]})
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{link}\r\n{body}".encode())
        await writer.drain()


def told(outcomes: tuple[Outcome, ...]) -> list[tuple[str, bool]]:
    """What failed, and whether that may be tried again."""
    return [(one.failure.message, one.failure.retryable) for one in outcomes if one.failure]


@pytest.mark.parametrize(("source", "what"), [("app", "tags of {}/app"), ("regex:.*", "repositories of {}")])
async def test_a_list_without_end(tmp_path: Path, source: str, what: str) -> None:
    """It is the failure of its mapping, and the run goes on to its end."""
    async with RawServer(endless) as server, Workshop(tmp_path, timeouts=Timeouts(listing=0.1)) as shop:
        asked = task(server.host, (server.host,), rule(source, "" if "regex" in source else "copy"))
        report = await shop.run(replace(asked, listing=Listing(limit=None)))

    assert told(report.outcomes) == [(f"the {what.format(server.host)} could not be listed within 0.1 seconds", True)]
