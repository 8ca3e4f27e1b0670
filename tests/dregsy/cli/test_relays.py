import json
import sys
from pathlib import Path
from typing import Any

import pytest

from dregsy.cli import main
from dregsy.cli.relays import Installed, described, table

GUESTS = """
import asyncio
from pydantic import BaseModel
from dregsy.relay import Feature

class Fine:
    class Settings(BaseModel): pass
    features = frozenset({Feature.ONE_PLATFORM})
    def __init__(self, settings, toolbox): pass
    async def __aenter__(self): return self
    async def __aexit__(self, *_): pass

class Wanting(Fine):
    class Settings(BaseModel):
        where: str

class Starts(Fine):
    async def __aenter__(self): raise KeyError("a\\nb")

class Ends(Fine):
    async def __aexit__(self, *_): raise ZeroDivisionError

class Makes(Fine):
    def __init__(self, settings): pass

class Mute(Fine):
    features = None

class Bare: pass
"""
NAMES = ("Fine", "Wanting", "Starts", "Ends", "Makes", "Mute", "Bare", "Absent")


@pytest.fixture(autouse=True)
def guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package of somebody else's with relays that do all that can go wrong; no docker daemon is there."""
    about = tmp_path / "guests-2.5.dist-info"
    about.mkdir()
    (tmp_path / "guests.py").write_text(GUESTS)
    (tmp_path / "explodes.py").write_text("1 / 0\n")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: guests\nVersion: 2.5\n")
    points = [f"{name.lower()} = guests:{name}" for name in NAMES] + ["explodes = explodes:Relay"]
    (about / "entry_points.txt").write_text("\n".join(["[dregsy.relays.v1]", *points, ""]))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "guests", raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.chdir(tmp_path)


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    """Return what the command tells of each relay."""
    assert main(["relays", "--format", "json", *arguments]) == 0
    written = capsys.readouterr()
    assert "Traceback" not in written.err
    return {one["name"]: one for one in json.loads(written.out)}


def test_every_relay_is_tried(capsys: pytest.CaptureFixture[str]) -> None:
    """Relays are listed with package and features; those that do not work say why, and what to do."""
    found = listed(capsys)

    assert {name for name, one in found.items() if one["works"]} == {"native", "skopeo", "fine"}
    assert found["fine"] == {
        "name": "fine",
        "package": "guests",
        "version": "2.5",
        "chosen": False,
        "features": ["one-platform"],
        "works": True,
        "why": "",
        "hint": "",
    }
    assert "no answer from the daemon" in found["docker"]["why"]
    assert found["docker"]["hint"] != ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("starts", "KeyError: 'a\\nb'"),
        ("ends", "ZeroDivisionError"),
        ("makes", "TypeError"),
        ("mute", "TypeError"),
        ("bare", "AttributeError"),
        ("explodes", "ZeroDivisionError"),
        ("absent", "cannot be loaded"),
        ("wanting", "settings without a default: where"),
    ],
)
def test_a_broken_guest_is_told(name: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a guest does wrong is its reason for not working, and stops nothing."""
    one = listed(capsys)[name]

    assert not one["works"]
    assert why in one["why"]


def test_settings_come_from_the_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a config each relay is tried with its own section, also those that the config does not choose."""
    file = tmp_path / "c.yaml"
    file.write_text("relay: wanting\nwanting: {where: here}\nskopeo: {binary: /none}\n")

    found = listed(capsys, "-config", str(file))

    assert [name for name, one in found.items() if one["chosen"]] == ["wanting"]
    assert found["wanting"]["works"]
    assert "/none" in found["skopeo"]["why"]


def test_a_wrong_config_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A config that cannot be read is a mistake of its own."""
    assert main(["relays", "-config", str(tmp_path / "none.yaml")]) == 1
    assert "none.yaml" in capsys.readouterr().err


def test_a_line_for_each_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Elsewhere than on a terminal each relay has one line, whatever its error holds."""
    assert main(["relays"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split(" ")[0] for line in lines) == sorted(
        ["docker", "explodes", "native", "skopeo", *(name.lower() for name in NAMES)]
    )
    assert "fine (guests 2.5): works; features: one-platform" in lines


def test_the_table() -> None:
    """On a terminal columns stand below each other, and the reason below what does not work."""
    good = Installed("native", "dregsy", "1.0", chosen=True, features=("all-platforms",), works=True)
    bad = Installed("x", "", "", why="broken\n", hint="mend it")

    assert table([good, bad]) == [
        "relay     package     works  features",
        "native *  dregsy 1.0  yes    all-platforms",
        "x                     no",
        "  broken  — mend it",
        "* chosen by the config",
    ]
    assert described(bad) == "x (an unknown package): does not work: broken  — mend it; features: none"
