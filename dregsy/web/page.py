"""The status page: one document of parts, each of which can be put in anew while somebody looks at it.

It works without its script, which only puts in parts that changed. Nothing in it comes from another host.
"""

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlencode

from dregsy.log import duration, size
from dregsy.web.html import Html, join, tag
from dregsy.web.view import Data
from dregsy.web.words import amount, brief, bytes_of, clock, counted, rhythm

RELOAD = 30
"""After how many seconds a browser without script loads the page again, where there is nothing to type in."""
_FLIGHTS = 20
_FAILURES = 20
_STATES = {"running": "running", "due": "runs next", "done": "done", "paused": "paused", "waiting": ""}
_REASONS = {"missing": "new", "changed": "changed"}


def parts(status: Data, past: Data, *, controls: bool) -> Mapping[str, str]:
    """Return what changes while one looks: the title, and the inner HTML of elements by their ids."""
    return {
        "title": f"{_sentence(status)[1]} · dregsy",
        "state": _state(status),
        "tasks": join(*(_task(one, status["now"], controls=controls) for one in status["tasks"])),
        "copies": _section("Being copied", _flights(status["copies"])),
        "failures": _section("Failures", _failures(status)),
        "latest": _section("Latest", [_entry(one, status["now"]) for one in past["history"]]),
        "limits": _section("Rate limits", [_limit(one, status["now"]) for one in status["limits"]]),
        "notices": _section("Notices", [_notice(one, status["now"]) for one in status["notices"]]),
    }


def document(live: Mapping[str, str], version: str, *, controls: bool) -> Html:
    """Return the page; ``controls`` lets tasks be run and paused."""
    body = join(
        tag("header", tag("div", Html(live["state"]), id="state", role="status")),
        tag("p", "", id="lost", hidden=True, role="alert"),
        tag("main", _desk() if controls else None, tag("ul", Html(live["tasks"]), id="tasks", class_="rows"))
        if live["tasks"]
        else tag("main", tag("p", "There are no tasks.", class_="quiet")),
        *(tag("section", Html(live[name]), id=name) for name in ("copies", "failures", "latest", "limits", "notices")),
        _footer(version, controls=controls),
    )
    refresh = None if controls else tag("noscript", tag("meta", http_equiv="refresh", content=RELOAD))
    return _whole(live["title"], body, join(refresh, tag("script", src="page.js", defer=True)))


def story(image: str, past: Data, now: str) -> Html:
    """Return the page about what became of one image."""
    entries = [_chapter(one, now) for one in past["history"]]
    about = "Newest first. What was found up to date is not listed." if entries else "Nothing is known of this image."
    head = tag("header", tag("p", tag("a", "← All tasks", href="./")), tag("h1", image, class_="name"), tag("p", about))
    return _whole(f"{image} · dregsy", join(head, tag("section", tag("ul", entries, class_="rows"))))


def message(text: str, hint: str) -> Html:
    """Return a page that says why something was not done."""
    back = tag("p", tag("a", "← Back", href="./"))
    return _whole("dregsy", tag("header", tag("h1", text), tag("p", hint) if hint else None, back))


def _whole(title: str, body: Html, head: Html | None = None) -> Html:
    top = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("title", title),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="icon.svg", type="image/svg+xml"),
        tag("link", rel="stylesheet", href="page.css"),
        head,
    )
    return join(Html("<!doctype html>\n"), tag("html", top, tag("body", body), lang="en"))


def _sentence(status: Data) -> tuple[str, str]:
    """Say how everything is, as a mood and in words."""
    runs = [one["run"] or one["last_run"] for one in status["tasks"]]
    failing = max(sum(run["failed"] for run in runs if run), len(status["failures"]))
    running = [one["name"] for one in status["tasks"] if one["state"] == "running"]
    if not status["ok"]:
        return "bad", "Not well"
    if not status["ready"]:
        return "calm", "Starting"
    if failing:
        return "bad", f"{amount(failing, 'image')} {'is' if failing == 1 else 'are'} failing"
    if status["refused_config"]:
        return "odd", "The changed config is not used"
    if running:
        return "busy", f"Running {running[0]}"
    if not any(one["last_run"] for one in status["tasks"]):
        return "calm", "Nothing has run yet"
    cut = any(one["last_run"]["interrupted"] for one in status["tasks"] if one["last_run"])
    return ("odd", "The last run was cut short") if cut else ("good", "All is well")


