"""How well a trial fits: overfit, underfit and still_improving."""

from trytable.records import Scalar, Severity
from trytable.results.analysis.diagnosis import thresholds
from trytable.results.analysis.diagnosis.trial import DiagnosedTrial, Task, train_accuracy
from trytable.results.analysis.diagnosis.types import Advice, OverfitLevel, Symptom
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
