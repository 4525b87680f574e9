"""Diagnoses a study as it was read: every try's findings, its workers' and ours."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from trytable.records import UNLABELLED, Language
from trytable.results.analysis.diagnosis.divergence import divergence, exploding_weights, non_finite
from trytable.results.analysis.diagnosis.fit import (
    overfit,
    overfit_level,
    still_improving,
    underfit,
)
from trytable.results.analysis.diagnosis.layers import dead_gradients, frozen_too_much
from trytable.results.analysis.diagnosis.learning import majority_class, no_learning
from trytable.results.analysis.diagnosis.learning_rate import is_observed, schedule, with_knob_names
from trytable.results.analysis.diagnosis.messages import describe, describe_worker_finding
from trytable.results.analysis.diagnosis.sanity import label_range, loss_scale, same_seed
from trytable.results.analysis.diagnosis.stagnation import frozen_validation, stagnation
from trytable.results.analysis.diagnosis.thresholds import Thresholds
from trytable.results.analysis.diagnosis.types import (
    DiagnosedTrial,
    Diagnosis,
    OverfitLevel,
    Symptom,
    Task,
)
from trytable.results.storage.study import StudyResult, TrialResult

_FIRST = ("error", "warning", "info")
"""What the data room gives a sentence without a gold label."""


def diagnose(study: StudyResult, language: Language = "en") -> dict[int, tuple[Diagnosis, ...]]:
    """The findings of every try, by its number (Try 1 is 0), the gravest first.

    A worker's finding stands in the place of a diagnosis of the same kind.
    """
    task, limit = task_of(study), thresholds_of(study.sweep)
    trials = [trial_of(one, study) for one in study.trials]
    seeds = dict(same_seed(trials))
    found: dict[int, tuple[Diagnosis, ...]] = {}
    for one, trial in zip(study.trials, trials, strict=True):
        said = [describe_worker_finding(row, language) for row in one.findings]
        kinds = {finding.kind for finding in said}
        ours = [*symptoms_of(trial, task, limit)]
        if one.number in seeds:
            ours.append(seeds[one.number])
        said += [describe(finding, language) for finding in ours if finding.kind not in kinds]
        found[one.number] = tuple(sorted(said, key=lambda f: _FIRST.index(f.severity)))
    return found


def symptoms_of(trial: DiagnosedTrial, task: Task, limit: Thresholds) -> Iterator[Symptom]:
    """All that one trial's own numbers tell."""
    stuck = no_learning(trial, task, limit)
    candidates = (
        label_range(trial, task),
        non_finite(trial),
        stuck,
        majority_class(trial, task),
        divergence(trial, task),
        exploding_weights(trial),
        dead_gradients(trial),
        frozen_too_much(trial, learns=stuck is None),
        frozen_validation(trial),
        stagnation(trial),
        schedule(trial),
        loss_scale(trial),
        overfit(trial),
        underfit(trial, task) if stuck is None else None,
        still_improving(trial, task),
    )
    yield from (found for found in candidates if found is not None)


def trial_overfit_level(one: TrialResult, study: StudyResult) -> OverfitLevel | None:
    """How far a try overfits; None where train accuracy was never measured."""
    return overfit_level(trial_of(one, study))


def thresholds_of(sweep: Mapping[str, Any]) -> Thresholds:
    """What the sweep of a study says of its diagnoses; the defaults where it says nothing."""
    gate = sweep.get("gate") or {}
    options = {name: gate[name] for name in ("window_steps", "tolerance") if name in gate}
    if "kinds" in gate:
        options["stopping_kinds"] = tuple(gate["kinds"])
    return Thresholds(**options)


def task_of(study: StudyResult) -> Task:
    """What is known of a study's classes."""
    return make_task(study.facts, study.gold.get("dev", ()))


def make_task(facts: Mapping[str, Any], gold: tuple[int, ...]) -> Task:
    """What `prepare` found of the classes, and their shares in dev."""
    names = facts.get("classes")
    labels = [label for label in gold if label != UNLABELLED]
    counts = Counter(labels)
    classes = len(names) if names else None
    width = max(classes or 0, *(label + 1 for label in labels)) if labels else 0
    size = len(labels) or (facts.get("sizes") or {}).get("dev")
    return Task(
        classes=classes,
        shares=tuple(counts[label] / len(labels) for label in range(width)),
        dev_size=size,
        lowest_label=min(labels, default=None),
        highest_label=max(labels, default=None),
    )


def trial_of(one: TrialResult, study: StudyResult) -> DiagnosedTrial:
    """What a diagnosis reads of a try."""
    measured = [row for row in one.attempts if row.parameters]
    last = measured[-1] if measured else None
    return DiagnosedTrial(
        number=one.number,
        status=one.status,
        settings=with_knob_names(one.settings, one.effective),
        curve=one.curve,
        steps=one.steps,
        best_epoch=one.best_epoch,
        objective=study.objective,
        predictions=one.predictions.get("dev", ()),
        trainable_parameters=last.trainable_parameters if last else None,
        parameters=last.parameters if last else None,
        steps_total=last.steps_total if last else None,
        messages=tuple(row.message for row in one.attempts),
        is_observed=is_observed(one.effective),
    )


def stopping_symptom(trial: DiagnosedTrial, task: Task, limit: Thresholds) -> Symptom | None:
    """The first finding that stops this trial, or None. Nothing but NaN stops it in the window."""
    last = trial.steps[-1].step if trial.steps else 0
    past = last >= limit.window_steps
    kinds = limit.stopping_kinds
    if "non_finite" in kinds and (symptom := non_finite(trial)):
        return symptom
    if past and "no_learning" in kinds and (symptom := no_learning(trial, task, limit)):
        return symptom
    return divergence(trial, task) if past and "divergence" in kinds else None
