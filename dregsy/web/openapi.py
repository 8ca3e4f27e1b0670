"""The API's description, in OpenAPI 3.1: what ``view`` shows and ``desk`` takes, written as the schemas of that."""

from collections.abc import Mapping
from typing import Any

from dregsy import __version__
from dregsy.model.report import Reason, Status
from dregsy.web import view
from dregsy.web.desk import VERBS

BASE = "/api/v1"

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
SECONDS: Schema = {"type": "number", "minimum": 0}
TIME: Schema = {"type": "string", "format": "date-time"}
_COUNTS = {str(status): COUNT for status in Status}


def _or_none(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(about: str, **properties: Schema) -> Schema:
    """An object that has all of these properties, and in this version no others."""
    return {
        "type": "object",
        "description": about,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _said(schema: Schema, about: str) -> Schema:
    return {**schema, "description": about}


_FAILURE = {
    "kind": _said(TEXT, "unauthorized, not-found, rate-limited, unreachable and so on"),
    "message": TEXT,
    "hint": _said(_or_none(TEXT), "what to do about it"),
}
_SUMMARY: Mapping[str, Schema] = {
    "version": TEXT,
    "now": TIME,
    "started": TIME,
    "ok": _said(FLAG, "as /healthz has it"),
    "ready": _said(FLAG, "as /readyz has it"),
    "trouble": _said(_or_none(TEXT), "what is wrong where it is not ok"),
    "refused_config": _said(_list(TEXT), "what is wrong with the config that was read last and is not used"),
    "notices": _list(_ref("Notice")),
}
_LISTS: Mapping[str, tuple[str, str]] = {
    "tasks": ("Task", "The tasks, in the order of the file"),
    "copies": ("Copy", "The copies that are under way"),
    "failures": ("Failure", "What failed and was not seen to succeed since, the last at the front"),
    "limits": ("Limit", "What hosts said of how many more requests they take"),
}
SCHEMAS: Mapping[str, Schema] = {
    "Notice": _object("A warning.", at=TIME, task=_or_none(TEXT), message=TEXT),
    "Schedule": _object(
        "When a task runs: once at the start, every so many seconds, or by cron in the server's time zone.",
        kind={"enum": ["once", "interval", "cron"]},
        seconds=_or_none(COUNT),
        cron=_or_none(TEXT),
    ),
    "Run": _object(
        "A run in progress; images count once for each target.",
        started=TIME,
        found=COUNT,
        bytes_written=COUNT,
        **_COUNTS,
    ),
    "LastRun": _object(
        "A run that ended; images count once for each target.",
        started=TIME,
        finished=TIME,
        seconds=SECONDS,
        ok=_said(FLAG, "whether everything asked for is at its targets"),
        interrupted=_said(FLAG, "whether it was told to stop before it had looked at everything"),
        **_COUNTS,
    ),
    "Task": _object(
        "A task of the config.",
        name=TEXT,
        schedule=_ref("Schedule"),
        source=_said(TEXT, "the registry that is read"),
        targets=_list(TEXT),
        state={"enum": ["running", "due", "waiting", "paused", "done"]},
        paused=FLAG,
        next_run=_or_none(TIME),
        run=_or_none(_ref("Run")),
        last_run=_or_none(_ref("LastRun")),
    ),
    "Copy": _object(
        "An image on its way to the targets that still wait for it.",
        task=TEXT,
        source=TEXT,
        targets=_list(TEXT),
        started=TIME,
        seconds=SECONDS,
        bytes_read=COUNT,
        bytes_written=COUNT,
        bytes_expected=_said(_or_none(COUNT), "how many will be written, as far as is known by now"),
    ),
    "Failure": _object(
        "An image, or a list of images, that failed.",
        at=TIME,
        task=TEXT,
        source=TEXT,
        target=_said(_or_none(TEXT), "null where no target was reached"),
        **_FAILURE,
        where=_said(_or_none(TEXT), "the mapping, as file:line"),
    ),
    "Limit": _object(
        "What a host said last in RateLimit-Remaining; most is RateLimit-Limit, or the most that was left.",
        host=TEXT,
        remaining=COUNT,
        most=COUNT,
        at=TIME,
    ),
    "Past": _object(
        "What became of an image at one target.",
        at=TIME,
        task=TEXT,
        source=TEXT,
        image=_said(TEXT, "its name at the target, or at the source where no target was reached"),
        status={"enum": [str(Status.COPIED), str(Status.FAILED)]},
        reason={"enum": [*map(str, Reason), None]},
        digest=_or_none(TEXT),
        bytes=_said(_or_none(COUNT), "how many were sent"),
        seconds=SECONDS,
        **{name: _or_none(schema) for name, schema in _FAILURE.items()},
    ),
    "Answer": _object("What came of it.", ok=FLAG, message=TEXT, hint=_or_none(TEXT)),
    "Order": {
        "type": "object",
        "properties": {"task": _said(TEXT, "its name"), "token": _said(TEXT, "unless it is in the header")},
        "required": ["task"],
    },
    "Status": _object("All but the history.", **_SUMMARY, **{key: _list(_ref(of)) for key, (of, _) in _LISTS.items()}),
}


_NOT_MEANT = {
    "421": {
        "description": "Asked by a name that is not this machine's, where only this machine is served",
        "content": {"text/plain": {"schema": TEXT}},
    }
}


def description() -> Schema:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "dregsy", "version": __version__, "description": "What a running dregsy does and did."},
        "servers": [{"url": "../v1"}],  # from where this stands, so that it holds below a proxy's path, too
        "paths": {f"/{name}": path for name, path in _paths().items()},
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "listen.token"}},
        },
    }