def _state(status: Data) -> Html:
    mood, words = _sentence(status)
    paused = sum(one["paused"] for one in status["tasks"])
    problems = [*([status["trouble"]] if status["trouble"] else []), *status["refused_config"]]
    return join(
        tag("h1", _dot(mood), words),
        tag(
            "p",
            amount(len(status["tasks"]), "task"),
            f", {paused} paused" if paused else None,
            ", started ",
            clock(status["started"], status["now"]),
        ),
        tag("ul", (tag("li", one) for one in problems), class_="problems") if problems else None,
    )


def _dot(mood: str) -> Html:
    return tag("span", class_=f"dot {mood}", aria_hidden="true")


def _section(title: str, content: Iterable[Html]) -> Html:
    """A heading with rows below it; nothing where there are none."""
    rows = list(content)
    return join(tag("h2", title), tag("ul", rows, class_="rows")) if rows else Html("")


def _task(one: Data, now: str, *, controls: bool) -> Html:
    past, run = one["last_run"], one["run"]
    mood = "busy" if run else "odd" if one["paused"] else "calm" if past is None else "good" if past["ok"] else "bad"
    state = _STATES[one["state"]]
    line = f"{rhythm(one['schedule'])} · {one['source']} → {', '.join(one['targets'])}"
    return tag(
        "li",
        tag("div", tag("h3", _dot(mood), one["name"]), tag("p", line, class_="quiet"), class_="what"),
        tag("div", _running(run) if run else _rested(past, now), class_="did"),
        tag("div", tag("span", state) if state else _next(one, now), class_="next"),
        _buttons(one) if controls else None,
        class_="task",
    )


def _running(run: Data) -> Html:
    done = sum(run[key] for key in ("copied", "current", "failed", "cancelled"))
    text = f"{done:,} of {amount(run['found'], 'image')}"
    sent = f", {size(run['bytes_written'])} sent" if run["bytes_written"] else ""
    bar = tag("progress", max=max(run["found"], 1), value=done, aria_label="images that are done")
    return join(
        bar, tag("p", text, sent, tag("b", f", {run['failed']:,} failed", class_="bad") if run["failed"] else None)
    )


def _rested(past: Data | None, now: str) -> Html:
    if past is None:
        return tag("p", "has not run yet", class_="quiet")
    cut = ", cut short" if past["interrupted"] else ""
    return join(
        tag("p", counted(past), tag("span", cut, class_="odd") if cut else None),
        tag("p", clock(past["finished"], now), f", in {duration(past['seconds'])}", class_="quiet"),
    )


def _next(one: Data, now: str) -> Html | None:
    return clock(one["next_run"], now) if one["next_run"] else None


def _buttons(one: Data) -> Html:
    def button(verb: str, text: str) -> Html:
        name = f"{text} {one['name']}"
        return tag("button", text, form="desk", formaction=verb, name="task", value=one["name"], aria_label=name)

    has_times = one["schedule"]["kind"] != "once"
    rest = button("resume", "Resume") if one["paused"] else button("pause", "Pause")
    return tag("div", button("run", "Run now"), rest if has_times else None, class_="do")


def _desk() -> Html:
    """The form that all buttons belong to; its first button is off, so that the enter key presses none."""
    field = tag("input", id="token", name="token", type="password", autocomplete="current-password", required=True)
    return tag(
        "form",
        tag("button", disabled=True, hidden=True),
        tag("input", name="username", value="dregsy", autocomplete="username", hidden=True),
        tag("label", "Token", for_="token"),
        field,
        tag("output", "to run and pause tasks", id="said", for_="token"),
        id="desk",
        method="post",
    )


def _flights(copies: list[Data]) -> list[Html]:
    rows = [_flight(one) for one in copies[:_FLIGHTS]]
    return [*rows, *_more(len(copies) - _FLIGHTS)]


