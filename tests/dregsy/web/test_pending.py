from dataclasses import replace

from dregsy.model.plan import Copy
from dregsy.model.ref import Ref
from dregsy.model.report import Outcome, Status
from dregsy.web.pending import Pending
from tests.dregsy.web.events import DIGEST, copy


def ended(copy: Copy, to: int) -> Outcome:
    """How it ended for one target."""
    return Outcome(copy, copy.targets[to], Status.COPIED)


def test_an_image_is_counted_for_each_target() -> None:
    """What is found waits for each of its targets, is then on its way to those that lack it, and then neither."""
    pending, one, other = Pending(), copy("v1"), copy("v2")
    resolved = replace(one.only([1]), source=one.source.with_tag("v1", DIGEST))
    states = []

    pending.found(one)
    pending.found(other)
    states.append((pending.queued, pending.running))
    pending.finished(ended(one, 0))
    states.append((pending.queued, pending.running))
    pending.started(resolved)
    states.append((pending.queued, pending.running))
    pending.finished(ended(resolved, 0))
    states.append((pending.queued, pending.running))

    assert states == [(4, 0), (3, 0), (2, 1), (2, 0)]


def test_mappings_in_one_line() -> None:
    """One image that two of them bring to two places is counted for both."""
    pending, one = Pending(), copy("v1", targets=1)
    pending.found(one)
    pending.found(replace(one, targets=(Ref("b.test", "other", "v1"),)))
    pending.finished(ended(one, 0))

    assert (pending.queued, pending.running) == (1, 0)


def test_another_attempt_waits_again() -> None:
    """What failed and is to be tried again is neither over nor on its way."""
    pending, one = Pending(), copy("v1", targets=1)
    pending.found(one)
    pending.started(one)

    pending.put_back(ended(one, 0))

    assert (pending.queued, pending.running) == (1, 0)


def test_a_digest_whose_target_gets_a_tag() -> None:
    """Targets of digests may get their names only when they are compared: it is the same image all the same."""
    pending, one = Pending(), copy(None, targets=1)
    pending.found(one)
    named = replace(one, targets=tuple(target.with_tag("dregsy-0") for target in one.targets))
    pending.started(named)

    pending.finished(ended(named, 0))

    assert (pending.queued, pending.running) == (0, 0)


def test_what_was_never_found() -> None:
    """A mapping that could not be listed ends without having been found."""
    pending = Pending()

    pending.finished(Outcome(replace(copy("v1"), targets=(), to=()), None, Status.FAILED))

    assert (pending.queued, pending.running) == (0, 0)
