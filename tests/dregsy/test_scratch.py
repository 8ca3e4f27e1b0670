import os
import stat
import tempfile
from pathlib import Path

import pytest

from dregsy.errors import UsageError
from dregsy.scratch import NAME, scratch


def test_scratch_is_private_and_removed(tmp_path: Path) -> None:
    """The scratch folder is for this user alone, and gone afterwards with all that is in it."""
    for state in (None, str(tmp_path / "new" / "state")):
        with scratch(state) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "file").write_text("x")
            mode = stat.S_IMODE(folder.stat().st_mode)

        assert (mode, folder.exists()) == (0o700, False)


def test_scratch_of_the_dead_is_removed_and_that_of_the_living_kept(tmp_path: Path) -> None:
    """What a process left that died is removed by the next one; what a live one works with, or is not ours, stays."""
    dead = tmp_path / NAME / "dead"
    dead.mkdir(parents=True)
    (dead / "large").write_text("x")
    (tmp_path / NAME).chmod(0o700)
    others = [tmp_path / "journal", tmp_path / "scratch-notes"]
    for other in others:
        other.mkdir()

    with scratch(str(tmp_path)) as living, scratch(str(tmp_path)) as another:
        assert (dead.exists(), living.exists(), another.exists()) == (False, True, True)
    assert [other.exists() for other in others] == [True, True]


def test_what_a_killed_pod_left_on_its_volume(tmp_path: Path) -> None:
    """Kubernetes opens all of a volume to the pod's group: the next pod starts, and tidies up."""
    dead = tmp_path / NAME / "dead"
    dead.mkdir(parents=True)
    for path in (tmp_path, tmp_path / NAME, dead):
        path.chmod(0o2770)

    with scratch(str(tmp_path)) as folder:
        assert (dead.exists(), stat.S_IMODE(folder.parent.stat().st_mode) & 0o777) == (False, 0o700)


def test_without_state_the_dead_are_removed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the system's temporary folder the same holds, in a folder that is this user's alone."""
    place = tmp_path / "tmp"
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    dead = place / f"dregsy-{os.getuid()}" / "dead"
    dead.mkdir(parents=True)
    dead.parent.chmod(0o700)

    with scratch(None) as folder:
        assert (dead.exists(), folder.parent) == (False, dead.parent)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("moment", ["is_dir", "lstat", "iterdir"])
def test_another_leaves_while_one_enters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """The last one out takes the common folder with it; whoever was about to use it makes it anew."""
    base, look = tmp_path / NAME, getattr(Path, moment)
    base.mkdir(mode=0o700)
    left: list[Path] = []

    def leave(path: Path) -> object:
        if path == base and not left:
            base.rmdir()  # as another process does at its end
            left.append(base)
        return look(path)

    monkeypatch.setattr(Path, moment, leave)
    with scratch(str(tmp_path)) as folder:
        assert (left, folder.exists(), folder.parent) == ([base], True, base)
    assert not base.exists()


def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of that name that others may write to, or a link, is refused: it may be a trap."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trap = tmp_path / f"dregsy-{os.getuid()}"
    trap.mkdir()
    trap.chmod(0o777)
    with pytest.raises(UsageError, match="somebody else"), scratch(None):
        pass
    trap.rename(tmp_path / "elsewhere")
    trap.symlink_to(tmp_path)
    with pytest.raises(UsageError, match="TMPDIR"), scratch(None):
        pass


def test_state_that_cannot_be_used(tmp_path: Path) -> None:
    """A state folder that is none is the user's mistake, and the message names it."""
    file = tmp_path / "file"
    file.write_text("")

    with pytest.raises(UsageError, match=str(file)), scratch(str(file)):
        pass


def test_a_system_that_is_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no temporary folder can be written to, as in a container that is read-only, it is said what helps."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/self/none"])

    with pytest.raises(UsageError, match="there is no place for temporary files: No usable") as caught, scratch(None):
        pass
    assert "TMPDIR" in caught.value.hint
