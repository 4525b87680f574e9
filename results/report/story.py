"""How the best trial went, as prose that fixed rules make from its numbers."""

from collections.abc import Iterator
from dataclasses import dataclass

from trytable.records import is_number
from trytable.results.analysis.diagnosis.advice import advice_text
from trytable.results.analysis.phases import Phase, find_phases
from trytable.results.analysis.types import Analysis
from trytable.results.frames.parameters import varied_parameters
from trytable.results.report.verdict import (
    LOSS_OBJECTIVE,
    PERCENTAGE_POINTS,
    can_train_more,
    needs_confirmation,
)
from trytable.results.storage.study import StudyResult, TrialResult, difference
from trytable.results.tables.order import parameter_text
from trytable.results.text.catalog import Words
from trytable.results.text.format import as_cell, clean, format_value, one_line

_MAX_STEPS = 4
_MIN_EDGE_VALUES = 3
"""An outermost value counts as an edge only if at least this many numbers were tried."""


@dataclass(frozen=True)
class StorySection:
    """A section of the story: its heading with punctuation, and its text."""

    title: str
    text: str


@dataclass(frozen=True)
class Story:
    """The story of the best trial."""

    title: str
    sections: tuple[StorySection, ...]


def build_story(study: StudyResult, analysis: Analysis, words: Words) -> Story | None:
    """Return the story of the best trial, without empty sections; None if no trial completed."""
    if not study.ranked:
        return None
    best = study.ranked[0]
    phases = find_phases(best.curve, analysis.comparison.best_error)
    texts = {
        "changed": _changes(study, best, words),
        "figures": words.paragraph([*_figures(study, best, analysis, words)]),
        "phases": words.paragraph([_phase(phase, words) for phase in phases]),
        "earlier": _against_earlier(study, best, analysis, words),
        "next": _next_steps(study, best, analysis, words),
    }
    sections = (StorySection(_title(key, words), text) for key, text in texts.items() if text)
    return Story(words.text("story.title", label=best.label), tuple(sections))


def _title(key: str, words: Words) -> str:
    return words.text("story.part", title=words.text(f"story.{key}"))


def _changes(study: StudyResult, best: TrialResult, words: Words) -> str:
    names, baseline = varied_parameters(study.trials), study.baseline
    if baseline is None:
        values = parameter_text(best, names)
        return words.text("story.settings", label=best.label, values=values) if values else ""
    if best.number == baseline.number:
        return words.text("story.is_baseline", label=best.label)
    values_by_name = [
        (name, best.settings.get(name), baseline.settings.get(name)) for name in names
    ]
    changes = [
        words.text(
            "story.difference", name=_name(name), value=_value(value), baseline=_value(other)
        )
        for name, value, other in values_by_name
        if value != other
    ]
    if not changes:
        return ""
    return words.text("story.differs", label=best.label, named=words.join(changes))


def _name(name: str) -> str:
    return one_line(clean(name))


def _value(value: object) -> str:
    return one_line(format_value(as_cell(value), "parameter")) or "null"


def _figures(
    study: StudyResult, best: TrialResult, analysis: Analysis, words: Words
) -> Iterator[str]:
    """Yield training loss and accuracy, the objective's peak, the gap and the overfitting level."""
    losses = [epoch.train_loss for epoch in best.curve if epoch.train_loss is not None]
    accuracies = [epoch.probe_accuracy for epoch in best.curve if epoch.probe_accuracy is not None]
    for key, values in (("train_loss", losses), ("train_accuracy", accuracies)):
        if len(values) > 1:
            first, last = (format_value(value, "accuracy") for value in (values[0], values[-1]))
            title = words.text(f"story.{key}")
            yield words.text("story.first_last", what=title, first=first, last=last)
    yield from _peak(study, best, words)
    if best.train_accuracy is not None and best.gap is not None:
        yield words.text("story.gap", train=best.train_accuracy, gap=best.gap)
    level = analysis.overfit_levels[best.number]
    if level is not None:
        yield words.text("story.overfit", level=words.text(f"level.{level}"))


def _peak(study: StudyResult, best: TrialResult, words: Words) -> Iterator[str]:
    values = [value for _, value in sorted(best.intermediate.items())]
    if len(values) > 1 and best.best_epoch is not None:
        yield words.text(
            "story.first_peak_last",
            what=words.sentence(words.term("objective", study.objective.name)),
            first=format_value(values[0], "accuracy"),
            peak=format_value(best.best_value, "accuracy"),
            epoch=best.best_epoch,
            last=format_value(values[-1], "accuracy"),
        )


def _phase(phase: Phase, words: Words) -> str:
    if phase.first == phase.last:
        span = words.text("phase.epoch", first=phase.first)
    else:
        span = words.text("phase.span", first=phase.first, last=phase.last)
    return words.text(
        f"phase.{phase.kind}",
        span=span,
        dev_from=phase.dev_from,
        dev_to=phase.dev_to,
        train_from=phase.train_from,
        train_to=phase.train_to,
    )


def _against_earlier(
    study: StudyResult, best: TrialResult, analysis: Analysis, words: Words
) -> str:
    """Return how the best trial compares with the best one that started before it."""
    rival = next((trial for trial in study.ranked if trial.number < best.number), None)
    gap = difference(best.best_value, rival.best_value) if rival else None
    if rival is None or gap is None:
        return words.text("story.first_try")
    test = analysis.comparison.trials[rival.number].best_test
    certainty = "story.told_apart" if test and test.is_significant else "story.not_told_apart"
    values = parameter_text(rival, varied_parameters(study.trials))
    fields = {
        "label": rival.label,
        "values": words.text("summary.values", values=values) if values else "",
        "value": rival.best_value,
        "told": words.text(certainty) if test else "",
    }
    if study.objective.name == LOSS_OBJECTIVE:
        return words.text("story.before_units", difference=gap, **fields)
    return words.text("story.before", points=PERCENTAGE_POINTS * gap, **fields)


def _next_steps(study: StudyResult, best: TrialResult, analysis: Analysis, words: Words) -> str:
    """Return edges to search beyond, the advice of its findings, then confirm and suggest."""
    steps = [
        *_edges(study, best, words),
        *(
            advice_text(advice, words.language)
            for finding in analysis.findings[best.number]
            for advice in finding.advice
        ),
    ]
    if needs_confirmation(study, analysis):
        steps.append(words.text("story.confirm", study=study.name))
    if can_train_more(study) and not study.is_script_study:
        steps.append(words.text("story.suggest", study=study.name))
    steps = list(dict.fromkeys(steps))
    if len(steps) > _MAX_STEPS:  # advice gives way to confirm and suggest, which come last
        steps = [*steps[: _MAX_STEPS - 2], *steps[-2:]]
    if not steps:
        return ""
    text = words.text("list.semicolon").join(steps)
    return words.sentence(words.text("story.steps", named=text))


def _edges(study: StudyResult, best: TrialResult, words: Words) -> Iterator[str]:
    for name in varied_parameters(study.ranked):
        cells = [as_cell(trial.settings.get(name)) for trial in study.ranked]
        numbers = {float(cell) for cell in cells if is_number(cell)}
        value = as_cell(best.settings.get(name))
        if len(numbers) < _MIN_EDGE_VALUES or not is_number(value):
            continue
        keys = {min(numbers): "story.edge_low", max(numbers): "story.edge_high"}
        if key := keys.get(float(value)):
            yield words.text(key, name=_name(name), value=_value(value))
