"""How well a trial fits: overfit, underfit and still_improving."""

from collections.abc import Mapping
from typing import Any

from trytable.records import Language, Scalar, Severity
from trytable.results.analysis.diagnosis.symptoms import thresholds
from trytable.results.analysis.diagnosis.symptoms.trial import (
    DiagnosedTrial,
    DiagnosisKind,
    Task,
    Wording,
    train_accuracy,
)
from trytable.results.analysis.diagnosis.symptoms.types import Advice, OverfitLevel, Symptom
from trytable.results.storage.study import EpochResult, difference

_SEVERITY: dict[OverfitLevel, Severity] = {
    "slight": "info",
    "moderate": "warning",
    "severe": "warning",
}
_MARGIN_EPOCHS = 2
"""Epochs after the peak that a shorter trial should keep: another seed peaks elsewhere."""


def overfit_level(trial: DiagnosedTrial) -> OverfitLevel | None:
    """The level of the larger gap, at the best or at the last epoch; None: not measured."""
    gaps = (_gap(trial.epoch(trial.best_epoch)), _gap(_last_measured(trial)))
    measured_gaps = [gap for gap in gaps if gap is not None]
    return _level(max(measured_gaps)) if measured_gaps else None


def _level(gap: float) -> OverfitLevel:
    if gap >= thresholds.SEVERE:
        return "severe"
    if gap >= thresholds.MODERATE:
        return "moderate"
    return "slight" if gap >= thresholds.SLIGHT else "none"


def _gap(epoch: EpochResult | None) -> float | None:
    """Train minus dev accuracy of an epoch."""
    return difference(train_accuracy(epoch), epoch.dev_accuracy) if epoch else None


def _last_measured(trial: DiagnosedTrial) -> EpochResult | None:
    """The last epoch that measured both accuracies."""
    return next((e for e in reversed(trial.curve) if _gap(e) is not None), None)


def overfit(trial: DiagnosedTrial) -> Symptom | None:
    """Train accuracy exceeds dev accuracy by a slight, moderate or severe gap."""
    level = overfit_level(trial)
    if level is None or level == "none":
        return None
    peak_epoch, peak = max(trial.dev_accuracies, key=lambda point: (point[1], -point[0]))
    last = _last_measured(trial)
    assert last is not None, "a level comes from a gap"
    evidence: dict[str, Scalar] = {
        "level": level,
        "gap_at_best": _gap(trial.epoch(trial.best_epoch)),
        "gap_at_last": _gap(last),
        "train_accuracy": train_accuracy(last),
        "dev_accuracy": last.dev_accuracy,
        "peak_epoch": peak_epoch,
        "peak_accuracy": peak,
        "epochs_after_peak": last.epoch - peak_epoch,
    }
    advice = _overfit_advice(level, peak_epoch, last)
    return Symptom("overfit", _SEVERITY[level], evidence, advice, level)


def _overfit_advice(level: OverfitLevel, peak_epoch: int, last: EpochResult) -> tuple[Advice, ...]:
    epochs = peak_epoch + _MARGIN_EPOCHS
    shorter = (Advice("epochs", "lower", epochs),) if epochs < last.epoch else ()
    if level == "slight":
        return shorter
    return (*shorter, Advice("dropout", "raise"), Advice("weight_decay", "raise"))


def underfit(trial: DiagnosedTrial, task: Task) -> Symptom | None:
    """Train accuracy covers less than half of the way from chance to 1."""
    chance = task.chance
    if chance is None or not trial.curve or trial.status != "completed":
        return None
    last = trial.curve[-1]
    accuracy = train_accuracy(last)
    if accuracy is None or chance >= 1:
        return None
    way = (accuracy - chance) / (1 - chance)
    if way >= thresholds.UNDERFIT or overfit_level(trial) in ("moderate", "severe"):
        return None
    evidence: dict[str, Scalar] = {
        "train_accuracy": accuracy,
        "dev_accuracy": last.dev_accuracy,
        "chance": chance,
        "way": way,
        "epochs": last.epoch,
    }
    faster, longer = (Advice("lr", "raise"), Advice("dropout", "lower")), Advice("epochs", "raise")
    if way < thresholds.SEVERE_UNDERFIT:
        return Symptom("underfit", "warning", evidence, (*faster, longer))
    return Symptom("underfit", "info", evidence, (longer, *faster))


def still_improving(trial: DiagnosedTrial, task: Task) -> Symptom | None:
    """The last epoch is the best, and the last two gained more than chance would explain."""
    objective = trial.objective
    points = [(e.epoch, e.value) for e in trial.curve if e.value is not None]
    if not trial.has_ended or trial.status == "failed" or len(points) <= thresholds.GAIN_EPOCHS:
        return None
    epoch, value = points[-1]
    _, previous_best = objective.best(points[:-1], lambda point: point[1])
    _, reference = objective.best(points[: -thresholds.GAIN_EPOCHS], lambda point: point[1])
    gain = abs(value - reference)
    least_gain = (
        _least_accuracy_gain(value, task)
        if objective.maximize
        else thresholds.MIN_GAIN * abs(reference)
    )
    if not objective.is_better(value, previous_best) or gain < least_gain:
        return None
    evidence: dict[str, Scalar] = {
        "epoch": epoch,
        "value": value,
        "before": reference,
        "gain": gain,
        "least_gain": least_gain,
        "epochs": thresholds.GAIN_EPOCHS,
    }
    variant = "" if trial.status == "completed" else "stopped"
    longer = Advice("epochs", "raise", 2 * epoch)
    return Symptom("still_improving", "info", evidence, (longer,), variant)


