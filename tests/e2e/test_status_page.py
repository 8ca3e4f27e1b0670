"""The status page of a running command, in a real browser, and its API as curl sees it."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from dregsy.embedded import images
from tests.testbed.asking import ask, order, scrape
from tests.testbed.chromium import Visit, chromium
from tests.testbed.command import mirror
from tests.testbed.daemon import Daemon
from tests.testbed.faults import Fault, Gate
from tests.testbed.proxy import RecordingProxy
from tests.testbed.pushing import push
from tests.testbed.servers import DockerRegistry

TOKEN = "0123456789abcdef"
LISTEN = {"address": ":0", "token": TOKEN}
RUNS = 'dregsy_task_runs_total{result="succeeded",task="mirror"}'

DOCS = Path(__file__).parents[2] / "docs/status-page.md"

Served = Callable[..., str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser for all tests of this file."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def served(daemon: Daemon) -> Served:
    """Start the command with a config, and return where it listens."""

    def start(config: dict[str, Any], *arguments: str) -> str:
        daemon.start("-config", daemon.dregsy.config(config), *arguments)
        said = daemon.said("metrics and health are at http://127.0.0.1:")
        return next(word for word in said.split() if word.startswith("http://127"))

    return start


def hourly(source: str, target: str, repo: str, *tags: str) -> dict[str, Any]:
    """Return a config that mirrors one repository, the tag v1 unless told otherwise, every hour."""
    return {"listen": LISTEN, **mirror(source, target, {"from": repo, "tags": [*(tags or ["v1"])]}, interval=3600)}


def button(text: str) -> str:
    """Select a button of a task, and nothing that is said about what it did."""
    return f"#tasks button:has-text('{text}')"


def test_what_happened_can_be_read(
    daemon: Daemon, served: Served, browser: Browser, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """What was copied, what failed and why, when the task runs next, and the story of an image, a click away."""
    digest = push(registry_a.host, repo, images.image(repo), "v1")
    url = served(hourly(registry_a.host, registry_b.host, repo, "v1", "none"))
    daemon.said("finished")

    with closing(Visit(browser, url)) as visit:
        visit.shows("1 image is failing")
        tasks, failures = visit.text("#tasks"), visit.text("#failures")
        visit.page.click("#latest a:has-text(':v1')")
        visit.page.wait_for_url("**/history?**")
        story = visit.text()
        visit.page.click("text=All tasks")
        visit.shows("1 image is failing")

    assert visit.complaints == []
    for text in ("mirror", "every hour", registry_a.host, "1 copied", "1 failed"):
        assert text in tasks
    assert re.search(r"in (1 h|5\d min)", tasks)
    assert f"{registry_a.host}/{repo}:none" in failures
    assert "sync.yaml:" in failures
    assert f"{registry_b.host}/{repo}:v1" in story
    assert digest in story
    assert daemon.stop() == 1


def test_it_is_live(
    daemon: Daemon, served: Served, browser: Browser, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A copy on its way is shown with its bytes, then what became of it, and at last that nobody is there."""
    image = images.image(repo, size=100_000)
    push(registry_a.host, repo, image, "v1")
    gate = Gate()
    with RecordingProxy(registry_b.host, Fault(path="/manifests/v", method="PUT", gate=gate)) as target:
        url = served(hourly(registry_a.host, target.host, repo))
        gate.wait()
        with closing(Visit(browser, url)) as visit:
            visit.shows("Running mirror")
            visit.shows(f"{registry_a.host}/{repo}:v1", "#copies")
            bars = visit.page.locator("#copies progress").evaluate_all("all => all.map(one => one.value / one.max)")
            gate.open()
            visit.shows("All is well")
            visit.shows("1 copied", "#tasks")
            copies, title = visit.text("#copies"), visit.page.title()
            assert daemon.stop() == 0
            visit.shows("No connection to dregsy since")

    assert (bars, copies, title) == ([1], "", "All is well · dregsy")


