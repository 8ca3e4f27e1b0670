import json
from email import message_from_bytes, policy

import pytest

from dregsy.model.digest import Digest
from dregsy.model.endpoint import Secret
from dregsy.model.notify import Email, Occasion, Security
from dregsy.model.report import Outcome
from dregsy.notify import texts
from dregsy.notify.news import MOST, Message, News
from tests.dregsy.reports.runs import DIGEST, NASTY, copied, failed, report, task

CHANNEL = Email("mail.test", 25, Security.NONE, "a@b.test", ("c@d.test", "e@d.test"), "bot", Secret("s3cret"))


def message(occasion: Occasion, *outcomes: Outcome, name: str = "nightly", repeated: bool = False) -> Message:
    """Return a message about a run, an hour after it began to fail."""
    return Message(occasion, News.of(report(*outcomes, of=task(name))), 4600.0, repeated, 1000.0)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (message(Occasion.FAILURE, failed("1")), "task 'nightly' failed for 1 image"),
        (
            message(Occasion.FAILURE, failed("1"), failed("2"), repeated=True),
            "task 'nightly' failed for 2 images, as told before after 1 h 0 min",
        ),
        (message(Occasion.RECOVERY), "task 'nightly' is well again after 1 h 0 min"),
        (message(Occasion.CHANGE, copied("1")), "task 'nightly' copied 1 image"),
        (message(Occasion.CHANGE, copied("1"), name="a\r\nBcc: x@y"), "task 'a  Bcc: x@y' copied 1 image"),
    ],
)
def test_headlines(of: Message, expected: str) -> None:
    """One line says what happened."""
    assert texts.headline(of) == expected


def test_payload() -> None:
    """Webhooks get everything as data, with an id of its own for each message."""
    one = message(Occasion.FAILURE, failed("1", NASTY), copied("2"))

    data = json.loads(texts.payload(one))

    assert {key: data[key] for key in ("occasion", "repeated", "task", "failed", "copied", "interrupted", "at")} == {
        "occasion": "failure",
        "repeated": False,
        "task": "nightly",
        "failed": 1,
        "copied": 1,
        "interrupted": False,
        "at": "1970-01-01T01:16:40Z",
    }
    assert (data["failures"][0]["error"], data["copies"][0]["digest"]) == (NASTY, str(DIGEST))
    assert data["id"] != json.loads(texts.payload(one))["id"]


def test_payload_of_many() -> None:
    """It has an end, and says what was left out."""
    many = message(Occasion.FAILURE, *(failed(str(number)) for number in range(MOST + 7)))

    data = json.loads(texts.payload(many))

    assert (len(data["failures"]), data["failures_left_out"], data["copies_left_out"]) == (MOST, 7, 0)


def test_slack() -> None:
    """What registries say stands in a block, where nothing is markup, a mention or the end of the block."""
    text = json.loads(texts.slack(message(Occasion.FAILURE, failed("1", f"{NASTY} ``` @all"))))["text"]

    headline, fence, *lines, end = text.split("\n")
    assert (headline, fence, end) == ("task 'nightly' failed for 1 image", "```", "```")
    assert len(lines) == 1
    assert lines[0].startswith("failed: a.test/app:1 -&gt; b.test/app:1: a|b &lt;img src=x&gt;")
    assert not {"<", ">", "`"} & set(lines[0])


def test_slack_of_many() -> None:
    """People read twenty."""
    many = message(Occasion.CHANGE, *(copied(str(number)) for number in range(33)))

    lines = json.loads(texts.slack(many))["text"].split("\n")

    assert lines[-2] == "… and 13 more copied"
    assert len(lines) == 24


def test_mail() -> None:
    """A mail says it in its subject, and who it is from; it is no occasion for holiday replies."""
    made = texts.mail(message(Occasion.FAILURE, failed("1", NASTY), name="größer\r\nBcc: x@y.test"), CHANNEL)

    parsed = message_from_bytes(made.as_bytes(policy=policy.SMTP), policy=policy.default)
    assert (parsed["Subject"], parsed["From"], parsed["To"], parsed["Bcc"]) == (
        *("dregsy: task 'größer  Bcc: x@y.test' failed for 1 image", "a@b.test", "c@d.test, e@d.test"),
        None,
    )
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert "a|b" in parsed.get_content()
    assert "\x1b" not in parsed.get_content()
    assert "s3cret" not in str(parsed)


def test_long_reasons() -> None:
    """A line about one image has an end."""
    (line,) = [
        one
        for one in texts.mail(message(Occasion.FAILURE, failed("1", "x" * 9999)), CHANNEL).get_content().splitlines()
        if "xxx" in one
    ]

    assert len(line) == 500
    assert Digest.of(b"image") == DIGEST
