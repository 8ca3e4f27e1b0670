"""Live progress on a terminal: what is being copied now, and how far the task is."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dregsy.log import described, label, one_line, reloading, size, summary
from dregsy.model.plan import Copy
from dregsy.model.ref import Ref
from dregsy.model.report import (
    CopyFinished,
    CopyFound,
    CopyProgress,
    CopyRetried,
    CopyStarted,
    Event,
    Listening,
    Outcome,
    Reloaded,
    Status,
    TaskFinished,
    TaskStarted,
    Warned,
)

ROWS = 10
"""How many copies are shown at once: a screen has few lines."""
WINDOW = 5.0
"""The seconds over which the rate is taken."""
_GRAIN = 0.1


@dataclass(slots=True)
class Running:
    """A copy in flight, and the targets that still wait for it."""

    copy: Copy
    pending: set[Ref]
    expected: int = 0
    bytes: int = 0
    blobs: int = 0
    moving: bool = False
    """Whether the relay has told of something that moves to a target."""


@dataclass(slots=True)
class State:
    """What is known of the task that runs now; images count once per target."""

    name: str
    running: dict[Copy, Running] = field(default_factory=dict)
    counts: Counter[Status] = field(default_factory=Counter)
    found: int = 0
    bytes: int = 0
    blobs: int = 0
    moving: bool = False

    def start(self, copy: Copy) -> None:
        """A copy begins."""
        self.running[copy] = Running(copy, set(copy.targets))

    def move(self, event: CopyProgress) -> None:
        """Bytes or a blob arrived, or more is known of what is to come."""
        for one in (self, self.running.get(event.copy)):
            if one is not None:
                one.bytes += event.bytes_written
                one.blobs += event.blob is not None
                one.moving = one.moving or bool(event.bytes_written or event.bytes_expected or event.blob)
        if event.copy in self.running:
            self.running[event.copy].expected += event.bytes_expected

    def settle(self, outcome: Outcome) -> None:
        """An image no longer waits for a target, or for any."""
        for copy, one in list(self.running.items()):
            if copy.source == outcome.copy.source:
                one.pending -= set(copy.targets) if outcome.target is None else {outcome.target}
                if not one.pending:
                    del self.running[copy]


class Rate:
    """Bytes per second over the last moments."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, count: int) -> None:
        """Take ``count`` bytes that moved just now."""
        now = self._clock()
        if self._samples and now - self._samples[-1][0] < _GRAIN:
            since, before = self._samples.pop()
            self._samples.append((since, before + count))
        else:
            self._samples.append((now, count))
        while now - self._samples[0][0] > WINDOW:
            self._samples.popleft()

    def __float__(self) -> float:
        now = self._clock()
        recent = [(moment, count) for moment, count in list(self._samples) if now - moment <= WINDOW]
        return sum(count for _, count in recent) / max(1.0, now - recent[0][0]) if recent else 0.0


class Progress:
    """A listener that draws while its ``with`` lasts; failures and ended tasks are written above the display."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(highlight=False)
        self._state: State | None = None
        self._rate = Rate(clock)
        self._live = Live(console=self._console, get_renderable=self.__rich__, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take note of one event."""
        match event:
            case TaskStarted(task):
                self._state = State(task.name)
            case TaskFinished(report):
                self._state = None
                style, word = ("red", "failed") if report.failures else ("green", "done")
                self._say(style, word, f"task {report.task.name!r}: {summary(report)}")
            case Warned(task, message):
                self._say("yellow", "warning", f"task {task!r}: {message}" if task else message)
            case Reloaded(ok=ok):
                for text in reloading(event):
                    self._say("green" if ok else "red", "config", text)
            case Listening(url):
                self._say("green", "listening", f"status page, metrics and health are at {url}")
            case _ if self._state is not None:
                self._copying(self._state, event)

    def _copying(self, state: State, event: Event) -> None:
        match event:
            case CopyFound(copy):
                state.found += len(copy.targets)
            case CopyStarted(copy):
                state.start(copy)
            case CopyProgress():
                state.move(event)
                self._rate.add(event.bytes_written)
            case CopyRetried(outcome):
                state.settle(outcome)
                self._say("yellow", "retry", described(outcome))
            case CopyFinished(outcome):
                state.counts[outcome.status] += 1
                state.found += outcome.target is None  # what could not even be looked for
                state.settle(outcome)
                if outcome.status is Status.FAILED:
                    self._say("red", "failed", described(outcome))

    def _say(self, style: str, word: str, text: str) -> None:
        """Write a line above the display; the text is no markup."""
        self._console.print(Text.assemble((f"{word}: ", style), one_line(text)), soft_wrap=True)

    def __rich__(self) -> RenderableType:
        state = self._state
        return Text("") if state is None else Group(self._head(state), self._rows(state))

    def _head(self, state: State) -> Text:
        counts = state.counts
        parts = [
            f"images {counts.total()}/{state.found}",
            f"{counts[Status.COPIED]} copied",
            f"{counts[Status.CURRENT]} up to date",
            *([f"{counts[Status.FAILED]} failed"] if counts[Status.FAILED] else []),
            # Some relays tell nothing of what they move: then nobody knows how much it is.
            *([f"layers {state.blobs}", size(state.bytes), f"{size(float(self._rate))}/s"] if state.moving else []),
        ]
        return Text.assemble((one_line(state.name), "bold"), "  ", "  ".join(parts), no_wrap=True, overflow="ellipsis")

    def _rows(self, state: State) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for cells in self._cells(list(state.running.values())):
            table.add_row(*cells)
        return table

    def _cells(self, running: list[Running]) -> Iterator[tuple[RenderableType, ...]]:
        for one in running[:ROWS]:
            count = len(one.copy.targets)
            where = f"-> {label(one.copy.targets[0])}" if count == 1 else f"-> {count} targets"
            bar = ProgressBar(total=one.expected or None, completed=one.bytes, pulse=not one.expected, width=12)
            amount = f"{size(one.bytes)}/{size(one.expected)}" if one.expected else size(one.bytes)
            told = (f"layers {one.blobs}", amount) if one.moving else ("", "")
            yield (Text(f"  {label(one.copy.origin)} {where}"), bar, *told)
        if len(running) > ROWS:
            yield (Text(f"  … and {len(running) - ROWS} more"),)
