import json

import pytest

from dregsy.web.desk import GUESSES
from tests.dregsy.web.stage import TOKEN, Stage, copied

JSON = {"Content-Type": "application/json"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def test_orders_in_every_form() -> None:
    """The token may be in the header or beside the task, which may be in a form or in JSON."""
    async with Stage(token=TOKEN) as stage:
        whole = json.dumps({"task": "nightly", "token": TOKEN}).encode()
        part = json.dumps({"task": "nightly"}).encode()
        answers = [
            await stage.order("/api/v1/run", task="nightly", token=TOKEN),
            await stage.order("/api/v1/run", task="nightly", headers=BEARER),
            await stage.ask("/api/v1/run", method="POST", body=whole, headers=JSON),
            await stage.ask("/api/v1/run", method="POST", body=part, headers={**JSON, **BEARER}),
        ]

    said = "task 'nightly' runs as soon as the run in progress, if any, has ended"
    assert [json.loads(one.text) for one in answers] == [{"ok": True, "message": said, "hint": None}] * 4


async def test_no_order_without_the_token() -> None:
    """Neither a cookie nor where the request comes from helps, and the answer says how to log in."""
    async with Stage(token=TOKEN) as stage:
        ambient = {"Cookie": f"token={TOKEN}", "Origin": stage.server.url, "Sec-Fetch-Site": "same-origin"}
        answers = [
            await stage.order("/api/v1/run", task="nightly", headers=ambient),
            await stage.order(f"/api/v1/run?token={TOKEN}&task=nightly", task="nightly"),
            await stage.order("/api/v1/run", task="nightly", headers={"Authorization": f"Basic {TOKEN}"}),
        ]
        asked = stage.orders.is_asked("nightly")

    assert [(one.status, one.headers["WWW-Authenticate"]) for one in answers] == [(401, 'Bearer realm="dregsy"')] * 3
    assert asked is False


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}], ids=lambda one: next(iter(one))
)
async def test_other_sites_give_no_orders(headers: dict[str, str]) -> None:
    """Whatever they have a browser send, it neither does anything nor counts as a guess of who looks at them."""
    async with Stage(token=TOKEN) as stage:
        for path in ("/run", "/api/v1/run"):
            answers = [await stage.order(path, task="nightly", token="x", headers=headers) for _ in range(GUESSES)]
            answers.append(await stage.order(path, task="nightly", token=TOKEN, headers=headers))
            assert {one.status for one in answers} == {403}
        asked = stage.orders.is_asked("nightly")
        own = await stage.order("/api/v1/run", task="nightly", token="y")

    assert (asked, own.status) == (False, 401)


async def test_a_proxy_may_have_a_token_of_its_own() -> None:
    """What a login proxy puts into the header does not hide the token of the form, and is no guess beside it."""
    foreign = {"Authorization": "Bearer eyJhbGciOi.J9.x"}
    async with Stage(token=TOKEN) as stage:
        answers = [
            await stage.order("/api/v1/pause", task="nightly", token=TOKEN, headers=foreign) for _ in range(GUESSES + 1)
        ]
        wrong = await stage.order("/api/v1/pause", task="nightly", token="wrong")

    assert ([one.status for one in answers], wrong.status) == ([200] * (GUESSES + 1), 401)


async def test_nothing_changes_by_looking() -> None:
    """GET and HEAD give no orders."""
    async with Stage(token=TOKEN) as stage:
        answers = [
            await stage.ask(f"{path}?task=nightly&token={TOKEN}", method=method, headers=BEARER)
            for path in ("/run", "/api/v1/run")
            for method in ("GET", "HEAD", "PUT")
        ]
        asked = stage.orders.is_asked("nightly")

    assert ({one.status for one in answers}, asked) == ({405}, False)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_bodies_that_cannot_be_unpacked(coding: str, caplog: pytest.LogCaptureFixture) -> None:
    """They are refused like others that cannot be read, and nothing is logged of them."""
    async with Stage(token=TOKEN) as stage:
        answers = [
            await stage.ask(path, method="POST", body=b"hello", headers={"Content-Encoding": coding})
            for path in ("/run", "/api/v1/run")
        ]

    assert ([one.status for one in answers], caplog.text) == ([400, 400], "")


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 10_000, b'{"task": ' + b"[" * 9000])
async def test_bodies_that_cannot_be_read(body: bytes) -> None:
    """They are refused with a word about what is expected, and nothing else comes of them."""
    async with Stage(token=TOKEN) as stage:
        answer = await stage.ask("/api/v1/run", method="POST", body=body, headers=JSON)

    assert answer.status == 400
    assert json.loads(answer.text)["hint"] == "send a form or a JSON object with 'task' and 'token'"


async def test_bodies_that_are_too_large() -> None:
    """They are not even read."""
    async with Stage(token=TOKEN) as stage:
        answer = await stage.order("/api/v1/run", task="x" * 100_000)

    assert (answer.status, json.loads(answer.text)["ok"]) == (413, False)


async def test_guessing_is_slowed_down() -> None:
    """Here, too, and it is said how long to wait."""
    async with Stage(token=TOKEN) as stage:
        answers = [await stage.order("/api/v1/run", task="nightly", token="wrong") for _ in range(11)]

    assert [one.status for one in answers] == [401] * 10 + [429]
    assert answers[-1].headers["Retry-After"] == "61"


async def test_history() -> None:
    """Of one image or of all, as many as are asked for; what is no number is told so."""
    async with Stage() as stage:
        stage.ran(*(copied(str(number)) for number in range(60)))
        counts = [
            len((await stage.data(f"history{query}"))["history"])
            for query in ("", "?limit=2", "?image=b.test/app:7", "?image=x")
        ]
        bad = [
            (await stage.ask(f"/api/v1/history?{query}")).status
            for query in ("limit=0", "limit=501", "limit=x", "limit=%C2%B2", f"image={'x' * 601}")
        ]

    assert counts == [50, 2, 1, 0]
    assert bad == [400] * 5