def _paths() -> dict[str, Schema]:
    lists = {name: _get(about, _object(about, **{name: _list(_ref(of))})) for name, (of, about) in _LISTS.items()}
    return {
        "status": _get("All but the history", _ref("Status")),
        **lists,
        "history": _history(),
        "openapi.json": _get("This description", {"type": "object"}),
        **{verb: _order(verb) for verb in VERBS},
    }


def _content(schema: Schema, about: str) -> Schema:
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _get(about: str, schema: Schema) -> Schema:
    return {"get": {"summary": about, "responses": {"200": _content(schema, about), **_NOT_MEANT}}}


def _history() -> Schema:
    about = "What became of an image, or of all; the newest at the front"
    path = _get(about, _object(about, history=_list(_ref("Past"))))
    limit: Schema = {"type": "integer", "minimum": 1, "maximum": view.MOST, "default": view.LATEST}
    image = {"name": "image", "in": "query", "description": "its name at source or target", "schema": TEXT}
    path["get"]["parameters"] = [image, {"name": "limit", "in": "query", "schema": limit}]
    path["get"]["responses"]["400"] = _content(_ref("Answer"), "A limit out of range")
    return path


def _order(verb: str) -> Schema:
    about = {
        "run": "Run a task as soon as the run in progress has ended",
        "pause": "Let the times of a task pass",
        "resume": "Let a task run at its times again",
    }[verb]
    refusals = {
        "400": "It cannot be read",
        "401": "The token is wrong or missing",
        "403": "The config has no token, or another site sent this",
        "404": "There is no such task",
        "409": "A task that runs once cannot be paused",
        "413": "It is too large",
        "429": "Too many wrong tokens, and this is another: wait",
    }
    kinds = ("application/x-www-form-urlencoded", "application/json")
    return {
        "post": {
            "summary": about,
            "security": [{"token": []}],
            "requestBody": {"required": True, "content": {kind: {"schema": _ref("Order")} for kind in kinds}},
            "responses": {
                "200": _content(_ref("Answer"), "It was taken"),
                **{status: _content(_ref("Answer"), why) for status, why in refusals.items()},
                **_NOT_MEANT,
            },
        }
    }
