import pytest

from dregsy.model.endpoint import Secret
from dregsy.model.notify import Occasion, Slack, Subscription
from dregsy.model.report import Outcome
from dregsy.notify.news import MOST, Message, News, Told, weighed
from tests.dregsy.reports.runs import cancelled, copied, current, failed, report

DAY = 86400.0
ALL = Subscription(Slack(Secret("https://hooks.test")), frozenset(Occasion), DAY)
USUAL = Subscription(Slack(Secret("https://hooks.test")))
BAD, OTHER = failed("1"), failed("2")


def news(*outcomes: Outcome, interrupted: bool = False) -> News:
    """Return the news of a run."""
    return News.of(report(*outcomes, interrupted=interrupted))


def story(subscription: Subscription, *runs: tuple[float, News]) -> list[tuple[str, bool] | None]:
    """Return what is told of runs, one after the other: on which occasion, and whether again."""
    told = Told()
    messages: list[Message | None] = []
    for now, one in runs:
        message, told = weighed(one, told, subscription, now)
        messages.append(message)
    return [None if one is None else (str(one.occasion), one.repeated) for one in messages]


def test_failure_and_recovery() -> None:
    """Of a failure is told once, and once of its end; what goes well is not worth a word."""
    runs = [news(current("1")), news(BAD), news(BAD), news(current("1")), news(current("1"))]

    assert story(USUAL, *enumerate(runs)) == [None, ("failure", False), None, ("recovery", False), None]


def test_other_failures() -> None:
    """Other images that fail, or for another reason, are told; other words for the same are not."""
    runs = [news(BAD), news(BAD, OTHER), news(OTHER), news(failed("2", "else")), news(failed("2", kind="image"))]

    assert story(USUAL, *enumerate(runs)) == [("failure", False)] * 3 + [None, ("failure", False)]


def test_order_is_no_difference() -> None:
    """The same failures in another order are the same."""
    assert story(USUAL, (0, news(BAD, OTHER)), (1, news(OTHER, BAD))) == [("failure", False), None]


def test_repeat() -> None:
    """What goes on for long is told again, and then again."""
    runs = [(0.0, news(BAD)), (DAY - 1, news(BAD)), (DAY, news(BAD)), (DAY + 1, news(BAD)), (2 * DAY, news(BAD))]

    assert story(USUAL, *runs) == [("failure", False), None, ("failure", True), None, ("failure", True)]


def test_since() -> None:
    """It is known since when a task fails, also where the failures changed."""
    told = Told()
    for now, one in ((10.0, news(BAD)), (20.0, news(OTHER))):
        _, told = weighed(one, told, USUAL, now)

    message, told = weighed(news(), told, USUAL, 30.0)

    assert message is not None
    assert (message.since, message.at, told.failing) == (10.0, 30.0, "")


def test_cut_short() -> None:
    """A run that was cut short makes nothing well again, and no other failure of one that is known."""
    runs = [news(BAD), news(interrupted=True), news(OTHER, interrupted=True), news(BAD), news()]

    assert story(USUAL, *enumerate(runs)) == [("failure", False), None, None, None, ("recovery", False)]
    assert story(USUAL, (0, news(BAD, interrupted=True))) == [("failure", False)]
    assert story(USUAL, (0, news(BAD)), (1, news(cancelled("1")))) == [("failure", False), None]


def test_change() -> None:
    """What was copied is told to who asks for that; the same copy again, as the docker relay makes it, is not."""
    runs = [
        (0.0, news(copied("1"))),
        (1.0, news(copied("1"))),
        (2.0, news()),
        (3.0, news(copied("2"))),
        (4.0, news(BAD)),
    ]

    assert story(ALL, *runs) == [("change", False), None, None, ("change", False), ("failure", False)]
    assert story(USUAL, *runs) == [None, None, None, None, ("failure", False)]


def test_one_message_for_a_run() -> None:
    """A run that failed for some and copied others makes one message, which tells of both."""
    assert story(ALL, (0, news(BAD, copied("2"))), (1, news(BAD, copied("2")))) == [("failure", False), None]


@pytest.mark.parametrize("occasion", list(Occasion))
def test_only_what_was_asked_for(occasion: Occasion) -> None:
    """Each occasion can be had alone."""
    subscription = Subscription(USUAL.channel, frozenset({occasion}))

    said = story(subscription, (0, news(BAD)), (1, news()), (2, news(copied("1"))))

    assert [one[0] for one in said if one] == [occasion]


def test_a_message_has_an_end() -> None:
    """Of many images some are named, and all are counted."""
    many = news(*(failed(str(number)) for number in range(MOST + 5)))

    assert (len(many.failures), many.counts["failed"]) == (MOST, MOST + 5)
