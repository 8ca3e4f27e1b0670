"""The example of docs/writing-a-relay.md: it is what the page says, can be installed, and keeps the contract."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testbed.command import SECONDS, Dregsy

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/guest-relay"
PAGE = ROOT / "docs/writing-a-relay.md"
SUITE_SECONDS = 600
"""The longest that the whole suite may take."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the example into a folder of its own, without asking any index."""
    origin, site = tmp_path_factory.mktemp("origin") / "guest-relay", tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE, origin)
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(site), str(origin)],
        check=True,
        capture_output=True,
        timeout=SECONDS,
    )
    return site


@pytest.mark.parametrize(("language", "name"), [("python", "dregsy_courier.py"), ("toml", "pyproject.toml")])
def test_the_page_shows_the_whole_example(language: str, name: str) -> None:
    """The blocks of the page, one after the other, are the file, line by line."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)

    shown = [line for block in blocks for line in block.splitlines() if line]
    assert [line for line in (EXAMPLE / name).read_text().splitlines() if line] == shown


def test_it_is_found(site: Path, tmp_path: Path) -> None:
    """Once installed, the relay is listed with its package, and its section of the config is checked."""
    dregsy = Dregsy(tmp_path, {"PYTHONPATH": str(site)})
    good, bad = ({"relay": "courier", "courier": {"at-once": number}} for number in (2, 0))
    listed = dregsy.run("relays", "-config", dregsy.config(good), "--format=json")
    refused = dregsy.run("check", "-config", dregsy.config(bad))

    (courier,) = (one for one in json.loads(listed.out) if one["name"] == "courier")
    assert (courier["package"], courier["version"]) == ("dregsy-courier", "1.0")
    assert (courier["works"], courier["chosen"]) == (True, True)
    assert (refused.code, "courier.at-once" in refused.err) == (1, True)


def test_it_keeps_the_contract(site: Path, tmp_path: Path) -> None:
    """The suite of the house's relays passes, run in the way that the page tells authors."""
    command = [line for line in PAGE.read_text().splitlines() if "tests/relays/contract.py" in line]
    arguments = ["-m", "pytest", "tests/relays/contract.py", "--relay", "courier", "--relay-settings", '{"at-once": 2}']
    assert [".venv/bin/python " + " ".join(arguments[:-1]) + f" '{arguments[-1]}'"] == command
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(site)}

    done = subprocess.run(
        [sys.executable, *arguments, f"--basetemp={tmp_path / 'contract'}"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=SUITE_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"(\d+) passed", done.stdout)
    assert "skipped" not in done.stdout
