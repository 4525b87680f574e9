"""How the best try went, built from its numbers by rule, in the shape people write it by hand."""

from collections.abc import Iterator
from dataclasses import dataclass

from trytable.records import is_number
from trytable.results.analysis.diagnosis.messages import advice_text
from trytable.results.analysis.phases import Phase, find_phases
from trytable.results.analysis.types import Analysis
from trytable.results.report.verdict import LOSS_OBJECTIVE, PERCENTAGE_POINTS, can_train_more
from trytable.results.storage.study import StudyResult, TrialResult, difference
from trytable.results.tables.summary import parameter_text
from trytable.results.tables.trials import varied_parameters
from trytable.results.text.catalog import Words
from trytable.results.text.format import as_cell, clean, format_value, one_line

_MOST_STEPS = 4
_EDGE_VALUES = 3
"""Numbers that must have been tried before the outermost one is an edge."""


@dataclass(frozen=True)
class StorySection:
    """A part of the story: its heading, with what ends it, and its text."""

    title: str
    text: str


@dataclass(frozen=True)
class Story:
    """The story of the best try."""

    title: str
    parts: tuple[StorySection, ...]


def build_story(study: StudyResult, analysis: Analysis, words: Words) -> Story | None:
    """The story of the best try; None while nothing completed."""
    if not study.ranked:
        return None
    best = study.ranked[0]
    told = {
        "changed": _changed(study, best, words),
        "figures": words.paragraph([*_figures(study, best, analysis, words)]),
        "phases": words.paragraph(
            [_phase(one, words) for one in find_phases(best.curve, analysis.comparison.best_error)]
        ),
        "earlier": _earlier(study, best, analysis, words),
        "next": _next(study, best, analysis, words),
    }
    parts = (StorySection(_title(key, words), text) for key, text in told.items() if text)
    return Story(words.text("story.title", label=best.label), tuple(parts))


def _title(key: str, words: Words) -> str:
    return words.text("story.part", title=words.text(f"story.{key}"))


def _changed(study: StudyResult, best: TrialResult, words: Words) -> str:
    names, baseline = varied_parameters(study.trials), study.baseline
    if baseline is None:
        values = parameter_text(best, names)
        return words.text("story.settings", label=best.label, values=values) if values else ""
    if best.number == baseline.number:
        return words.text("story.is_baseline", label=best.label)
    pairs = [(name, best.settings.get(name), baseline.settings.get(name)) for name in names]
    named = [
        words.text("story.difference", name=_name(name), value=_value(own), baseline=_value(other))
        for name, own, other in pairs
        if own != other
    ]
    return words.text("story.differs", label=best.label, named=words.join(named)) if named else ""


def _name(name: str) -> str:
    return one_line(clean(name))


def _value(value: object) -> str:
    return one_line(format_value(as_cell(value), "parameter")) or "null"


def _figures(
    study: StudyResult, best: TrialResult, analysis: Analysis, words: Words
) -> Iterator[str]:
    """First, peak and last of what was measured."""
    losses = [e.train_loss for e in best.curve if e.train_loss is not None]
    trained = [e.probe_accuracy for e in best.curve if e.probe_accuracy is not None]
    for key, values in (("train_loss", losses), ("train_accuracy", trained)):
        if len(values) > 1:
            first, last = (format_value(value, "accuracy") for value in (values[0], values[-1]))
            what = words.text(f"story.{key}")
            yield words.text("story.first_last", what=what, first=first, last=last)
    yield from _peak(study, best, words)
    if best.train_accuracy is not None and best.gap is not None:
        yield words.text("story.gap", train=best.train_accuracy, gap=best.gap)
    level = analysis.overfit_levels[best.number]
    if level is not None:
        yield words.text("story.overfit", level=words.text(f"level.{level}"))


def _peak(study: StudyResult, best: TrialResult, words: Words) -> Iterator[str]:
    known = [value for _, value in sorted(best.intermediate.items())]
    if len(known) > 1 and best.best_epoch is not None:
        yield words.text(
            "story.first_peak_last",
            what=words.sentence(words.term("objective", study.objective.name)),
            first=format_value(known[0], "accuracy"),
            peak=format_value(best.best_value, "accuracy"),
            epoch=best.best_epoch,
            last=format_value(known[-1], "accuracy"),
        )


def _phase(one: Phase, words: Words) -> str:
    key = "phase.epoch" if one.first == one.last else "phase.span"
    return words.text(
        f"phase.{one.kind}",
        span=words.text(
            key, first=one.first, **({} if key == "phase.epoch" else {"last": one.last})
        ),
        dev_from=one.dev_from,
        dev_to=one.dev_to,
        train_from=one.train_from,
        train_to=one.train_to,
    )


def _earlier(study: StudyResult, best: TrialResult, analysis: Analysis, words: Words) -> str:
    """The best try against the best of those before it."""
    before = next((one for one in study.ranked if one.number < best.number), None)
    gap = difference(best.best_value, before.best_value) if before else None
    if before is None or gap is None:
        return words.text("story.first_try")
    versus = analysis.comparison.trials[before.number].best_test
    apart = "story.told_apart" if versus and versus.is_significant else "story.not_told_apart"
    values = parameter_text(before, varied_parameters(study.trials))
    fields = {
        "label": before.label,
        "values": words.text("summary.values", values=values) if values else "",
        "value": before.best_value,
        "told": words.text(apart) if versus else "",
    }
    if study.objective.name == LOSS_OBJECTIVE:
        return words.text("story.before_units", difference=gap, **fields)
    return words.text("story.before", points=PERCENTAGE_POINTS * gap, **fields)


def _next(study: StudyResult, best: TrialResult, analysis: Analysis, words: Words) -> str:
    """What its findings advise, edges to go beyond, and fresh seeds where there were none."""
    advised = (
        advice_text(advice, words.language)
        for found in analysis.findings[best.number]
        for advice in found.advice
    )
    steps = [*_edges(study, best, words), *advised]
    if analysis.confirmation is None and len(study.ranked) > 1 and can_train_more(study):
        steps.append(words.text("story.confirm", study=study.name))
    if can_train_more(study) and not study.is_script_study:
        steps.append(words.text("story.suggest", study=study.name))
    distinct = list(dict.fromkeys(steps))
    kept = (
        distinct if len(distinct) <= _MOST_STEPS else [*distinct[: _MOST_STEPS - 2], *distinct[-2:]]
    )
    if not kept:
        return ""
    named = words.text("list.semicolon").join(kept)
    return words.sentence(words.text("story.steps", named=named))


def _edges(study: StudyResult, best: TrialResult, words: Words) -> Iterator[str]:
    for name in varied_parameters(study.ranked):
        cells = [as_cell(one.settings.get(name)) for one in study.ranked]
        numbers = {float(cell) for cell in cells if is_number(cell)}
        own = as_cell(best.settings.get(name))
        if len(numbers) < _EDGE_VALUES or not is_number(own):
            continue
        key = {min(numbers): "story.edge_low", max(numbers): "story.edge_high"}.get(float(own))
        if key:
            yield words.text(key, name=_name(name), value=_value(own))
