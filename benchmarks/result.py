"""What a workload comes to: what each tool needed, and which of our goals that meets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measure import Entry


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal with the figure that was measured for it; ``met`` is None where nothing could be measured."""

    text: str
    figure: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Result:
    """One table: a workload with its tools and goals; ``notes`` are sentences below it."""

    title: str
    entries: Sequence[Entry] = ()
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = ()


def at_most(text: str, value: float, limit: float, unit: str = "") -> Goal:
    """A goal that a figure stays at or under a limit; a figure that is no number was not measured."""
    return (
        unmeasured(text, "no run")
        if math.isnan(value)
        else Goal(text, f"{value:,.0f}{unit}" if value >= 100 else f"{value:.3g}{unit}", value <= limit)
    )


def unmeasured(text: str, why: str) -> Goal:
    """A goal for which there is no figure."""
    return Goal(text, why, None)


def fastest(entries: Sequence[Entry]) -> Entry | None:
    """The fastest of the other tools, none of which is called dregsy."""
    others = [entry for entry in entries if entry.runs and not entry.peer.startswith("dregsy")]
    return min(others, key=lambda entry: entry.seconds, default=None)


def against(text: str, ours: Entry, other: Entry | None, limit: float, figure: str = "seconds") -> Goal:
    """A goal that ours needs at most ``limit`` times what another tool needs of ``figure``."""
    if other is None or not (ours.runs and other.runs):
        return unmeasured(text, "no run to compare with")
    ratio = getattr(ours, figure) / getattr(other, figure)
    return Goal(text, f"{ratio:.2f}x {other.peer}", ratio <= limit)
