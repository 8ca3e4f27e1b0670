from collections.abc import Mapping
from html.parser import HTMLParser

import pytest

from dregsy.errors import Problem
from dregsy.model.plan import Copy, Cron, Every, Once
from dregsy.model.ref import Ref
from dregsy.model.report import (
    Answered,
    CopyFinished,
    CopyFound,
    CopyProgress,
    CopyStarted,
    Failure,
    Outcome,
    Reloaded,
    Scheduled,
    Status,
    TaskStarted,
    Warned,
)
from dregsy.web import page
from tests.dregsy.web.stage import NOW, Stage, copied, copy, current, failed, task

EVIL = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>&lt;"


class Page(HTMLParser):
    """What a browser makes of a page: its elements, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """A text."""
        self.text += f" {data}"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


async def parts(stage: Stage, *, controls: bool = False) -> Mapping[str, str]:
    """Return what there is to see."""
    return page.parts(stage.view.status(), await stage.view.past(), controls=controls)


async def shown(stage: Stage, *, controls: bool = False) -> Page:
    """Return the page."""
    return Page(page.document(await parts(stage, controls=controls), "1.0", controls=controls))


async def test_everything_there_is_to_see() -> None:
    """Tasks with their times, what is copied and how far it is, failures with reasons, the past, limits, warnings."""
    tasks = (task("hourly", Every(3600)), task("cron", Cron("0 4 * * *")), task("once", Once()))
    async with Stage(*tasks) as stage:
        stage.ran(copied("1"), failed("2"))
        one = copy("3", name="cron")
        stage(Scheduled(((tasks[0], NOW + 190.0),)), Warned("", "mind the gap"), Answered("a.test", "GET", 200, 7, 100))
        stage(TaskStarted(tasks[1]), CopyFound(one), CopyFound(copy("4", name="cron")), CopyStarted(one))
        stage(CopyProgress(one, 0, 250, 1000), CopyFinished(copied("4", name="cron")))
        seen = await shown(stage)

    for text in ("hourly", "in 3 min", "cron 0 4 * * *", "has not run yet", "1 copied", "1 failed", "1 of 2 images"):
        assert text in seen.text
    for text in ("a.test/app:3", "250 B of 1.0 kB", "b.test is down", "start it", "sync.yaml:7", "7 of 100 left"):
        assert text in seen.text
    assert "mind the gap" in seen.text
    assert [(one["max"], one["value"]) for one in seen.all("progress")] == [("2", "1"), ("1000", "250"), ("100", "7")]
    assert "history?image=b.test%2Fapp%3A2" in [one["href"] for one in seen.all("a")]


@pytest.mark.parametrize("controls", [True, False])
async def test_nothing_gets_out_of_its_place(controls: bool) -> None:
    """Names and reasons of all kinds, whatever they are made of, add no element and no attribute."""
    async with Stage(task("plain")) as calm, Stage(task(EVIL, Cron(EVIL), EVIL)) as stage:
        for one, text in ((calm, "plain"), (stage, EVIL)):
            evil = Copy(text, Ref(text, text, text), (Ref(text, text, text),), (0,), where=text)
            down = Failure(text, text, text)
            one(CopyFinished(Outcome(evil, evil.targets[0], Status.FAILED, failure=down)), CopyStarted(evil))
            one(Answered(text, "GET", 200, 7), Warned(text, text))
            one(Reloaded(ok=False, problems=(Problem(text, 1, text, text, text),)))
        plain, attacked = await shown(calm, controls=controls), await shown(stage, controls=controls)
        story = Page(page.story(EVIL, await stage.view.past(), stage.view.summary()["now"]))

    assert [(name, list(given)) for name, given in attacked.elements] == [
        (name, list(given)) for name, given in plain.elements
    ]
    assert attacked.text.count(EVIL) >= 10
    assert [given["src"] for given in attacked.all("script")] == [given["src"] for given in plain.all("script")]
    assert EVIL in story.text
    assert story.all("img") + story.all("script") == []


async def test_nothing_comes_from_elsewhere() -> None:
    """Style, script, icon and links are all relative, so that the page works behind a path, too; nothing is inline."""
    async with Stage() as stage:
        stage.ran(copied("1"), failed("2"))
        seen = await shown(stage, controls=True)

    places = [
        given[name] for _, given in seen.elements for name in ("src", "href", "action", "formaction") if name in given
    ]
    assert len(places) > 8
    assert [one for one in places if one is None or ":" in one.partition("?")[0] or one.startswith("/")] == []
    assert [given for _, given in seen.elements if "style" in given or any(name[:2] == "on" for name in given)] == []


async def test_buttons_only_for_who_may() -> None:
    """Without a token there is no form, and the page loads itself anew; with one it does not, while one types."""
    async with Stage() as stage:
        stage.orders.pause("nightly")
        without, controls = await shown(stage), await shown(stage, controls=True)

    assert "2 tasks, 1 paused" in without.text
    assert (without.all("form"), without.all("button"), without.all("input")) == ([], [], [])
    assert [one["content"] for one in without.all("meta") if "http-equiv" in one] == ["30"]
    assert [one for one in controls.all("meta") if "http-equiv" in one] == []
    first, *others = controls.all("button")
    assert "disabled" in first  # so that the enter key, which takes the first button, does nothing
    assert [(one["formaction"], one["value"]) for one in others] == [
        ("run", "nightly"),
        ("resume", "nightly"),
        ("run", "once"),
    ]


async def test_long_lists_are_cut() -> None:
    """However much there is, the page stays short, and says how much more there is."""
    async with Stage() as stage:
        stage(TaskStarted(stage.tasks[0]))
        for number in range(10_000):
            stage(CopyFinished(failed(str(number), "x" * 5000)))
        for number in range(256):
            stage(CopyStarted(copy(str(number))))
        live = await parts(stage)

    assert "and 236 more" in live["copies"]
    assert "and 80 more" in live["failures"]
    assert live["title"] == "10,000 images are failing · dregsy"
    assert sum(map(len, live.values())) < 100_000


async def sentence(stage: Stage) -> str:
    """Return how everything is, in a word."""
    return (await parts(stage))["title"].removesuffix(" · dregsy")


async def test_how_everything_is() -> None:
    """One sentence says it, the worst first."""
    async with Stage() as stage:
        said = [await sentence(stage)]
        stage.ran(copied("1"))
        said.append(await sentence(stage))
        stage.ran(interrupted=True)
        said.append(await sentence(stage))
        stage(TaskStarted(stage.tasks[0]))
        said.append(await sentence(stage))
        stage(Reloaded(ok=False))
        stage(Reloaded(ok=False, problems=(Problem("sync.yaml", 1, "", "is empty"),)))
        said.append(await sentence(stage))
        stage(CopyFinished(failed("1")))
        said.append(await sentence(stage))
        stage.time += 10_000
        said.append(await sentence(stage))

    assert said == [
        "Nothing has run yet",
        "All is well",
        "The last run was cut short",
        "Running nightly",
        "The changed config is not used",
        "1 image is failing",
        "Not well",
    ]


async def test_what_is_current_is_in_no_story() -> None:
    """The history of an image tells what changed it, and says what it leaves out."""
    async with Stage() as stage:
        stage.ran(copied("1"), current("1"), failed("1"))
        story = Page(page.story("b.test/app:1", await stage.view.past("b.test/app:1"), stage.view.summary()["now"]))
        nothing = Page(page.story("b.test/other:1", await stage.view.past("b.test/other:1"), "2023-11-14T22:13:20Z"))

    assert len(story.all("li")) == 2
    assert "new, 1.5 kB sent, in 1.5 s" in story.text
    assert "Nothing is known of this image." in nothing.text


def test_messages() -> None:
    """Why something was not done, and a way back."""
    seen = Page(page.message("that is not the token", "it is 'listen.token'"))

    assert "that is not the token" in seen.text
    assert seen.all("a") == [{"href": "./"}]
