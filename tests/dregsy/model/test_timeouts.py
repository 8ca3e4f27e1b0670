from dataclasses import asdict

from dregsy.model.timeouts import Timeouts


def test_everything_has_an_end() -> None:
    """No limit is without one."""
    seconds = {name: value for name, value in asdict(Timeouts()).items() if name != "trickle"}

    assert {name: value for name, value in seconds.items() if not 0 < value <= 3600} == {}
