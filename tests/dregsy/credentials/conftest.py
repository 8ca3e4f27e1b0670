"""What the tests of logins share."""

from pathlib import Path

import pytest

from tests.testbed.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home folder."""
    return Home(tmp_path)
