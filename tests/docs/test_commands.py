"""Every command of the documentation runs, or stands on a short list of those that need what is not here.

A page's blocks run in order, in one folder with the files that the page shows, as its reader would do it. To add a
page, write it: what cannot run here goes onto ELSEWHERE with its reason, what does not end onto GOES_ON.
"""

import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from dregsy.cli import group, normalised
from tests.docs.pages import PAGES, ROOT, Block, environ_of, fenced, name
from tests.docs.stages import files, stage
from tests.testbed.aws import Moto
from tests.testbed.certificates import Authority

ELSEWHERE = {
    ("docs/docker.md", "docker buildx build"): "needs BuildKit and a registry; tests/image builds the image",
    ("docs/kubernetes.md", "kubectl apply -k"): "needs a cluster; tests/deploy checks these manifests",
    ("docs/plan.md", "dregsy plan"): "tests/e2e/test_plan.py runs the page's example",
    ("docs/recipes/kubernetes.md", "kubectl create secret"): "needs a cluster",
    ("docs/recipes/kubernetes.md", "kubectl logs"): "needs a cluster",
    ("docs/registries/azure.md", "az acr token create"): "needs an account at Azure",
    ("docs/registries/azure.md", "TOKEN=$(az acr login"): "needs an account at Azure",
    ("docs/registries/ecr.md", "kubectl annotate"): "needs a cluster",
    ("docs/registries/google.md", "pip install"): "would change the environment that runs this test",
    ("docs/registries/google.md", "gcloud iam service-accounts create"): "needs an account at Google",
    ("docs/registries/google.md", "printf '_json_key"): "needs the key that an account at Google gives",
    ("docs/registries/google.md", "gcloud iam service-accounts add-iam"): "needs an account at Google",
    ("docs/reports.md", "dregsy -config sync.yaml --report"): "tests/e2e/test_reports.py runs each, with what can fail",
    ("docs/status-page.md", "curl -s"): "needs a dregsy that goes on; tests/e2e/test_status_page.py runs these",
    ("docs/writing-a-relay.md", "make setup"): "tests/e2e/test_guest_relay.py does it",
    (
        "certs.d-example/README.md",
        "CERTS=",
    ): "writes to /etc; tests/e2e/test_certs_example.py does it, where that is private",
    ("certs.d-example/README.md", "openssl s_client"): "the recipe for certificates runs the same",
}
"""Page and begin of each block that is not run, with the reason."""
GOES_ON = {("docs/quickstart.md", "dregsy -config sync.yaml", 2)}
"""Page, first line, and which of the page's blocks with that first line it is: these go on until they are ended."""
COMMANDS = [page for page in PAGES if fenced(page, "sh")]


def reason(page: Path, block: Block) -> str:
    """Return why a block is not run here, nothing when it is."""
    found = [why for (where, begin), why in ELSEWHERE.items() if where == name(page) and block.first.startswith(begin)]
    return found[0] if found else ""


def exported(page: Path) -> set[str]:
    """Return the variables that a page's commands set: who needs one before that finds it missing."""
    return set(re.findall(r"(?m)^export (\w+)=", "".join(block.text for block in fenced(page, "sh"))))


@pytest.mark.parametrize("page", COMMANDS, ids=name)
async def test_commands(page: Path, tmp_path: Path, moto: Moto, authority: Authority) -> None:
    """Each block of the page ends with 0, one after the other."""
    shown = sorted([*files(page), *fenced(page, "sh")], key=lambda block: block.line)
    counts: dict[str, int] = {}
    async with stage(name(page), tmp_path / "stage", moto, authority) as here:
        needed = environ_of("".join(block.text for block in files(page) or files(ROOT / "README.md")))
        here.environ |= {key: value for key, value in needed.items() if key not in exported(page)}
        if not files(page):  # a page about what comes after a run
            here.write(files(ROOT / "README.md")[0])
            assert (await asyncio.to_thread(here.run, Block("sh", "dregsy -config sync.yaml", 0, ""))).returncode == 0
        last: Block | None = None
        try:
            for block in shown:
                if block.kind == "yaml":
                    here.write(last := block)
                    continue
                counts[block.first] = counts.get(block.first, 0) + 1
                if (name(page), block.first, counts[block.first]) in GOES_ON:
                    assert last is not None
                    here.write(last, goes_on=True)
                    await asyncio.to_thread(here.begin, block)
                elif not reason(page, block):
                    done = await asyncio.to_thread(here.run, block)
                    assert done.returncode == 0, (
                        f"{name(page)}:{block.line}: this block ended with {done.returncode}. Mend it, or say in "
                        f"ELSEWHERE (tests/docs/test_commands.py) why it cannot be run.\n{done.stdout}{done.stderr}"
                    )
        finally:
            codes = await asyncio.to_thread(here.end)
    assert codes == [0] * len(codes)


def test_the_lists_are_short_and_right() -> None:
    """Each entry is for a block that there is, and says why."""
    known = [(name(page), block.first) for page in COMMANDS for block in fenced(page, "sh")]
    unused = [
        entry
        for entry in ELSEWHERE
        if not any(entry[0] == page and first.startswith(entry[1]) for page, first in known)
    ]

    assert unused == []
    assert all(ELSEWHERE.values())
    assert [entry for entry in GOES_ON if known.count(entry[:2]) < entry[2]] == []


def calls() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield all calls of dregsy in the documentation, those in containers and pods among them."""
    for page in COMMANDS:
        for block in fenced(page, "sh"):
            for words in simple(block.text):
                while words and re.match(r"\w+=", words[0]):
                    words.pop(0)
                places = [at for at, word in enumerate(words) if word in {"dregsy", ".venv/bin/dregsy"}]
                if places and (places[0] == 0 or words[:2] in (["docker", "run"], ["kubectl", "exec"])):
                    yield f"{name(page)}:{block.line}", tuple(words[places[-1] + 1 :])


def simple(text: str) -> Iterator[list[str]]:
    """Yield the words of each simple command of a script."""
    lines = [re.sub(r"(^|\s)#.*", "", line) for line in text.replace("\\\n", " ").splitlines()]
    lexer = shlex.shlex("\n;".join(lines), posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("();<>|&"):
            yield words
            words = []
        else:
            words.append(word)
    yield words


@pytest.mark.parametrize(("where", "words"), [*calls()])
def test_options(where: str, words: tuple[str, ...]) -> None:
    """Dregsy's own parser takes each call, also of those that are not run."""
    assert where
    if not words or words == ("--version",):
        return  # the image's name, or what click answers by itself
    given = normalised(words)
    command = next((word for word in given if word in group.commands), "run")
    rest = [word for word in given if word != command]
    if "--help" not in rest:
        group.commands[command].make_context(command, rest)
