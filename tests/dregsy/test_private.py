import os
from pathlib import Path
from stat import S_IMODE

import pytest

from dregsy.private import own


def test_a_new_folder_is_private(tmp_path: Path) -> None:
    """It is made, with all above it, for this user alone; one that is there already stays as it is."""
    for _ in range(2):
        own(tmp_path / "state/journal")

    assert S_IMODE((tmp_path / "state/journal").stat().st_mode) == 0o700


def test_a_volume_of_kubernetes(tmp_path: Path) -> None:
    """What ``fsGroup`` opened to a group of ours is closed again, and used with what is in it."""
    folder = tmp_path / "journal"
    folder.mkdir()
    (folder / "facts").write_text("x")
    folder.chmod(0o2770)

    own(folder)

    assert S_IMODE(folder.stat().st_mode) & 0o777 == 0o700
    assert (folder / "facts").read_text() == "x"


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o1777])
def test_a_folder_that_anybody_may_write_to(tmp_path: Path, mode: int) -> None:
    """It is refused, and left as it is: others may have put there what they liked."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)

    with pytest.raises(PermissionError, match="somebody else"):
        own(folder)
    assert S_IMODE(folder.stat().st_mode) == mode


def test_a_group_that_is_not_ours(tmp_path: Path) -> None:
    """A folder that others' group may write to is refused."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    stranger = max({os.getegid(), *os.getgroups()}) + 1
    os.chown(folder, -1, stranger)
    folder.chmod(0o770)

    with pytest.raises(PermissionError, match="somebody else"):
        own(folder)


def test_what_is_no_folder_of_ours(tmp_path: Path) -> None:
    """A link is not followed, and a folder of another user is refused."""
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "theirs").mkdir(0o700)
    os.chown(tmp_path / "theirs", os.getuid() + 1, -1)

    for name in ("link", "theirs"):
        with pytest.raises(PermissionError, match="somebody else"):
            own(tmp_path / name)
