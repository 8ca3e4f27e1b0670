"""docs/troubleshooting.md: each message on it is one that the program has, and what registries cause is all there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.testbed.command import Dregsy, mirror
from tests.testbed.servers import DockerRegistry

PAGE = ROOT / "docs/troubleshooting.md"
ANY = "…"
"""What stands on the page for what differs, and in a message's template for what is put in."""


def quoted() -> list[str]:
    """Return the messages on the page."""
    return re.findall(r"(?m)^### `(.+)`$", PAGE.read_text(encoding="utf-8"))


def templates(path: Path) -> Iterator[str]:
    """Yield all texts of a source file, with a sign for what is put in when the program runs."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(one.value) if isinstance(one, ast.Constant) else ANY for one in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


SOURCES = [path for package in ("dregsy", "relays") for path in sorted((ROOT / package).rglob("*.py"))]
KNOWN = {text for path in SOURCES for text in templates(path)}


@pytest.mark.parametrize("message", quoted())
def test_the_program_has_the_message(message: str) -> None:
    """Every message on the page is a text of the program, or a part of one."""
    assert [text for text in KNOWN if message in text] != []


def test_no_message_is_told_twice() -> None:
    """Who searches finds one place."""
    assert len(quoted()) == len(set(quoted()))


def test_advice_of_other_tools_is_all_there() -> None:
    """Whatever is advised when skopeo or docker complain is on the page."""
    tree = ast.parse((ROOT / "dregsy/registry/complaints.py").read_text(encoding="utf-8"))
    given = [node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "hint"]
    hints = {str(one.value) for one in given if isinstance(one, ast.Constant) and one.value}

    assert len(hints) > 5
    assert hints - set(quoted()) == set()


def test_answers_of_registries_are_all_there() -> None:
    """What a registry's refusal makes dregsy advise is on the page, each piece of advice."""
    told = PAGE.read_text(encoding="utf-8")
    texts = {*templates(ROOT / "dregsy/registry/answers.py")}
    advice = [
        text for text in texts if len(text) > 30 and not text[:1].isspace() and "\n" not in text and ANY not in text
    ]
    advice = [text for text in advice if not text.endswith(".")]  # a docstring

    assert len(advice) > 5
    assert [one for one in advice if one not in told] == []


NOWHERE = "127.0.0.1:1"
"""An address of this machine where nobody listens: no program is given this port."""
PROVOKED = {
    "no config file is given": [],
    "is not valid YAML: …": "tasks: [",
    "unknown key …": "task: []",
    "the environment variable … is not set": "relay: ${NOBODY_SETS_THIS}",
    "invalid relay type: …": "relay: skopo",
    "registry has a scheme": mirror("https://a.example.com", "b.example.com", {"from": "a"}),
    "DockerHub only supports list types 'dockerhub' and 'index'": mirror(
        "registry.hub.docker.com", "b.example.com", {"from": "regex:a"}
    ),
    "minimum task interval is … seconds": mirror("a.example.com", "b.example.com", {"from": "a"}, interval=5),
    "names a folder that does not exist": "native: {certs-dir: /nonexistent}",
    "the name … does not resolve": mirror("a.invalid", "b.invalid", {"from": "a", "tags": ["1"]}),
    "cannot connect to …": mirror(NOWHERE, "b.invalid", {"from": "a", "tags": ["1"]}),
    "cannot run …: …": {
        "relay": "skopeo", "skopeo": {"binary": "/nonexistent/skopeo"},
        **mirror("a.invalid", "b.invalid", {"from": "a"}),
    },
    "relay '…' does not support mappings with …": {
        "relay": "docker", **mirror("a.example.com", "b.example.com", {"from": "a", "platform": "all"}),
    },
}  # fmt: skip
"""Messages, and what causes them: no file at all, a file's text, or its content."""


@pytest.mark.parametrize("message", PROVOKED)
def test_the_command_says_it(tmp_path: Path, message: str) -> None:
    """What the page promises to be said in such a case is said."""
    dregsy, cause = Dregsy(tmp_path), PROVOKED[message]
    if isinstance(cause, dict):
        cause = dregsy.config({"retries": 0, **cause})
    elif isinstance(cause, str):
        cause = dregsy.write(cause)
    done = dregsy.run(*(["--strict", "-config", cause] if cause else ["--strict"]))

    assert message in quoted()
    assert all(part in done.said for part in message.split(ANY)), done.said


def test_an_image_that_is_not_there(tmp_path: Path, registry_a: DockerRegistry, repo: str) -> None:
    """A tag that nobody has is told with its name."""
    dregsy = Dregsy(tmp_path)
    done = dregsy.run(
        "-config", dregsy.config(mirror(registry_a.host, registry_a.host, {"from": repo, "tags": ["v1"]}))
    )

    assert done.code == 1
    assert f"there is no image {registry_a.host}/{repo}:v1" in done.said
