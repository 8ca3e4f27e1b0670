import json
from typing import Any
from urllib.parse import urljoin

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

from dregsy.model.plan import Cron, Once
from dregsy.model.report import Answered, CopyFound, CopyProgress, CopyStarted, Scheduled, TaskStarted, Warned
from dregsy.web.openapi import BASE, description
from tests.dregsy.web.stage import NOW, TOKEN, Stage, copied, copy, failed, task

DOCUMENT: dict[str, Any] = description()


def faults(path: str, method: str, status: int, body: str) -> list[str]:
    """Return what of an answer is not as the document has it."""
    schema = DOCUMENT["paths"][path][method]["responses"][str(status)]["content"]["application/json"]["schema"]
    whole = {**schema, "components": DOCUMENT["components"]}
    return [
        one.message for one in Draft202012Validator(whole, format_checker=FormatChecker()).iter_errors(json.loads(body))
    ]


def test_it_is_openapi() -> None:
    """The judge of the format itself finds nothing wrong."""
    assert [str(error) for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


async def test_answers_of_a_busy_dregsy() -> None:
    """Every answer is as described, when there is some of everything."""
    tasks = (task(), task("cron", Cron("0 4 * * *")), task("once", Once()))
    async with Stage(*tasks, token=TOKEN) as stage:
        stage.ran(copied("1"), failed("2"))
        one = copy("3")
        stage(Scheduled(((tasks[0], NOW + 60),)), Warned("", "careful"), Answered("a.test", "GET", 200, 7))
        stage(TaskStarted(tasks[1]), CopyFound(one), CopyStarted(one), CopyProgress(one, 1, 1, 2))
        found = await answered(stage)

    assert len(found["status"]["tasks"]) == 3
    assert [name for name in ("tasks", "copies", "failures", "limits", "history") if not found[name][name]] == []


async def test_answers_of_an_idle_dregsy() -> None:
    """Every answer is as described, when there is nothing at all."""
    async with Stage() as stage:
        found = await answered(stage)

    assert found["history"] == {"history": []}


@pytest.mark.parametrize("proxied", ["", "/mirror"])
async def test_addresses(proxied: str) -> None:
    """The document's server and a path make the address of an answer, also where a proxy puts it all below a path."""
    async with Stage() as stage:
        found = urljoin(f"http://h.test{proxied}{BASE}/openapi.json", DOCUMENT["servers"][0]["url"]) + "/status"

        assert found.startswith(f"http://h.test{proxied}/")
        assert (await stage.ask(found.removeprefix(f"http://h.test{proxied}"))).status == 200


async def test_asked_by_another_name() -> None:
    """Whatever is asked for, the answer to who is not meant is as described, and no JSON."""
    async with Stage() as stage:
        for path, methods in DOCUMENT["paths"].items():
            for method, described in methods.items():
                answer = await stage.ask(BASE + path, method=method.upper(), headers={"Host": "evil.example"})
                (kind,) = described["responses"][str(answer.status)]["content"]
                assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (421, kind)


async def answered(stage: Stage) -> dict[str, Any]:
    """Ask for all that can be asked for, and see that it is as described; return what came."""
    found = {}
    for path in DOCUMENT["paths"]:
        if "get" in DOCUMENT["paths"][path]:
            answer = await stage.ask(BASE + path)
            assert (path, answer.status, faults(path, "get", answer.status, answer.text)) == (path, 200, [])
            found[path.removeprefix("/")] = json.loads(answer.text)
    return found


async def test_answers_to_orders() -> None:
    """What is taken and what is refused, each as described."""
    async with Stage(token=TOKEN) as stage:
        statuses = []
        for path in ("/run", "/pause", "/resume"):
            for fields in ({"task": "nightly", "token": TOKEN}, {"task": "x", "token": TOKEN}, {"task": "once"}):
                answer = await stage.order(BASE + path, **fields)
                statuses.append(answer.status)
                assert faults(path, "post", answer.status, answer.text) == []

    assert statuses == [200, 404, 401] * 3