def _flight(one: Data) -> Html:
    known = one["bytes_expected"] or None
    value = min(one["bytes_written"], known) if known else None
    bar = tag("progress", max=known, value=value, aria_label=f"bytes of {one['source']}")
    to = one["targets"][0] if len(one["targets"]) == 1 else amount(len(one["targets"]), "target")
    moved = bytes_of(one["bytes_written"] or one["bytes_read"], known)
    return tag(
        "li",
        tag("div", tag("p", one["source"], class_="name"), tag("p", "→ ", to, class_="quiet name"), class_="what"),
        tag("div", bar, tag("p", moved, class_="quiet"), class_="did"),
        tag("div", duration(one["seconds"]), class_="next"),
    )


def _failures(status: Data) -> list[Html]:
    rows = [_failure(one, status["now"]) for one in status["failures"][:_FAILURES]]
    return [*rows, *_more(len(status["failures"]) - _FAILURES)]


def _more(count: int) -> list[Html]:
    return [tag("li", f"and {count:,} more", class_="quiet")] if count > 0 else []


def _failure(one: Data, now: str) -> Html:
    arrow = f" → {one['target']}" if one["target"] else ""
    hint = tag("p", one["hint"], class_="quiet") if one["hint"] else None
    place = " · ".join(filter(None, (one["task"], one["where"])))
    return tag(
        "li",
        tag("div", tag("p", _image(one["target"] or one["source"], one["source"]), arrow, class_="name")),
        tag("p", one["message"], class_="bad"),
        hint,
        tag("p", clock(one["at"], now), f" · {place}", class_="quiet"),
    )


def _image(image: str, text: str) -> Html:
    return tag("a", text, href=f"history?{urlencode({'image': image})}")


def _entry(one: Data, now: str) -> Html:
    """An entry of the history, in short: its image leads to the whole story."""
    what = f"failed: {one['kind']}" if one["status"] == "failed" else _copied(one)
    told = tag("p", what, class_="bad" if one["status"] == "failed" else None)
    return _row(one, now, _image(one["image"], one["image"]), join(told, _digest(one, brief)))


def _chapter(one: Data, now: str) -> Html:
    """An entry of the history with all that is known."""
    if one["status"] == "failed":
        told = join(tag("p", one["message"], class_="bad"), tag("p", one["hint"]) if one["hint"] else None)
    else:
        told = tag("p", _copied(one))
    return _row(one, now, one["image"], join(told, _digest(one, str)))


def _row(one: Data, now: str, name: str, told: Html) -> Html:
    source = tag("p", "from ", one["source"], class_="quiet name") if one["source"] != one["image"] else None
    mood = "bad" if one["status"] == "failed" else "good"
    return tag(
        "li",
        tag("div", tag("p", _dot(mood), name, class_="name"), source, class_="what"),
        tag("div", told, class_="did quiet"),
        tag("div", clock(one["at"], now), class_="next"),
    )


def _copied(one: Data) -> str:
    sent = f"{size(one['bytes'])} sent" if one["bytes"] else ""
    return ", ".join(filter(None, (_REASONS.get(one["reason"], ""), sent, f"in {duration(one['seconds'])}")))


def _digest(one: Data, write: Callable[[str], str]) -> Html | None:
    return tag("p", write(one["digest"]), class_="digest") if one["digest"] else None


def _limit(one: Data, now: str) -> Html:
    low = one["remaining"] * 10 <= one["most"]
    meter = tag(
        "progress",
        max=max(one["most"], 1),
        value=min(one["remaining"], one["most"]),
        class_="low" if low else None,
        aria_label=f"requests left at {one['host']}",
    )
    left = f"{one['remaining']:,} of {one['most']:,} left"
    return tag(
        "li",
        tag("div", tag("p", one["host"], class_="name"), class_="what"),
        tag("div", meter, tag("p", left, class_="bad" if low else "quiet"), class_="did"),
        tag("div", clock(one["at"], now), class_="next"),
    )


def _notice(one: Data, now: str) -> Html:
    task = tag("b", f"{one['task']}: ") if one["task"] else None
    return tag(
        "li", tag("div", task, one["message"], class_="what wide"), tag("div", clock(one["at"], now), class_="next")
    )


def _footer(version: str, *, controls: bool) -> Html:
    again = join(
        tag("a", "Load again", href="./"), None if controls else tag("noscript", f", as every {RELOAD} seconds")
    )
    pages = (tag("a", one, href=one) for one in ("metrics", "healthz", "api/v1/status", "api/v1/openapi.json"))
    return tag("footer", again, f" · dregsy {version}", (join(" · ", one) for one in pages))
