"""What is said about a ``certs-dir`` that is not there."""

from io import StringIO
from pathlib import Path

import pytest

from dregsy.config.load import load
from dregsy.errors import Problem


def warned(section: str, value: object) -> tuple[Problem, ...]:
    """Load a file with a ``certs-dir`` and return the warnings about it; there is no error."""
    text = f"relay: {section}\n{section}:\n  certs-dir: '{value}'\n"
    return load("-", environ={}, stdin=StringIO(text)).warnings


@pytest.mark.parametrize("section", ["native", "skopeo"])
def test_a_missing_folder(tmp_path: Path, section: str) -> None:
    """It is a warning with the line, not an error: an optional mount may be missing, or come later."""
    (found,) = warned(section, tmp_path / "missing")

    assert (found.line, found.field, found.warning) == (3, f"{section}.certs-dir", True)
    assert found.message == "names a folder that does not exist"
    assert "relative" not in found.hint


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path begins where the program was started, and whoever gets that wrong is told."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()

    assert warned("native", "there") == ()
    assert "where dregsy is started" in warned("native", "elsewhere")[0].hint


def test_no_folder(tmp_path: Path) -> None:
    """A file, and what nobody can look into, are called that."""
    (tmp_path / "file").touch()

    assert [
        warned("native", tmp_path / "file")[0].message,
        warned("native", tmp_path / ("x" * 300))[0].message,
    ] == ["names a file, and no folder", "names a folder that cannot be looked into: File name too long"]


def test_nothing_was_asked_for() -> None:
    """The folders that are looked into by themselves need not be there."""
    default = "skopeo: {certs-dir: /etc/skopeo/certs.d}\n"
    texts = ("", "skopeo: {}\n", "native:\n  certs-dir:\n", "docker: {}\n", default)

    assert [load("-", environ={}, stdin=StringIO(text)).warnings for text in texts] == [()] * len(texts)
