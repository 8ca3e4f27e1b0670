"""What the server serves beside metrics and health: the status page, its parts as they change, and the forms on it."""

from pathlib import Path

from aiohttp import web

from dregsy import __version__
from dregsy.web import page
from dregsy.web.api import Api
from dregsy.web.desk import VERBS, Answer, Desk
from dregsy.web.events import PACE, Events, Parts
from dregsy.web.html import Html
from dregsy.web.view import View

_STATIC = Path(__file__).with_name("static")
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_LATEST = 15
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "same-origin"}


class Site:
    """The pages for people, and the API that has the same to say for programs."""

    def __init__(self, view: View, desk: Desk, *, pace: float = PACE) -> None:
        self._view = view
        self._desk = desk
        self._api = Api(view, desk)
        self._events = Events(self._parts, pace=pace)
        self._files = {path.name: (path.read_bytes(), _KINDS[path.suffix]) for path in sorted(_STATIC.iterdir())}

    def add_to(self, app: web.Application) -> None:
        """Serve all that there is."""
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/history", self._story),
                web.get("/events", self._events.serve, allow_head=False),
                *(web.get(f"/{name}", self._file) for name in self._files),
                *(web.post(f"/{verb}", self._form) for verb in VERBS),
                *self._api.routes(),
            ]
        )
        app.on_shutdown.append(self._shutdown)

    async def _shutdown(self, _: web.Application) -> None:
        await self._events.close()

    async def _parts(self) -> Parts:
        past = await self._view.past(limit=_LATEST)
        return page.parts(self._view.status(), past, controls=self._desk.is_open)

    async def _page(self, _: web.Request) -> web.Response:
        return _shown(page.document(await self._parts(), __version__, controls=self._desk.is_open))

    async def _story(self, request: web.Request) -> web.Response:
        image = request.query.get("image", "")
        past = await self._view.past(image)
        return _shown(page.story(image or "All images", past, self._view.summary()["now"]))

    async def _file(self, request: web.Request) -> web.Response:
        body, kind = self._files[request.path.removeprefix("/")]
        return web.Response(body=body, content_type=kind, charset="utf-8")

    async def _form(self, request: web.Request) -> web.Response:
        """Do what a button asks for, and lead back to the page."""
        answer = await self._api.order(request, request.path.removeprefix("/"))
        if answer.ok:
            raise web.HTTPSeeOther("./")
        return _shown(page.message(answer.message, answer.hint), answer)


def _shown(document: Html, answer: Answer | None = None) -> web.Response:
    wait = {"Retry-After": str(answer.wait)} if answer and answer.wait else {}
    status = answer.status if answer else 200
    return web.Response(text=document, status=status, content_type="text/html", headers={**_HEADERS, **wait})
