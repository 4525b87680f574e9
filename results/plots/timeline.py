"""How far every try came, and what ran where and when."""

from collections.abc import Iterable
from dataclasses import dataclass

from trytable.results.plots.highlights import Cast
from trytable.results.plots.types import (
    COLOURS,
    GREY,
    Axis,
    Bar,
    Bars,
    Hatch,
    Layer,
    Lines,
    Mark,
    Marks,
    Picture,
    Strand,
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
"""How each way to end looks."""

_ATTEMPTS: dict[str, tuple[str, Hatch]] = {
    "completed": (COLOURS[2], ""),
    "pruned": (COLOURS[1], "/"),
    "stopped": (COLOURS[3], "/"),
    "failed": (COLOURS[4], "x"),
    "retried": (COLOURS[5], "."),
    "unfinished": (GREY, ""),
}
_IDLE_SHARE, _IDLE_SECONDS = 0.1, 600.0
"""A pause of more than this share of the busy time, and of more than ten minutes, is cut out."""
_MINUTE, _HOUR = 60.0, 3600.0
_MOST_MINUTES = 180


def ends_picture(cast: Cast, words: Words) -> Picture | None:
    """At which epoch each try ended and why; None where all that ran ran as far."""
    early = ("pruned", "stopped", "failed")
    shown = (one for one in cast.tries if one.curve or one.status in early)
    found = sorted(shown, key=lambda one: one.number)
    if not any(one.status in early for one in found):
        return None
    most = max(1, *(one.epochs_run or 0 for one in found))
    layers: list[Layer] = []
    for kind, (colour, symbol) in _ENDS.items():
        tries = [one for one in found if _end(one) == kind]
        if tries:
            name = words.text(f"status.{kind}")
            stems = tuple(_stem(cast, one) for one in tries)
            marks = tuple(_end_mark(cast, one, words) for one in tries)
            layers.append(Lines("", stems, colour, 1, "solid", 0.35, group=name))
            layers.append(Marks(name, marks, colour, symbol, 7, group=name))
    return Picture(
        name="ends",
        title=words.text("picture.ends"),
        caption=words.text("picture.ends.caption"),
        x=Axis(words.text("table.try"), whole=True),
        y=Axis(
            words.text("picture.last_epoch"),
            whole=True,
            span=(-0.04 * most, 1.06 * most),
        ),
        layers=tuple(layers),
    )


def slots_picture(cast: Cast, words: Words) -> Picture | None:
    """Every attempt as a bar on its slot; None where no attempt has ended."""
    rows = [(one, row) for one in cast.tries for row in one.attempts if row.ended_at is not None]
    if not rows:
        return None
    clock = _Clock(row for _, row in rows)
    slots = sorted({_slot(row) for _, row in rows}, reverse=True)
    layers = []
    for kind, (colour, hatch) in _ATTEMPTS.items():
        bars = tuple(
            Bar(
                _attempt_told(cast, one, row, words),
                slots.index(_slot(row)),
                clock.at(row.started_at) / clock.unit,
                (clock.at(row.ended_at or 0) - clock.at(row.started_at)) / clock.unit,
            )
            for one, row in rows
            if _outcome(row) == kind
        )
        if bars:
            name = words.text(f"status.{kind}")
            layers.append(Bars(name, bars, colour, hatch))
    caption = words.text("picture.slots.caption")
    if clock.cuts:
        caption = words.paragraph([caption, words.count("picture.slots.cut", clock.cuts)])
    return Picture(
        name="slots",
        title=words.text("picture.slots"),
        caption=caption,
        x=Axis(words.text("picture.hours" if clock.unit == _HOUR else "picture.minutes")),
        y=Axis("", ticks=tuple((float(place), name) for place, name in enumerate(slots))),
        layers=tuple(layers),
    )


@dataclass(frozen=True)
class _Pause:
    began: float
    ended: float


class _Clock:
    """Seconds since the first start, without the long pauses in which nothing ran.

    `unit` is the seconds of the axis's unit: a minute, for a long study an hour.
    """

    def __init__(self, rows: Iterable[AttemptRow]) -> None:
        spans = sorted((row.started_at, row.ended_at or row.started_at) for row in rows)
        self._began, busy_until, busy = spans[0][0], spans[0][0], 0.0
        pauses = []
        for began, ended in spans:
            if began > busy_until:
                pauses.append(_Pause(busy_until, began))
            busy += max(0.0, ended - max(began, busy_until))
            busy_until = max(busy_until, ended)
        longest = max(_IDLE_SHARE * busy, _IDLE_SECONDS)
        self._cut = [pause for pause in pauses if pause.ended - pause.began > longest]
        self.cuts = len(self._cut)
        self.unit = _HOUR if self.at(busy_until) > _MOST_MINUTES * _MINUTE else _MINUTE

    def at(self, moment: float) -> float:
        """Seconds from the first start to the moment, pauses left out."""
        gone = sum(pause.ended - pause.began for pause in self._cut if pause.ended <= moment)
        return max(0.0, moment - self._began - gone)


def _end(one: TrialResult) -> str:
    return one.status if one.status in _ENDS else "unfinished"


def _stem(cast: Cast, one: TrialResult) -> Strand:
    number, epoch = float(one.number + 1), float(one.epochs_run or 0)
    return Strand(cast.told(one), (number, number), (0.0, epoch))


def _end_mark(cast: Cast, one: TrialResult, words: Words) -> Mark:
    what = words.text(f"status.{one.status}")
    if one.reason:
        what = words.text("state.reason", state=what, reason=one_line(clean(one.reason))[:200])
    told = words.text("picture.told", told=cast.told(one), what=what)
    return Mark(told, one.number + 1, one.epochs_run or 0)


def _slot(row: AttemptRow) -> str:
    return one_line(clean(row.slot)) or "?"


def _outcome(row: AttemptRow) -> str:
    return row.outcome if row.outcome in _ATTEMPTS else "unfinished"


def _attempt_told(cast: Cast, one: TrialResult, row: AttemptRow, words: Words) -> str:
    seconds = (row.ended_at or 0) - row.started_at
    outcome = words.text(f"status.{_outcome(row)}")
    return words.text(
        "picture.attempt",
        told=cast.told(one),
        attempt=row.attempt,
        outcome=outcome,
        seconds=f"{seconds:.1f}",
    )
