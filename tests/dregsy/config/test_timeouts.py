import pytest
from pydantic import ValidationError

from dregsy.config.timeouts import TimeoutsSection
from dregsy.model.timeouts import Timeouts


def test_nothing_said() -> None:
    """What is left out is as docs/reliability.md tells."""
    assert TimeoutsSection.model_validate({}).timeouts() == Timeouts()


@pytest.mark.parametrize("key", ["connect", "first-byte", "stalled", "upload-answer"])
@pytest.mark.parametrize("value", ["0s", "-5s", "9ms", "25h", "7", "soon", "", []])
def test_no_time_limits(key: str, value: object) -> None:
    """Nothing, a moment, more than a day, and numbers without a unit are refused for each key."""
    with pytest.raises(ValidationError):
        TimeoutsSection.model_validate({key: value})


def test_what_each_key_is_for() -> None:
    """Each key sets what it is named for; the time to connect is also that for a registry's first answer."""
    keys = {"connect": "1s", "first-byte": "2s", "stalled": "3s", "upload-answer": "4s"}
    made = TimeoutsSection.model_validate(keys).timeouts()

    assert made == Timeouts(connect=1, greeting=1, first=2, read=3, stall=3, commit=4)
