"""How well it fits: overfit, underfit and still_improving."""

from trytable.records import Scalar, Severity
from trytable.results.analysis.diagnosis import thresholds
from trytable.results.analysis.diagnosis.types import (
    Advice,
    DiagnosedTrial,
    OverfitLevel,
    Symptom,
    Task,
    train_accuracy,
)
from trytable.results.storage.study import EpochResult

_SEVERITY: dict[OverfitLevel, Severity] = {
    "slight": "info",
    "moderate": "warning",
    "severe": "warning",
}
_MARGIN_EPOCHS = 2
"""Epochs after the peak that a shorter trial still gets: another seed peaks elsewhere."""


def level_of(gap: float) -> OverfitLevel:
    """What people call a gap of train and dev accuracy."""
    if gap >= thresholds.SEVERE:
        return "severe"
    if gap >= thresholds.MODERATE:
        return "moderate"
    return "slight" if gap >= thresholds.SLIGHT else "none"


def gap_of(epoch: EpochResult | None) -> float | None:
    """Train minus dev accuracy of an epoch."""
    train = train_accuracy(epoch) if epoch else None
    if epoch is None or train is None or epoch.dev_accuracy is None:
        return None
    return train - epoch.dev_accuracy


def overfit_level(trial: DiagnosedTrial) -> OverfitLevel | None:
    """The level of the worse gap of the best epoch's and the last one's; None: not measured."""
    gaps = [gap for gap in _gaps(trial) if gap is not None]
    return level_of(max(gaps)) if gaps else None


def _gaps(trial: DiagnosedTrial) -> tuple[float | None, float | None]:
    return gap_of(trial.epoch(trial.best_epoch)), gap_of(_last_measured(trial))


def _last_measured(trial: DiagnosedTrial) -> EpochResult | None:
    """The last epoch of which both accuracies are known."""
    return next((e for e in reversed(trial.curve) if gap_of(e) is not None), None)


def overfit(trial: DiagnosedTrial) -> Symptom | None:
    """Train accuracy runs away from dev accuracy; nothing is found at level none."""
    level = overfit_level(trial)
    if level is None or level == "none":
        return None
    known = [(e.dev_accuracy, -e.epoch) for e in trial.curve if e.dev_accuracy is not None]
    peak, minus_epoch = max(known)
    last, at_best = _last_measured(trial), gap_of(trial.epoch(trial.best_epoch))
    assert last is not None, "a level comes from a gap"
    evidence: dict[str, Scalar] = {
        "level": level,
        "gap_at_best": at_best,
        "gap_at_last": gap_of(last),
        "train_accuracy": train_accuracy(last),
        "dev_accuracy": last.dev_accuracy,
        "peak_epoch": -minus_epoch,
        "peak_accuracy": peak,
        "epochs_after_peak": last.epoch + minus_epoch,
    }
    return Symptom("overfit", _SEVERITY[level], evidence, _calmer(level, -minus_epoch, last), level)


def _calmer(level: OverfitLevel, peak_epoch: int, last: EpochResult) -> tuple[Advice, ...]:
    shorter = peak_epoch + _MARGIN_EPOCHS
    ending = (Advice("epochs", "lower", shorter),) if shorter < last.epoch else ()
    if level == "slight":
        return ending
    return (*ending, Advice("dropout", "raise"), Advice("weight_decay", "raise"))


def underfit(trial: DiagnosedTrial, task: Task) -> Symptom | None:
    """Train accuracy got less than half of the way from chance to 1."""
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
    badly = way < thresholds.BADLY_UNDERFIT
    evidence: dict[str, Scalar] = {
        "train_accuracy": accuracy,
        "dev_accuracy": last.dev_accuracy,
        "chance": chance,
        "way": way,
        "epochs": last.epoch,
    }
    advice = (Advice("lr", "raise"), Advice("dropout", "lower"), Advice("epochs", "raise"))
    more = Advice("epochs", "raise")
    ordered = advice if badly else (more, *(one for one in advice if one != more))
    return Symptom("underfit", "warning" if badly else "info", evidence, ordered)


def still_improving(trial: DiagnosedTrial, task: Task) -> Symptom | None:
    """The last epoch was the best, and the last two brought more than chance would."""
    known = [(e.epoch, e.value) for e in trial.curve if e.value is not None]
    if not trial.has_ended or trial.status == "failed" or len(known) <= thresholds.GAIN_EPOCHS:
        return None
    objective = trial.objective
    epoch, value = known[-1]
    _, before = objective.best(known[: -thresholds.GAIN_EPOCHS], lambda point: point[1])
    _, best_before_last = objective.best(known[:-1], lambda point: point[1])
    gain = abs(value - before)
    least = _least_gain(value, task) if objective.maximize else thresholds.LEAST_GAIN * abs(before)
    if not objective.is_better(value, best_before_last) or gain < least:
        return None
    evidence: dict[str, Scalar] = {
        "epoch": epoch,
        "value": value,
        "before": before,
        "gain": gain,
        "least_gain": least,
        "epochs": thresholds.GAIN_EPOCHS,
    }
    variant = "" if trial.status == "completed" else "stopped"
    longer = Advice("epochs", "raise", 2 * epoch)
    return Symptom("still_improving", "info", evidence, (longer,), variant)


def _least_gain(value: float, task: Task) -> float:
    error = task.standard_error(value) if 0 <= value <= 1 else None
    return thresholds.LEAST_GAIN if error is None else error
