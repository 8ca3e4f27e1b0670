import pytest

from tests.dregsy.web.stage import TOKEN, Stage, failed


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/history?image=a.test/app:1", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml; charset=utf-8"),
    ],
)
async def test_what_there_is(path: str, kind: str) -> None:
    """Each has its type, is not to be kept, and is not to be taken for anything else."""
    async with Stage() as stage:
        answer = await stage.ask(path)

    assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
    assert (answer.headers["Cache-Control"], answer.headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


async def test_pages_may_load_nothing_from_elsewhere() -> None:
    """No script but ours, nothing inline, no frames, and no forms to other sites."""
    async with Stage() as stage:
        policies = [(await stage.ask(path)).headers["Content-Security-Policy"] for path in ("/", "/history")]

    (policy,) = set(policies)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert (rules["default-src"], rules["script-src"], rules["style-src"]) == ("'none'", "'self'", "'self'")
    assert (rules["frame-ancestors"], rules["base-uri"], rules["form-action"]) == ("'none'", "'none'", "'self'")


async def test_forms_work_without_a_script() -> None:
    """A button's form leads back to the page once its order was taken, else to a page that says why not."""
    async with Stage(token=TOKEN) as stage:
        good = await stage.order("/pause", task="nightly", token=TOKEN)
        bad = await stage.order("/resume", task="nightly", token="wrong")
        paused = stage.orders.is_paused("nightly")

    assert (good.status, good.headers["Location"], paused) == (303, "./", True)
    assert (bad.status, "that is not the token" in bad.text) == (401, True)
    assert "Content-Security-Policy" in bad.headers


async def test_no_forms_without_a_token() -> None:
    """They are answered with what to write into the config."""
    async with Stage() as stage:
        answer = await stage.order("/run", task="nightly", token=TOKEN)

    assert (answer.status, "set &#x27;token&#x27; below &#x27;listen&#x27;" in answer.text) == (403, True)


async def test_the_token_is_told_to_nobody() -> None:
    """No page and no answer has it, also not to who sent it."""
    async with Stage(token=TOKEN) as stage:
        stage.ran(failed())
        await stage.order("/run", task="nightly", token=TOKEN)
        answers = [await stage.ask(path) for path in ("/", "/history", "/api/v1/status", "/metrics", "/page.js")]
        answers += [await stage.order("/run", task=task, token=TOKEN) for task in ("nightly", "x")]

    assert [one for one in answers if TOKEN in f"{one.text}{one.headers}"] == []
