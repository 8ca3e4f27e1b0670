import tempfile
from pathlib import Path

import pytest
import yaml

from dregsy.cli import demo, main
from dregsy.cli.demo import CONFIG


def test_demo_keeps_its_promises(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The demo ends by itself with 0, shows three syncs with their traffic, and leaves nothing behind.

    The file that it shows is one that works as it stands.
    """
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "home"))
    before = sorted((tmp_path / "home").iterdir())

    code = main(["demo"])

    shown = capsys.readouterr().out
    assert code == 0
    assert "NOT KEPT" not in shown
    assert shown.count("requests") == 6
    assert "6 images copied" in shown
    assert "6 images up to date" in shown
    assert "1 image copied, 5 up to date" in shown
    assert shown.endswith("All promises kept.\n")
    assert sorted((tmp_path / "home").iterdir()) == before
    text = shown[shown.index("relay: native") : shown.index("First sync")]
    expected = yaml.safe_load(CONFIG.format(source="s", target="t"))
    assert [task["name"] for task in yaml.safe_load(text)["tasks"]] == [task["name"] for task in expected["tasks"]]


def test_demo_tells_when_a_promise_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo checks itself: when the third sync finds nothing changed, it says so and ends with 1."""

    async def forget(_: object) -> None:
        pass

    monkeypatch.setattr(demo, "change", forget)

    code = main(["demo"])

    shown = capsys.readouterr().out
    assert code == 1
    assert "[NOT KEPT] 0 image copied, 6 up to date" in shown