def test_buttons(
    daemon: Daemon, served: Served, browser: Browser, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """With the token a task is run now, paused and resumed, which the log tells; with another nothing is."""
    push(registry_a.host, repo, images.image(repo), "v1")
    url = served(hourly(registry_a.host, registry_b.host, repo))
    daemon.said("finished")
    with closing(Visit(browser, url)) as visit:
        visit.page.fill("#token", "not-the-right-token")
        visit.page.click(button("Run now"))
        visit.shows("that is not the token")
        visit.page.fill("#token", TOKEN)
        visit.page.press("#token", "Enter")
        visit.page.click(button("Pause"))
        visit.shows("is paused until it is resumed")
        visit.shows("paused", "#tasks .next")
        visit.page.click(button("Run now"))
        daemon.said("finished", 2)
        visit.page.click(button("Resume"))
        visit.shows("in 5", "#tasks .next")
        visit.page.reload()
        visit.page.click(button("Run now"))
        said = daemon.said("finished", 3)

    assert [line for line in visit.complaints if "401" not in line] == []
    told = [line.partition("'mirror': ")[2] for line in said.splitlines() if "its API" in line]
    way = "through the status page or its API, from 127.0.0.1"
    assert told == [f"{what} {way}" for what in ("paused", "a run was asked for", "resumed", "a run was asked for")]
    assert scrape(url)[RUNS] == 3
    assert daemon.stop() == 0


def test_what_changes_meanwhile_spoils_no_click(
    daemon: Daemon, served: Served, browser: Browser, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """A button that is pressed, and a text that is selected, stay where they are until they are let go."""
    push(registry_a.host, repo, images.image(repo), "v1")
    url = served(hourly(registry_a.host, registry_b.host, repo))
    daemon.said("finished")
    with closing(Visit(browser, url)) as visit:
        visit.page.fill("#token", TOKEN)
        visit.page.hover(button("Run now"))
        visit.page.mouse.down()
        order(url, "/api/v1/pause", task="mirror", token=TOKEN)
        visit.shows("1 paused", "#state")
        pressed = visit.text("#tasks .next")
        visit.page.mouse.up()
        visit.shows("paused", "#tasks .next")
        daemon.said("finished", 2)
        visit.shows("1 up to date", "#tasks")
        visit.page.evaluate("getSelection().selectAllChildren(document.querySelector('#tasks h3'))")
        order(url, "/api/v1/resume", task="mirror", token=TOKEN)
        visit.shows("1 task, started", "#state")
        selected = visit.text("#tasks .next")
        visit.page.evaluate("getSelection().empty()")
        visit.shows("in 5", "#tasks .next")

    assert (pressed[:3], selected, visit.complaints) == ("in ", "paused", [])
    assert daemon.stop() == 0


def test_without_a_script(
    daemon: Daemon, served: Served, browser: Browser, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """The page tells the same, and its buttons do the same, in a browser that runs no script."""
    push(registry_a.host, repo, images.image(repo), "v1")
    url = served(hourly(registry_a.host, registry_b.host, repo))
    daemon.said("finished")

    with closing(Visit(browser, url, script=False)) as visit:
        before = visit.text()
        visit.page.fill("#token", TOKEN)
        visit.page.click(button("Run now"))
        daemon.said("finished", 2)
        visit.page.wait_for_url(url)
        visit.page.click("text=Load again")
        after = visit.text("#notices")

    assert "All is well" in before
    assert "a run was asked for" in after
    assert daemon.stop() == 0


def test_it_fits_a_phone_and_the_night(
    daemon: Daemon, served: Served, browser: Browser, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """Nothing stands beyond the edge of a small screen, and the page is dark where its user wants that."""
    push(registry_a.host, repo, images.image(repo), "v1")
    long = f"a-name-that-is-{'very-' * 20}long"
    config = hourly(registry_a.host, registry_b.host, repo, "v1", "none")
    config["tasks"][0]["name"] = long
    url = served(config)
    daemon.said("finished")
    grounds = []
    for scheme in ("light", "dark"):
        for path in ("", f"history?image={registry_b.host}/{repo}:v1"):
            with closing(Visit(browser, url + path, scheme=scheme, width=360)) as visit:
                width = visit.page.evaluate("document.documentElement.scrollWidth")
                ground = visit.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
                ink = visit.page.evaluate("getComputedStyle(document.documentElement).color")
            assert width == 360
            grounds.append((brightness(ground) > 128, brightness(ink) > 128))

    assert grounds == [(True, False)] * 2 + [(False, True)] * 2
    assert daemon.stop() == 1


def brightness(colour: str) -> float:
    """Return how bright ``rgb(1, 2, 3)`` is, from 0 to 255."""
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")) / 3


def test_the_story_outlasts_the_command(
    daemon: Daemon, served: Served, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """With a state folder the next dregsy knows what the last one did; ``--listen`` goes with the file's token."""
    push(registry_a.host, repo, images.image(repo), "v1")
    config = {**hourly(registry_a.host, registry_b.host, repo), "state": str(daemon.dregsy.folder / "state")}
    served(config)
    daemon.said("finished")
    daemon.stop()
    url = served({**config, "listen": {**LISTEN, "address": "127.0.0.1:1"}}, "--listen", ":0")
    daemon.said("finished")

    (past,) = json.loads(ask(url, f"/api/v1/history?image={registry_b.host}/{repo}:v1").text)["history"]
    answer = order(url, "/api/v1/run", task="mirror", token=TOKEN)

    assert (past["status"], past["reason"]) == ("copied", "missing")
    assert (answer.status, json.loads(answer.text)["ok"]) == (200, True)
    daemon.said("finished", 2)
    assert daemon.stop() == 0


def test_the_documented_commands(
    daemon: Daemon, served: Served, registry_a: DockerRegistry, registry_b: DockerRegistry, repo: str
) -> None:
    """What docs/status-page.md gives curl to do is answered as it says."""
    push(registry_a.host, repo, images.image(repo), "v1")
    config = hourly(registry_a.host, registry_b.host, repo, "v1", "none")
    config["tasks"][0]["name"] = "nightly"
    config["listen"] = {**LISTEN, "token": "${DREGSY_TOKEN}"}
    daemon.dregsy.environ["DREGSY_TOKEN"] = TOKEN
    url = served(config)
    daemon.said("finished")
    (block,) = DOCS.read_text().split("```sh\n")[1:]
    lines = block.partition("```")[0].replace("http://127.0.0.1:8080/", url).splitlines()

    told = [
        json.loads(
            subprocess.run(["bash", "-c", line], env=daemon.dregsy.environ, capture_output=True, check=True).stdout
        )
        for line in lines
    ]

    assert [list(one) for one in told] == [
        ["failures"],
        ["history"],
        ["ok", "message", "hint"],
        ["ok", "message", "hint"],
    ]
    assert (len(told[0]["failures"]), told[2]["ok"], told[3]["ok"]) == (1, True, True)
    daemon.said("finished", 2)
    assert daemon.stop() == 1