def _least_accuracy_gain(value: float, task: Task) -> float:
    error = task.standard_error(value) if 0 <= value <= 1 else None
    return thresholds.MIN_GAIN if error is None else error


_OVERFIT = "The model memorizes the train sentences; more training does not help on others."
_OVERFIT_ZH = "模型在记忆训练集，继续训练对其他句子没有帮助。"
_IMPROVING = "More epochs would probably improve it, so the comparison underrates this try."
_IMPROVING_ZH = "再训练几轮很可能更好，因此目前的比较低估了这次实验。"
_OVERFIT_MESSAGE = (
    "{level} overfitting: train minus dev accuracy is {gap_at_last:.3f} at the last "
    "epoch{at_best}; dev accuracy peaked at epoch {peak_epoch} with {peak_accuracy:.3f}, "
    "{epochs_after_peak} epochs before the end"
)
_OVERFIT_MESSAGE_ZH = (
    "{level}过拟合：末轮训练与验证准确率之差为 {gap_at_last:.3f}{at_best}；"
    "验证准确率在第 {peak_epoch} 轮达到峰值 {peak_accuracy:.3f}，"
    "此后又训练了 {epochs_after_peak} 轮"
)
_OVERFIT_ENGLISH = {
    "": Wording(_OVERFIT_MESSAGE, _OVERFIT),
}
_OVERFIT_CHINESE = {
    "": Wording(_OVERFIT_MESSAGE_ZH, _OVERFIT_ZH),
}
_UNDERFIT_ENGLISH = {
    "": Wording(
        "train accuracy is {train_accuracy:.3f} after epoch {epochs}, {way:.0%} of the way from "
        "chance ({chance:.3f}) to 1",
        "The model does not even fit its train data: too much regularisation, or too few steps.",
    ),
}
_UNDERFIT_CHINESE = {
    "": Wording(
        "第 {epochs} 轮后训练准确率为 {train_accuracy:.3f}，从随机水平（{chance:.3f}）到 1 只走了 "
        "{way:.0%}",
        "连训练集都没有拟合，说明正则化过强或训练步数太少。",
    ),
}
_STILL_IMPROVING_ENGLISH = {
    "": Wording(
        "the last epoch, {epoch}, is the best with {value:.3f}, {gain:.3f} better than before the "
        "last {epochs} epochs",
        _IMPROVING,
    ),
    "stopped": Wording(
        "it was stopped after epoch {epoch} at its best value of {value:.3f}, {gain:.3f} better "
        "than before the last {epochs} epochs",
        _IMPROVING,
    ),
}
_STILL_IMPROVING_CHINESE = {
    "": Wording(
        "末轮（第 {epoch} 轮）最好，为 {value:.3f}，比最后 {epochs} 轮之前提高 {gain:.3f}",
        _IMPROVING_ZH,
    ),
    "stopped": Wording(
        "在第 {epoch} 轮后被停止时正处于最好值 {value:.3f}，比最后 {epochs} 轮之前提高 {gain:.3f}",
        _IMPROVING_ZH,
    ),
}

_LEVELS: dict[Language, dict[str, str]] = {
    "en": {"slight": "slight", "moderate": "moderate", "severe": "severe", "none": "no"},
    "zh": {"slight": "轻微", "moderate": "中等", "severe": "严重", "none": "无"},
}
_AT_BEST: dict[Language, str] = {
    "en": " and {gap_at_best:.3f} at the best one",
    "zh": "，最佳轮为 {gap_at_best:.3f}",
}


def _level_words(evidence: Mapping[str, Any], language: Language) -> dict[str, str]:
    has_gap = evidence.get("gap_at_best") is not None
    return {
        "level": _LEVELS[language][evidence["level"]],
        "at_best": _AT_BEST[language].format(**evidence) if has_gap else "",
    }


OVERFIT = DiagnosisKind(
    "overfit",
    severities=("info", "warning"),
    wordings={"en": _OVERFIT_ENGLISH, "zh": _OVERFIT_CHINESE},
    check=lambda case: overfit(case.trial),
    words=_level_words,
)

UNDERFIT = DiagnosisKind(
    "underfit",
    severities=("info", "warning"),
    wordings={"en": _UNDERFIT_ENGLISH, "zh": _UNDERFIT_CHINESE},
    check=lambda case: underfit(case.trial, case.task),
    explained_by=("no_learning",),
)

STILL_IMPROVING = DiagnosisKind(
    "still_improving",
    severities=("info",),
    wordings={"en": _STILL_IMPROVING_ENGLISH, "zh": _STILL_IMPROVING_CHINESE},
    check=lambda case: still_improving(case.trial, case.task),
)
