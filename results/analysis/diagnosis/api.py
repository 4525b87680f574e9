"""Diagnoses the trials of a study, and decides which symptom stops a running trial."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trytable.records import UNLABELLED, Language
from trytable.results.analysis.diagnosis.registry import (
    DIAGNOSES,
    describe,
    describe_worker_finding,
)
from trytable.results.analysis.diagnosis.symptoms.fit import overfit_level
from trytable.results.analysis.diagnosis.symptoms.learning_rate import is_observed, with_knob_names
from trytable.results.analysis.diagnosis.symptoms.thresholds import Thresholds
from trytable.results.analysis.diagnosis.symptoms.trial import (
    Case,
    DiagnosedTrial,
    DiagnosisKind,
    LeakCount,
    Task,
)
from trytable.results.analysis.diagnosis.symptoms.types import Diagnosis, OverfitLevel, Symptom
from trytable.results.storage.study import StudyResult, TrialResult

_SEVERITY_ORDER = ("error", "warning", "info")


def diagnose(study: StudyResult, language: Language = "en") -> dict[int, tuple[Diagnosis, ...]]:
    """The findings of every trial by its number (Try 1 is 0), the most severe first.

    A worker's finding replaces a symptom of the same kind.
    """
    task, limits = _task(study), thresholds_of(study.sweep)
    trials = [_diagnosed_trial(trial, study) for trial in study.trials]
    by_comparison = _symptoms_by_comparison(trials)
    diagnoses: dict[int, tuple[Diagnosis, ...]] = {}
    for result, trial in zip(study.trials, trials, strict=True):
        symptoms = [*symptoms_of(trial, task, limits), *by_comparison[trial.number]]
        findings = [describe_worker_finding(row, language) for row in result.findings]
        kinds = {finding.kind for finding in findings}
        findings += [describe(s, language) for s in symptoms if s.kind not in kinds]
        findings.sort(key=lambda finding: _SEVERITY_ORDER.index(finding.severity))
        diagnoses[trial.number] = tuple(findings)
    return diagnoses


def symptoms_of(trial: DiagnosedTrial, task: Task, limits: Thresholds) -> Iterator[Symptom]:
    """The symptoms that follow from one trial's own numbers, causes first."""
    causes: frozenset[str] = frozenset()
    for kind in DIAGNOSES:
        symptom = _check(kind, Case(trial, task, limits, causes))
        if symptom is not None:
            causes |= {symptom.kind}
            yield symptom


def _check(kind: DiagnosisKind, case: Case) -> Symptom | None:
    if kind.check is None or not case.causes.isdisjoint(kind.explained_by):
        return None
    return kind.check(case)


def _symptoms_by_comparison(trials: Sequence[DiagnosedTrial]) -> Mapping[int, list[Symptom]]:
    """The symptoms that only a comparison of trials shows, by the trial's number."""
    symptoms: defaultdict[int, list[Symptom]] = defaultdict(list)
    for check in (kind.check_study for kind in DIAGNOSES if kind.check_study):
        for number, symptom in check(trials):
            symptoms[number].append(symptom)
    return symptoms


def stopping_symptom(trial: DiagnosedTrial, task: Task, limits: Thresholds) -> Symptom | None:
    """The first symptom that stops a trial, or None. In the window only NaN stops it."""
    last_step = trial.steps[-1].step if trial.steps else 0
    for time in ("at once", "after the window"):
        if time == "after the window" and last_step < limits.window_steps:
            break
        for kind in DIAGNOSES:
            if kind.stops != time or kind.kind not in limits.stopping_kinds:
                continue
            if symptom := _check(kind, Case(trial, task, limits)):
                return symptom
    return None


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
        leaks=tuple(LeakCount(**leak) for leak in facts.get("leaks") or ()),
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
