"""Passes a request on to another server and its answer back, in pieces, with the faults that are wanted."""

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from tests.testbed.faults import Fault, Seen

CHUNK = 64 * 1024
_HOP_BY_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding", "TE", "Trailer", "Upgrade")


class Severed(ConnectionError):
    """The connection to the client is to be broken."""


async def forward(
    session: aiohttp.ClientSession, url: str, headers: CIMultiDict[str], request: web.Request, fault: Fault, seen: Seen
) -> web.StreamResponse:
    """Send a request to ``url`` with ``headers`` and stream the answer back.

    Raises Severed where a fault wants the connection broken, and aiohttp's errors when either side breaks it.
    """
    body = _upload(request, fault, seen) if request.can_read_body else None
    target = URL(url, encoded=True)
    async with session.request(request.method, target, headers=headers, data=body, allow_redirects=False) as answer:
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        response.headers.extend(without(answer.headers.copy(), *fault.strip))
        response.headers.update(fault.headers)
        if fault.loses_answer:
            raise Severed
        seen.status = answer.status
        if fault.packs or fault.claims:
            return await _lie(request, response, await answer.read(), fault)
        await asyncio.sleep(fault.delay)
        await response.prepare(request)
        async for chunk in answer.content.iter_chunked(CHUNK):
            await asyncio.sleep(fault.delay)
            piece = fault.alter(chunk, seen.bytes_down)
            seen.bytes_down += len(piece)
            for part in _drops(piece) if fault.drips else (piece,):
                await response.write(part)
                await asyncio.sleep(0.01 if fault.drips else 0)
            if fault.gate is not None and 0 <= fault.stop_at <= seen.bytes_down:
                await fault.gate.hold()
            if len(piece) < len(chunk):
                await _hang_up(request, fault)
                raise Severed
        await response.write_eof()
    return response


async def _lie(request: web.Request, response: web.StreamResponse, body: bytes, fault: Fault) -> web.StreamResponse:
    """Send a body packed, or with a wrong length: what the length has no room for comes behind it all the same."""
    if fault.packs:
        body = gzip.compress(body)
        response.headers["Content-Encoding"] = "gzip"
    size = max(0, len(body) + fault.claims)
    response.headers["Content-Length"] = str(size)
    await response.prepare(request)
    await response.write(body[:size])
    if size < len(body) and request.transport is not None:
        request.transport.write(body[size:])
    if size > len(body):
        await _hang_up(request, replace(fault, hangs_up=True))
        raise Severed
    await response.write_eof()
    return response


def _drops(piece: bytes) -> Iterator[bytes]:
    return (piece[place : place + 1] for place in range(len(piece)))


async def _upload(request: web.Request, fault: Fault, seen: Seen) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_any():
        await asyncio.sleep(fault.delay)
        room = fault.cut_upload_at - seen.bytes_up
        if fault.cut_upload_at >= 0 and room < len(chunk):
            seen.bytes_up += room
            yield chunk[:room]
            reset(request)
            raise Severed
        seen.bytes_up += len(chunk)
        yield chunk


async def _hang_up(request: web.Request, fault: Fault) -> None:
    """Close the connection when all that was sent has left, where that is wanted."""
    transport = request.transport
    if fault.hangs_up and transport is not None:
        while transport.get_write_buffer_size():
            await asyncio.sleep(0.001)
        transport.close()


def without(headers: CIMultiDict[str], *names: str) -> CIMultiDict[str]:
    """Remove the headers called ``names``, and those that concern a single connection only."""
    for name in (*_HOP_BY_HOP, *names):
        headers.popall(name, None)
    return headers


def reset(request: web.Request) -> None:
    """Break the connection to the client at once (TCP RST), unless it is being closed already."""
    transport = request.transport
    if transport is not None and not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
