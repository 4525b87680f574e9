"""Parallel coordinates: a line for each try, through its value of every parameter."""

import math
from dataclasses import replace

from trytable.results.plots.highlights import Cast, thinned
from trytable.results.plots.parameters import Places, places
from trytable.results.plots.types import COLOURS, GREY, Axis, Lines, Picture, Strand
from trytable.results.storage.study import TrialResult
from trytable.results.text.catalog import Words
from trytable.results.text.format import as_cell, one_line, shown

_MOST_AXES, _LEAST = 9, 2
_MOST_WORDS = 4


def parallel_picture(cast: Cast, words: Words) -> Picture | None:
    """Every axis runs from its least to its greatest value; the last is the objective's.

    None with fewer than two parameters that every try has, or fewer than two tries.
    """
    found = [one for one in cast.tries if one.best_value is not None]
    names = [name for name in cast.names if _everywhere(name, found)][:_MOST_AXES]
    if min(len(names), len(found)) < _LEAST:
        return None
    scales = [_Scale(places(cast, name, found), name, found) for name in names]
    best = [one.best_value for one in found if one.best_value is not None]
    low, high = min(best), max(best)
    strands: dict[int, Strand] = {}
    for one in found:
        assert one.best_value is not None
        last = (one.best_value - low) / (high - low) if high > low else 0.5
        told = f"{cast.told(one)}: {shown(one.best_value, 'accuracy')}"
        heights = (*(scale.height(one) for scale in scales), last)
        strands[one.number] = Strand(told, tuple(map(float, range(len(heights)))), heights)
    objective = words.named("objective", cast.study.objective.name)
    title = words.text("picture.best_of", objective=objective)
    ticks = [*(scale.tick for scale in scales), f"{title}\n{low:.3f} – {high:.3f}"]
    drawn = thinned(found)
    caption = words.text("picture.parallel.caption", objective=objective)
    if len(drawn) < len(found):
        thinning = words.text("picture.thinned", shown=len(drawn), count=len(found))
        caption = words.paragraph([caption, thinning])
    return Picture(
        name="parallel",
        title=words.text("picture.parallel"),
        caption=caption,
        x=Axis("", ticks=tuple((float(place), text) for place, text in enumerate(ticks))),
        y=Axis("", ticks=_ends(words), span=(-0.1, 1.1)),
        layers=_layers(cast, drawn, strands, words),
        tall=True,
    )


class _Scale:
    """A parameter's own axis: heights from 0 to 1, on a log scale where the parameter has one."""

    def __init__(self, placed: Places, name: str, tries: list[TrialResult]) -> None:
        self._placed, self._name = placed, name
        found = [self._place(one) for one in tries]
        self._low, self._high = min(found), max(found)
        cells = sorted((as_cell(one.settings[name]) for one in tries), key=placed.of)
        words = list(dict.fromkeys(one_line(shown(cell, "parameter")) for cell in cells))
        few = placed.scale == "category" and len(words) <= _MOST_WORDS
        ends = ", ".join(words) if few else f"{words[0]} – {words[-1]}"
        self.tick = f"{one_line(name)}\n{ends}"

    def height(self, one: TrialResult) -> float:
        if self._high == self._low:
            return 0.5
        return (self._place(one) - self._low) / (self._high - self._low)

    def _place(self, one: TrialResult) -> float:
        place = self._placed.of(as_cell(one.settings[self._name]))
        return math.log(place) if self._placed.scale == "log" else place


def _everywhere(name: str, tries: list[TrialResult]) -> bool:
    return all(one.settings.get(name) is not None for one in tries)


def _ends(words: Words) -> tuple[tuple[float, str], ...]:
    return (0.0, words.text("picture.low")), (1.0, words.text("picture.high"))


def _layers(
    cast: Cast, drawn: tuple[TrialResult, ...], strands: dict[int, Strand], words: Words
) -> tuple[Lines, ...]:
    ranked = cast.study.ranked
    best = {one.number for one in ranked[: math.ceil(len(ranked) / 10)]}
    completed = [one for one in drawn if one.status == "completed"]
    ended = [one for one in drawn if one.status != "completed"]
    others = [one for one in completed if one.number not in best]
    leaders = [one for one in completed if one.number in best]
    groups = (
        (ended, Lines(words.text("picture.not_completed"), (), GREY, 1, "dot", 0.55)),
        (others, Lines(words.text("picture.others"), (), GREY, 1, "solid", 0.55)),
        (leaders, Lines(words.text("picture.best_tenth"), (), COLOURS[0], 2, "solid", 0.9)),
    )
    return tuple(
        replace(look, strands=tuple(strands[one.number] for one in tries))
        for tries, look in groups
        if tries
    )
