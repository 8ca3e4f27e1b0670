import stat
from pathlib import Path

import pytest

from dregsy.errors import UsageError
from dregsy.scratch import scratch


def test_scratch_is_private_and_removed(tmp_path: Path) -> None:
    """The scratch folder is for this user alone, and gone afterwards with all that is in it."""
    for state in (None, str(tmp_path / "new" / "state")):
        with scratch(state) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "file").write_text("x")
            mode = stat.S_IMODE(folder.stat().st_mode)

        assert (mode, folder.exists()) == (0o700, False)


def test_scratch_of_the_dead_is_removed_and_that_of_the_living_kept(tmp_path: Path) -> None:
    """What a process left that died is removed by the next one; what a live one works with is not."""
    dead = tmp_path / "scratch-dead"
    dead.mkdir()
    (dead / "large").write_text("x")
    other = tmp_path / "journal"
    other.mkdir()

    with scratch(str(tmp_path)) as living, scratch(str(tmp_path)) as another:
        assert (dead.exists(), living.exists(), another.exists(), other.exists()) == (False, True, True, True)


def test_state_that_cannot_be_used(tmp_path: Path) -> None:
    """A state folder that is none is the user's mistake, and the message names it."""
    file = tmp_path / "file"
    file.write_text("")

    with pytest.raises(UsageError, match=str(file)), scratch(str(file)):
        pass
