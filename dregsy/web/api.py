"""The API below ``/api/v1/``: what the page shows as JSON, and orders about tasks. ``openapi`` describes it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl

from aiohttp import web

from dregsy.web import view
from dregsy.web.desk import VERBS, Answer, Desk
from dregsy.web.openapi import BASE, description
from dregsy.web.origin import is_foreign
from dregsy.web.view import Data, View

_FIELDS = 10
"""The most fields of an order."""
_LONGEST = 600
"""The most characters of an image's name that is looked for."""


class Api:
    """Answers programs about what there is to see, and takes their orders to a desk."""

    def __init__(self, shown: View, desk: Desk) -> None:
        self._view = shown
        self._desk = desk

    def routes(self) -> list[web.RouteDef]:
        """Return what is served."""
        pages: Mapping[str, Callable[[], Data]] = {
            "status": self._view.status,
            "tasks": self._view.tasks,
            "copies": self._view.copies,
            "failures": self._view.failures,
            "limits": self._view.limits,
            "openapi.json": description,
        }
        return [
            *(web.get(f"{BASE}/{name}", _told(content)) for name, content in pages.items()),
            web.get(f"{BASE}/history", self._history),
            *(web.post(f"{BASE}/{verb}", self._ordered(verb)) for verb in VERBS),
        ]

    async def order(self, request: web.Request, verb: str) -> Answer:
        """Take an order: ``task`` is in a form or in JSON, the token there as well, or else in the header.

        Where both have one, a proxy has put in its own.
        """
        if is_foreign(request.headers):
            return Answer(403, "another site sent this", "use the page itself; a proxy has to pass 'Host' on")
        try:
            said = await _said(request)
        except (ValueError, RecursionError, web.RequestPayloadError):
            return Answer(400, "the request cannot be read", "send a form or a JSON object with 'task' and 'token'")
        except web.HTTPRequestEntityTooLarge:
            return Answer(413, "the request is too large", "send a form or a JSON object with 'task' and 'token'")
        kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
        token = said.get("token", "") or (bearer.strip() if kind.lower() == "bearer" else "")
        return self._desk.take(verb, said.get("task", ""), token, request.remote or "")

    def _ordered(self, verb: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            result = await self.order(request, verb)
            headers = {"Retry-After": str(result.wait)} if result.wait else {}
            if result.status == 401:
                headers["WWW-Authenticate"] = 'Bearer realm="dregsy"'
            return _json(_words(result), result.status, headers)

        return answer

    async def _history(self, request: web.Request) -> web.Response:
        image, limit = request.query.get("image", ""), request.query.get("limit", str(view.LATEST))
        is_number = limit.isascii() and limit.isdigit() and len(limit) < 6
        if not is_number or not 1 <= int(limit) <= view.MOST or len(image) > _LONGEST:
            hint = f"'limit' is a number from 1 to {view.MOST}, 'image' a name of {_LONGEST} characters at most"
            return _json(_words(Answer(400, "the question cannot be understood", hint)), 400)
        return _json(await self._view.past(image, int(limit)))


def _told(content: Callable[[], Data]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return _json(content())

    return answer


def _json(data: Data, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response(data, status=status, headers=headers)


def _words(answer: Answer) -> Data:
    return {"ok": answer.ok, "message": answer.message, "hint": answer.hint or None}


async def _said(request: web.Request) -> Mapping[str, str]:
    """Read the texts of a form or a JSON object; ValueError when it is neither."""
    body = (await request.read()).decode()
    if request.content_type != "application/json":
        return dict(parse_qsl(body, max_num_fields=_FIELDS))
    data = json.loads(body)
    if not isinstance(data, dict):
        raise ValueError("no object")
    return {key: value for key, value in data.items() if isinstance(value, str)}
