"""How far each trial ran, and what ran on which slot and when."""

from collections.abc import Iterable
from dataclasses import dataclass

from trytable.results.plots.cost import OUTCOME_STYLES
from trytable.results.plots.highlights import Highlights
from trytable.results.plots.types import (
    COLOURS,
    GREY,
    Axis,
    Bar,
    Bars,
    Curve,
    Layer,
    Lines,
    Mark,
    Marks,
    Plot,
    Symbol,
)
from trytable.results.storage.rows import AttemptRow
from trytable.results.storage.study import TrialResult
from trytable.results.text.catalog import Words
from trytable.results.text.format import clean, one_line

_ENDS: dict[str, tuple[str, Symbol]] = {
    "completed": (COLOURS[2], "circle"),
    "pruned": (COLOURS[1], "x"),
    "stopped": (COLOURS[3], "square"),
    "failed": (COLOURS[4], "triangle-down"),
    "unfinished": (GREY, "circle-open"),
}
"""The style of each outcome of a trial."""

_IDLE_SHARE, _IDLE_SECONDS = 0.1, 600.0
"""A pause longer than this share of the busy time and longer than ten minutes is cut out."""
_MINUTE, _HOUR = 60.0, 3600.0
_MAX_MINUTES = 180


def ends_plot(highlights: Highlights, words: Words) -> Plot | None:
    """Plot the last epoch of each trial and why it ended; None if no trial ended early."""
    early = ("pruned", "stopped", "failed")
    started = (trial for trial in highlights.trials if trial.curve or trial.status in early)
    trials = sorted(started, key=lambda trial: trial.number)
    if not any(trial.status in early for trial in trials):
        return None
    max_epochs = max(1, *(trial.epochs_run or 0 for trial in trials))
    layers: list[Layer] = []
    for kind, (colour, symbol) in _ENDS.items():
        group = [trial for trial in trials if _end(trial) == kind]
        if group:
            name = words.text(f"status.{kind}")
            stems = tuple(_stem(highlights, trial) for trial in group)
            marks = tuple(_end_mark(highlights, trial, words) for trial in group)
            layers.append(Lines("", stems, colour, 1, "solid", 0.35, group=name))
            layers.append(Marks(name, marks, colour, symbol, 7, group=name))
    return Plot(
        name="ends",
        title=words.text("plot.ends"),
        caption=words.text("plot.ends.caption"),
        x=Axis(words.text("table.try"), whole=True),
        y=Axis(
            words.text("plot.last_epoch"),
            whole=True,
            span=(-0.04 * max_epochs, 1.06 * max_epochs),
        ),
        layers=tuple(layers),
    )


def slots_plot(highlights: Highlights, words: Words) -> Plot | None:
    """Plot every attempt as a bar on its slot; None if no attempt has ended."""
    attempts = [
        (trial, row)
        for trial in highlights.trials
        for row in trial.attempts
        if row.ended_at is not None
    ]
    if not attempts:
        return None
    clock = _Clock(row for _, row in attempts)
    slots = sorted({_slot(row) for _, row in attempts}, reverse=True)
    layers = []
    for kind, (colour, hatch) in OUTCOME_STYLES.items():
        bars = tuple(
            Bar(
                _attempt_hover(highlights, trial, row, words),
                slots.index(_slot(row)),
                clock.at(row.started_at) / clock.unit,
                (clock.at(row.ended_at or 0) - clock.at(row.started_at)) / clock.unit,
            )
            for trial, row in attempts
            if _outcome(row) == kind
        )
        if bars:
            name = words.text(f"status.{kind}")
            layers.append(Bars(name, bars, colour, hatch))
    caption = words.text("plot.slots.caption")
    if clock.cuts:
        caption = words.paragraph([caption, words.count("plot.slots.cut", clock.cuts)])
    return Plot(
        name="slots",
        title=words.text("plot.slots"),
        caption=caption,
        x=Axis(words.text("plot.hours" if clock.unit == _HOUR else "plot.minutes")),
        y=Axis("", ticks=tuple((float(position), name) for position, name in enumerate(slots))),
        layers=tuple(layers),
    )


@dataclass(frozen=True)
class _Pause:
    start: float
    end: float


class _Clock:
    """Seconds since the first start, without long pauses.

    `unit` is the axis's unit in seconds: a minute, or an hour for a long study.
    """

    def __init__(self, rows: Iterable[AttemptRow]) -> None:
        spans = sorted((row.started_at, row.ended_at or row.started_at) for row in rows)
        self._start, busy_until, busy = spans[0][0], spans[0][0], 0.0
        pauses = []
        for start, end in spans:
            if start > busy_until:
                pauses.append(_Pause(busy_until, start))
            busy += max(0.0, end - max(start, busy_until))
            busy_until = max(busy_until, end)
        min_pause = max(_IDLE_SHARE * busy, _IDLE_SECONDS)
        self._cut = [pause for pause in pauses if pause.end - pause.start > min_pause]
        self.cuts = len(self._cut)
        self.unit = _HOUR if self.at(busy_until) > _MAX_MINUTES * _MINUTE else _MINUTE

    def at(self, moment: float) -> float:
        """Return the seconds from the first start to the moment, without pauses."""
        paused = sum(pause.end - pause.start for pause in self._cut if pause.end <= moment)
        return max(0.0, moment - self._start - paused)


def _end(trial: TrialResult) -> str:
    return trial.status if trial.status in _ENDS else "unfinished"


def _stem(highlights: Highlights, trial: TrialResult) -> Curve:
    number, epoch = float(trial.number + 1), float(trial.epochs_run or 0)
    return Curve(highlights.label(trial), (number, number), (0.0, epoch))


def _end_mark(highlights: Highlights, trial: TrialResult, words: Words) -> Mark:
    state = words.text(f"status.{trial.status}")
    if trial.reason:
        state = words.text("state.reason", state=state, reason=one_line(clean(trial.reason))[:200])
    hover = words.text("plot.hover", hover=highlights.label(trial), what=state)
    return Mark(hover, trial.number + 1, trial.epochs_run or 0)


def _slot(row: AttemptRow) -> str:
    return one_line(clean(row.slot)) or "?"


def _outcome(row: AttemptRow) -> str:
    return row.outcome if row.outcome in OUTCOME_STYLES else "unfinished"


def _attempt_hover(
    highlights: Highlights, trial: TrialResult, row: AttemptRow, words: Words
) -> str:
    seconds = (row.ended_at or 0) - row.started_at
    outcome = words.text(f"status.{_outcome(row)}")
    return words.text(
        "plot.attempt",
        hover=highlights.label(trial),
        attempt=row.attempt,
        outcome=outcome,
        seconds=f"{seconds:.1f}",
    )
