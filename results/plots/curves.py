"""The objective by epoch and the learning rate by step."""

from collections.abc import Sequence

from trytable.results.plots.highlights import MAX_LINES, Highlights, evenly_chosen
from trytable.results.plots.types import GREY, Axis, Curve, Layer, Lines, Mark, Marks, Plot
from trytable.results.storage.study import TrialResult
from trytable.results.text.catalog import Words

_MAX_STEPS = 400


def curves_plot(highlights: Highlights, words: Words) -> Plot | None:
    """Plot the objective by epoch: highlighted trials in colour, train dashed, others faint."""
    trials = [trial for trial in highlights.trials if trial.intermediate]
    if not trials:
        return None
    faint = [trial for trial in trials if not highlights.is_highlighted(trial)]
    faint_chosen = evenly_chosen(faint)
    completed = [trial for trial in faint_chosen if trial.status == "completed"]
    incomplete = [trial for trial in faint_chosen if trial.status != "completed"]
    groups = (("plot.others", completed), ("plot.not_completed", incomplete))
    layers: list[Layer] = []
    for key, group in groups:
        layers += _faint(highlights, words.text(key), group, words)
    for trial in reversed([trial for trial in trials if highlights.is_highlighted(trial)]):
        layers += _highlighted(highlights, trial, words)
    caption = words.text("plot.curves.caption")
    if len(faint_chosen) < len(faint):
        thinning = words.text("plot.thinned", shown=len(faint_chosen), count=len(faint))
        caption = words.paragraph([caption, thinning])
    return Plot(
        name="curves",
        title=words.text("plot.curves"),
        caption=caption,
        x=Axis(words.text("plot.epoch"), whole=True),
        y=Axis(words.term("objective", highlights.study.objective.name)),
        layers=tuple(layers),
        tall=True,
    )


def rates_plot(highlights: Highlights, words: Words) -> Plot | None:
    """Plot the learning rate by step as the optimizer used it; equal schedules are drawn once."""
    schedules: dict[tuple[tuple[float, ...], tuple[float, ...]], TrialResult] = {}
    for trial in sorted(highlights.trials, key=lambda trial: not highlights.is_highlighted(trial)):
        if len(schedules) < MAX_LINES:
            schedule = _rates(trial)
            if schedule[0]:
                schedules.setdefault(schedule, trial)
    if not schedules:
        return None
    layers = [
        Lines(
            name=highlights.name(trial) if highlights.is_highlighted(trial) else "",
            curves=(Curve(highlights.label(trial), *schedule),),
            colour=highlights.colour(trial),
            width=2 if highlights.is_highlighted(trial) else 1,
            opacity=1 if highlights.is_highlighted(trial) else 0.5,
        )
        for schedule, trial in reversed(schedules.items())
    ]
    return Plot(
        name="rates",
        title=words.text("plot.rates"),
        caption=words.text("plot.rates.caption"),
        x=Axis(words.text("plot.step"), whole=True),
        y=Axis(words.text("plot.rate")),
        layers=tuple(layers),
    )


def _faint(
    highlights: Highlights, name: str, trials: list[TrialResult], words: Words
) -> list[Layer]:
    if not trials:
        return []
    curves = tuple(_dev(highlights, trial) for trial in trials)
    ends = tuple(
        Mark(_end_hover(highlights, trial, words), trial.curve[-1].epoch, last)
        for trial in trials
        if trial.status != "completed" and (last := trial.curve[-1].value) is not None
    )
    opacity = 0.7 if len(trials) < len(highlights.colours) * 3 else 0.4
    layers: list[Layer] = [Lines(name, curves, GREY, 1, "solid", opacity, group=name)]
    return [*layers, Marks("", ends, GREY, "x", 6, group=name)] if ends else layers


def _end_hover(highlights: Highlights, trial: TrialResult, words: Words) -> str:
    return words.text(
        "plot.hover", hover=highlights.label(trial), what=words.text(f"status.{trial.status}")
    )


def _highlighted(highlights: Highlights, trial: TrialResult, words: Words) -> list[Layer]:
    name, colour = highlights.name(trial), highlights.colour(trial)
    baseline = highlights.study.baseline
    if baseline is not None and trial.number == baseline.number:
        name = words.text("plot.baseline", name=name)
    layers: list[Layer] = [Lines(name, (_dev(highlights, trial),), colour, 2, group=name)]
    train = tuple(epoch.probe_accuracy for epoch in trial.curve)
    if any(value is not None for value in train):
        hover = words.text("plot.hover", hover=trial.label, what=words.text("plot.train"))
        epochs = tuple(float(epoch.epoch) for epoch in trial.curve)
        layers.append(Lines("", (Curve(hover, epochs, train),), colour, 1.5, "dash", group=name))
    best = next((e.value for e in trial.curve if e.epoch == trial.best_epoch), None)
    if trial.best_epoch is not None and best is not None:
        mark = Mark(
            words.text("plot.hover", hover=trial.label, what=words.text("plot.best_epoch")),
            trial.best_epoch,
            best,
        )
        layers.append(Marks("", (mark,), colour, "circle-open", 12, group=name))
    return layers


def _dev(highlights: Highlights, trial: TrialResult) -> Curve:
    epochs = tuple(float(epoch.epoch) for epoch in trial.curve)
    return Curve(highlights.label(trial), epochs, tuple(epoch.value for epoch in trial.curve))


def _rates(trial: TrialResult) -> tuple[tuple[float, ...], tuple[float, ...]]:
    course = [(float(row.step), row.lr) for row in trial.steps if row.lr is not None]
    points = _extremes(course)
    return tuple(step for step, _ in points), tuple(rate for _, rate in points)


def _extremes(course: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Reduce a long course to the extremes of each stretch, so that swings stay visible."""
    if len(course) <= _MAX_STEPS:
        return course
    length = -(-2 * len(course) // _MAX_STEPS)
    extremes = {course[0], course[-1]}
    for first in range(0, len(course), length):
        stretch = course[first : first + length]
        extremes |= {
            min(stretch, key=lambda point: point[1]),
            max(stretch, key=lambda point: point[1]),
        }
    return sorted(extremes)
