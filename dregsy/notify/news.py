"""What there is to tell of a run, cut to what a message can hold, and whether it was told before."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

from dregsy.log import facts, totals
from dregsy.model.notify import Occasion, Subscription
from dregsy.model.report import Outcome, Report, Status
from dregsy.reports.data import image

MOST = 50
"""How many images a message names of those that failed, and of those that were copied."""


@dataclass(frozen=True, slots=True)
class News:
    """One run of a task; ``failing`` and ``copying`` are equal for runs in which the same images failed or were copied.

    They are empty where none did. ``number`` tells tasks apart that share a name: 0 is the first of them.
    """

    task: str
    counts: dict[str, Any]
    failures: tuple[dict[str, Any], ...]
    copies: tuple[dict[str, Any], ...]
    failing: str
    copying: str
    interrupted: bool
    number: int = 0

    @property
    def key(self) -> str:
        """What to remember the task by: its name, and which of several of that name it is."""
        return f"{self.task}\0{self.number}" if self.number else self.task

    def and_copies(self, before: "News") -> "News":
        """Return the same with what a run ``before`` copied, of which nobody has heard."""
        copied = str(Status.COPIED)
        return replace(
            self,
            counts={**self.counts, copied: self.counts[copied] + before.counts[copied]},
            copies=(*before.copies, *self.copies)[:MOST],
            copying=_digest(before.copying, self.copying),
        )

    @classmethod
    def of(cls, report: Report, number: int = 0) -> Self:
        """Take of a report what a message needs."""
        failed = report.failures
        copied = [one for one in report.outcomes if one.status is Status.COPIED]
        return cls(
            report.task.name,
            totals(report),
            tuple(image(one) for one in failed[:MOST]),
            tuple(image(one) for one in copied[:MOST]),
            _mark(failed, ("source", "target", "kind")),
            _mark(copied, ("source", "target", "digest")),
            report.interrupted or report.counts[Status.CANCELLED] > 0,
            number,
        )


def _mark(outcomes: Iterable[Outcome], keys: tuple[str, ...]) -> str:
    """Return a text that tells sets of outcomes apart; which words tell of a failure makes no difference."""
    marks = sorted({"\t".join(str(known.get(key)) for key in keys) for known in map(facts, outcomes)})
    return _digest(*marks) if marks else ""


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Told:
    """What a channel knows of a task: what failed ``since`` when, and what was copied; times are since the epoch."""

    failing: str = ""
    since: float = 0.0
    failing_told: float = 0.0
    copying: str = ""
    copying_told: float = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """Something to be told: ``repeated`` where the same was told before, ``since`` when the task had failed."""

    occasion: Occasion
    news: News
    at: float
    repeated: bool = False
    since: float = 0.0


def weighed(news: News, told: Told, subscription: Subscription, now: float) -> tuple[Message | None, Told]:
    """Say what to tell, if anything, and what is known once that has been told."""
    message, after = _of_failures(news, told, subscription, now)
    is_new = news.copying != told.copying or now - told.copying_told >= subscription.repeat
    if not news.copying or not (is_new or message):
        return message, after
    after = replace(after, copying=news.copying, copying_told=now)
    if message is None and Occasion.CHANGE in subscription.on:
        message = Message(Occasion.CHANGE, news, now)
    return message, after


def _of_failures(news: News, told: Told, subscription: Subscription, now: float) -> tuple[Message | None, Told]:
    """Weigh failures alone. A run that was cut short does not say that anything is well, or else than before."""
    if news.interrupted and (told.failing or not news.failing):
        return None, told
    if not news.failing:
        wanted = bool(told.failing) and Occasion.RECOVERY in subscription.on
        message = Message(Occasion.RECOVERY, news, now, since=told.since) if wanted else None
        return message, replace(told, failing="", since=0.0, failing_told=0.0)
    is_same = news.failing == told.failing
    if is_same and now - told.failing_told < subscription.repeat:
        return None, told
    since = told.since if told.failing else now
    after = replace(told, failing=news.failing, since=since, failing_told=now)
    wanted = Occasion.FAILURE in subscription.on
    return Message(Occasion.FAILURE, news, now, repeated=is_same, since=since) if wanted else None, after
