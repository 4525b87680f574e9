"""The objective and the learning rate over a trial's course."""

from collections.abc import Sequence

from trytable.results.plots.highlights import MOST_DRAWN, Cast, thinned
from trytable.results.plots.types import GREY, Axis, Layer, Lines, Mark, Marks, Picture, Strand
from trytable.results.storage.study import TrialResult
from trytable.results.text.catalog import Words

_MOST_STEPS = 400


def curves_picture(cast: Cast, words: Words) -> Picture | None:
    """The objective by epoch: best few and baseline in colour, train dashed; others faint."""
    drawn = [one for one in cast.tries if one.intermediate]
    if not drawn:
        return None
    faint = [one for one in drawn if not cast.stands_out(one)]
    shown = thinned(faint)
    completed = [one for one in shown if one.status == "completed"]
    ended = [one for one in shown if one.status != "completed"]
    groups = (("picture.others", completed), ("picture.not_completed", ended))
    layers: list[Layer] = []
    for key, tries in groups:
        layers += _faint(cast, words.text(key), tries, words)
    for one in reversed([one for one in drawn if cast.stands_out(one)]):
        layers += _standing_out(cast, one, words)
    caption = words.text("picture.curves.caption")
    if len(shown) < len(faint):
        thinning = words.text("picture.thinned", shown=len(shown), count=len(faint))
        caption = words.paragraph([caption, thinning])
    return Picture(
        name="curves",
        title=words.text("picture.curves"),
        caption=caption,
        x=Axis(words.text("picture.epoch"), whole=True),
        y=Axis(words.named("objective", cast.study.objective.name)),
        layers=tuple(layers),
        tall=True,
    )


def rates_picture(cast: Cast, words: Words) -> Picture | None:
    """The learning rate by step as the optimizer used it; equal courses are drawn once."""
    found: dict[tuple[tuple[float, ...], tuple[float, ...]], TrialResult] = {}
    for one in sorted(cast.tries, key=lambda one: not cast.stands_out(one)):
        if len(found) < MOST_DRAWN:
            course = _rates(one)
            if course[0]:
                found.setdefault(course, one)
    if not found:
        return None
    layers = [
        Lines(
            name=cast.name(one) if cast.stands_out(one) else "",
            strands=(Strand(cast.told(one), *course),),
            colour=cast.colour(one),
            width=2 if cast.stands_out(one) else 1,
            opacity=1 if cast.stands_out(one) else 0.5,
        )
        for course, one in reversed(found.items())
    ]
    return Picture(
        name="rates",
        title=words.text("picture.rates"),
        caption=words.text("picture.rates.caption"),
        x=Axis(words.text("picture.step"), whole=True),
        y=Axis(words.text("picture.rate")),
        layers=tuple(layers),
    )


def _faint(cast: Cast, name: str, tries: list[TrialResult], words: Words) -> list[Layer]:
    if not tries:
        return []
    strands = tuple(_dev(cast, one) for one in tries)
    ends = tuple(
        Mark(_ended(cast, one, words), one.curve[-1].epoch, last)
        for one in tries
        if one.status != "completed" and (last := one.curve[-1].value) is not None
    )
    opacity = 0.7 if len(tries) < len(cast.colours) * 3 else 0.4
    layers: list[Layer] = [Lines(name, strands, GREY, 1, "solid", opacity, group=name)]
    return [*layers, Marks("", ends, GREY, "x", 6, group=name)] if ends else layers


def _ended(cast: Cast, one: TrialResult, words: Words) -> str:
    return words.text("picture.told", told=cast.told(one), what=words.text(f"status.{one.status}"))


def _standing_out(cast: Cast, one: TrialResult, words: Words) -> list[Layer]:
    name, colour = cast.name(one), cast.colour(one)
    baseline = cast.study.baseline
    if baseline is not None and one.number == baseline.number:
        name = words.text("picture.baseline", name=name)
    layers: list[Layer] = [Lines(name, (_dev(cast, one),), colour, 2, group=name)]
    train = tuple(epoch.probe_accuracy for epoch in one.curve)
    if any(value is not None for value in train):
        told = words.text("picture.told", told=one.label, what=words.text("picture.train"))
        epochs = tuple(float(epoch.epoch) for epoch in one.curve)
        layers.append(Lines("", (Strand(told, epochs, train),), colour, 1.5, "dash", group=name))
    best = next((e.value for e in one.curve if e.epoch == one.best_epoch), None)
    if one.best_epoch is not None and best is not None:
        mark = Mark(
            words.text("picture.told", told=one.label, what=words.text("picture.best_epoch")),
            one.best_epoch,
            best,
        )
        layers.append(Marks("", (mark,), colour, "circle-open", 12, group=name))
    return layers


def _dev(cast: Cast, one: TrialResult) -> Strand:
    epochs = tuple(float(epoch.epoch) for epoch in one.curve)
    return Strand(cast.told(one), epochs, tuple(epoch.value for epoch in one.curve))


def _rates(one: TrialResult) -> tuple[tuple[float, ...], tuple[float, ...]]:
    course = [(float(row.step), row.lr) for row in one.steps if row.lr is not None]
    kept = _extremes(course)
    return tuple(step for step, _ in kept), tuple(rate for _, rate in kept)


def _extremes(course: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Of a long course the least and the greatest of each stretch, so that a swing still shows."""
    if len(course) <= _MOST_STEPS:
        return course
    length = -(-2 * len(course) // _MOST_STEPS)
    kept = {course[0], course[-1]}
    for first in range(0, len(course), length):
        stretch = course[first : first + length]
        kept |= {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
    return sorted(kept)
