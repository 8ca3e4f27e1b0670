import json
import stat
from pathlib import Path

import pytest

from dregsy.errors import DregsyError
from dregsy.model.endpoint import Secret
from dregsy.model.notify import Email, Occasion, Security, Slack, Subscription, Webhook
from dregsy.notify.memory import Memory, file_for
from dregsy.notify.news import News, Told
from tests.dregsy.reports.runs import copied, report

TOLD = Told("abc", 1.0, 2.5, "def", 3)
URL = "https://hooks.test/s3cret-token"
MANY = [
    Subscription(Slack(Secret(URL))),
    Subscription(Webhook(Secret(URL))),
    Subscription(Slack(Secret(f"{URL}/2"))),
    Subscription(Email("mail.test", 25, Security.NONE, "a@b.test", ("c@d.test",))),
    Subscription(Email("mail.test", 25, Security.NONE, "a@b.test", ("e@d.test",))),
    Subscription(Slack(Secret(URL)), frozenset({Occasion.RECOVERY})),
]


def test_each_subscription_and_task_has_its_own() -> None:
    """What was told to one channel, or on other occasions, was not told to another."""
    memory = Memory()
    for number, one in enumerate(MANY):
        memory.keep(one, "t", Told(str(number)))

    assert [memory.told(one, "t").failing for one in MANY] == list("012345")
    assert memory.told(MANY[0], "another") == Told()


def test_a_restart(tmp_path: Path) -> None:
    """Another process knows what the one before knew; the file is its owner's, and has no secret in it."""
    file = file_for(str(tmp_path / "state"), "sync.yaml")
    Memory(file).keep(MANY[0], "t", TOLD)

    assert Memory(file).told(MANY[0], "t") == TOLD
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "s3cret" not in file.read_text()
    assert "hooks" not in file.read_text()


def test_a_changed_password_is_no_other_channel() -> None:
    """Who changes the login of the mail server, or a webhook's signing secret, is not told everything anew."""
    memory = Memory()
    memory.keep(Subscription(Webhook(Secret(URL), Secret("old"))), "t", TOLD)

    assert memory.told(Subscription(Webhook(Secret(URL), Secret("new"))), "t") == TOLD


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "[1]", "null", "{}", '{"k": 1}', '{"k": {}}', "[" * 5000, '"\\ud800"'),
        json.dumps({"k": {"failing": 1, "since": 0, "failing_told": 0, "copying": "", "copying_told": 0}}),
        *(
            json.dumps({"k": {"failing": "", "since": since, "failing_told": 0, "copying": "", "copying_told": 0}})
            for since in (1e18, -1, float("nan"), float("inf"), 10**400)
        ),
        json.dumps({"k": {"failing": "", "since": "x", "failing_told": 0, "copying": "", "copying_told": 0}}),
    ],
)
def test_a_file_that_makes_no_sense(tmp_path: Path, text: str) -> None:
    """It counts as none, and is replaced."""
    file = tmp_path / "told"
    file.write_text(text)

    Memory(file).keep(MANY[0], "t", TOLD)

    assert Memory(file).told(MANY[0], "t") == TOLD
    assert list(json.loads(file.read_text())) != ["k"]
    assert len(json.loads(file.read_text())) == 1


def test_what_is_owed() -> None:
    """It is known until it is told, for each channel and task."""
    memory = Memory()
    news = News.of(report(copied("1")))

    memory.owe(MANY[0], "t", news)
    assert [memory.owed(MANY[0], "t"), memory.owed(MANY[1], "t"), memory.owed(MANY[0], "u")] == [news, None, None]
    memory.owe(MANY[0], "t", None)
    assert memory.owed(MANY[0], "t") is None


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """It is told, and what was to be written is known nevertheless."""
    (tmp_path / "state").write_text("a file")
    memory = Memory(file_for(str(tmp_path / "state"), "x"))

    with pytest.raises(DregsyError, match="cannot be made"):
        memory.keep(MANY[0], "t", TOLD)
    assert memory.told(MANY[0], "t") == TOLD


def test_files() -> None:
    """Runs of other files, or of other tasks of one, do not meet in the folder that they share."""
    names = {file_for("/s", *identity).name for identity in (("a", ""), ("b", ""), ("a", "x"), ("ax", ""))}

    assert len(names) == 4
    assert all(name.startswith(".dregsy-notified-") for name in names)
