"""Diagnoses the trials of a study, and decides which symptom stops a running trial."""

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
from trytable.results.analysis.diagnosis.learning import (
    dead_gradients,
    frozen_too_much,
    majority_class,
    no_learning,
)
from trytable.results.analysis.diagnosis.learning_rate import is_observed, schedule, with_knob_names
from trytable.results.analysis.diagnosis.messages import describe, describe_worker_finding
from trytable.results.analysis.diagnosis.sanity import label_range, loss_scale, same_seed
from trytable.results.analysis.diagnosis.stagnation import frozen_validation, stagnation
from trytable.results.analysis.diagnosis.thresholds import Thresholds
from trytable.results.analysis.diagnosis.trial import DiagnosedTrial, Task
from trytable.results.analysis.diagnosis.types import Diagnosis, OverfitLevel, Symptom
from trytable.results.storage.study import StudyResult, TrialResult

_SEVERITY_ORDER = ("error", "warning", "info")


def diagnose(study: StudyResult, language: Language = "en") -> dict[int, tuple[Diagnosis, ...]]:
    """The findings of every trial by its number (Try 1 is 0), the most severe first.

    A worker's finding replaces a symptom of the same kind.
    """
    task, limits = _task(study), thresholds_of(study.sweep)
    trials = [_diagnosed_trial(trial, study) for trial in study.trials]
    same_seeds = dict(same_seed(trials))
    diagnoses: dict[int, tuple[Diagnosis, ...]] = {}
    for result, trial in zip(study.trials, trials, strict=True):
        symptoms = [*symptoms_of(trial, task, limits)]
        if trial.number in same_seeds:
            symptoms.append(same_seeds[trial.number])
        findings = [describe_worker_finding(row, language) for row in result.findings]
        kinds = {finding.kind for finding in findings}
        findings += [describe(s, language) for s in symptoms if s.kind not in kinds]
        findings.sort(key=lambda finding: _SEVERITY_ORDER.index(finding.severity))
        diagnoses[trial.number] = tuple(findings)
    return diagnoses


def symptoms_of(trial: DiagnosedTrial, task: Task, limits: Thresholds) -> Iterator[Symptom]:
    """The symptoms that follow from one trial's own numbers."""
    not_learning = no_learning(trial, task, limits)
    candidates = (
        label_range(trial, task),
        non_finite(trial),
        not_learning,
        majority_class(trial, task),
        divergence(trial, task),
        exploding_weights(trial),
        dead_gradients(trial),
        frozen_too_much(trial, learns=not_learning is None),
        frozen_validation(trial),
        stagnation(trial),
        schedule(trial),
        loss_scale(trial),
        overfit(trial),
        underfit(trial, task) if not_learning is None else None,
        still_improving(trial, task),
    )
    yield from (symptom for symptom in candidates if symptom is not None)


def stopping_symptom(trial: DiagnosedTrial, task: Task, limits: Thresholds) -> Symptom | None:
    """The first symptom that stops a trial, or None. In the window only NaN stops it."""
    kinds = limits.stopping_kinds
    if "non_finite" in kinds and (symptom := non_finite(trial)):
        return symptom
    last_step = trial.steps[-1].step if trial.steps else 0
    if last_step < limits.window_steps:
        return None
    if "no_learning" in kinds and (symptom := no_learning(trial, task, limits)):
        return symptom
    return divergence(trial, task) if "divergence" in kinds else None


def overfit_levels(study: StudyResult) -> dict[int, OverfitLevel | None]:
    """How much every trial overfits, by its number; None if train accuracy was never measured."""
    return {trial.number: overfit_level(_diagnosed_trial(trial, study)) for trial in study.trials}


def thresholds_of(sweep: Mapping[str, Any]) -> Thresholds:
    """The thresholds that a sweep sets (its stored JSON), with defaults for the others."""
    gate = sweep.get("gate") or {}
    options = {name: gate[name] for name in ("window_steps", "tolerance") if name in gate}
    if "kinds" in gate:
        options["stopping_kinds"] = tuple(gate["kinds"])
    return Thresholds(**options)


def make_task(facts: Mapping[str, Any], gold: tuple[int, ...]) -> Task:
    """The task, from the facts that `prepare` read and the gold class indices of dev."""
    names = facts.get("classes")
    labels = [label for label in gold if label != UNLABELLED]
    counts = Counter(labels)
    classes = len(names) if names else None
    width = max(classes or 0, *(label + 1 for label in labels)) if labels else 0
    return Task(
        classes=classes,
        shares=tuple(counts[label] / len(labels) for label in range(width)),
        dev_size=len(labels) or (facts.get("sizes") or {}).get("dev"),
        lowest_label=min(labels, default=None),
        highest_label=max(labels, default=None),
    )


def _task(study: StudyResult) -> Task:
    return make_task(study.facts, study.gold.get("dev", ()))


def _diagnosed_trial(trial: TrialResult, study: StudyResult) -> DiagnosedTrial:
    started = [row for row in trial.attempts if row.parameters]
    last = started[-1] if started else None
    return DiagnosedTrial(
        number=trial.number,
        status=trial.status,
        settings=with_knob_names(trial.settings, trial.effective),
        curve=trial.curve,
        steps=trial.steps,
        best_epoch=trial.best_epoch,
        objective=study.objective,
        predictions=trial.predictions.get("dev", ()),
        trainable_parameters=last.trainable_parameters if last else None,
        parameters=last.parameters if last else None,
        steps_total=last.steps_total if last else None,
        messages=tuple(row.message for row in trial.attempts),
        is_observed=is_observed(trial.effective),
    )
