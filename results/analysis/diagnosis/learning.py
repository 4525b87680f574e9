"""Whether anything is learnt at all: no_learning and majority_class."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from trytable.records import Scalar, Severity
from trytable.results.analysis.diagnosis import thresholds
from trytable.results.analysis.diagnosis.thresholds import Thresholds
from trytable.results.analysis.diagnosis.types import Advice, DiagnosedTrial, Symptom, Task
from trytable.results.storage.rows import StepRow
from trytable.results.storage.study import EpochResult

_FASTER = (Advice("lr", "raise"), Advice("freeze", "lower"), Advice("head_lr_multiplier", "raise"))


def no_learning(trial: DiagnosedTrial, task: Task, limit: Thresholds) -> Symptom | None:
    """The loss is that of guessing past the window, does not fall, and accuracy is at chance.

    Guessing is ln C, or the entropy of the classes' shares where that is lower. Nothing is said
    while the learning rate still rises. A trial shorter than the window is judged by its epochs,
    once it has ended.
    """
    if task.guessing_loss is None:
        return None
    if trial.steps and trial.steps[-1].step >= limit.window_steps:
        return _by_steps(trial, task, limit)
    return _by_epochs(trial, task, limit) if trial.has_ended else None


def _by_steps(trial: DiagnosedTrial, task: Task, limit: Thresholds) -> Symptom | None:
    last = trial.steps[-1].step
    window = [s for s in trial.steps if s.step > last - limit.window_steps]
    middle = last - limit.window_steps / 2
    early = [s.loss for s in window if s.loss is not None and s.step <= middle]
    late = [s.loss for s in window if s.loss is not None and s.step > middle]
    if not early or not late or _is_warming_up(window):
        return None
    fall, loss = fmean(early) - fmean(late), fmean(early + late)
    accuracies = [*_last(trial.curve), *_running(window)]
    if not _is_guessing(loss, fall, accuracies, task, limit):
        return None
    evidence = _evidence(loss, fall, accuracies, task, limit)
    evidence |= {"first_step": last - limit.window_steps + 1, "last_step": last}
    return _found("steps" if accuracies else "steps_alone", evidence)


def _by_epochs(trial: DiagnosedTrial, task: Task, limit: Thresholds) -> Symptom | None:
    losses = [(e.epoch, e.train_loss) for e in trial.curve if e.train_loss is not None]
    accuracies = _last(trial.curve)
    if len(losses) <= 1 or not accuracies:
        return None
    loss, fall = losses[-1][1], losses[0][1] - losses[-1][1]
    if not _is_guessing(loss, fall, accuracies, task, limit):
        return None
    evidence = _evidence(loss, fall, accuracies, task, limit)
    evidence |= {"first_epoch": losses[0][0], "last_epoch": losses[-1][0]}
    return _found("epochs", evidence)


def _is_warming_up(window: Sequence[StepRow]) -> bool:
    rates = [s.lr for s in window if s.lr is not None]
    return bool(rates) and rates[-1] > rates[0] * thresholds.RISING


def _is_guessing(
    loss: float, fall: float, accuracies: Sequence[float], task: Task, limit: Thresholds
) -> bool:
    guessing, prior, chance = task.guessing_loss, task.prior_loss, task.chance
    assert guessing is not None, "asked only where the number of classes is known"
    assert prior is not None, "as above"
    assert chance is not None, "as above"
    low = min(guessing, prior) * (1 - limit.tolerance)
    flat = fall < thresholds.LEAST_FALL * guessing
    return (
        flat
        and low <= loss <= guessing * (1 + limit.tolerance)
        and max(accuracies, default=chance) <= chance + _margin(task, chance)
    )


def _margin(task: Task, chance: float) -> float:
    error = task.standard_error(chance)
    return max(thresholds.AT_CHANCE, 2 * error) if error is not None else thresholds.AT_CHANCE


def _last(curve: Sequence[EpochResult]) -> list[float]:
    return [e.dev_accuracy for e in curve[-1:] if e.dev_accuracy is not None]


def _running(window: Sequence[StepRow]) -> list[float]:
    return [s.running_accuracy for s in window[-1:] if s.running_accuracy is not None]


def _evidence(
    loss: float, fall: float, accuracies: Sequence[float], task: Task, limit: Thresholds
) -> dict[str, Scalar]:
    return {
        "loss": loss,
        "fall": fall,
        "guessing_loss": task.guessing_loss,
        "prior_loss": task.prior_loss,
        "tolerance": limit.tolerance,
        "classes": task.classes,
        "accuracy": max(accuracies, default=None),
        "chance": task.chance,
    }


def _found(variant: str, evidence: dict[str, Scalar]) -> Symptom:
    return Symptom("no_learning", "error", evidence, _FASTER, variant)


def majority_class(trial: DiagnosedTrial, task: Task) -> Symptom | None:
    """Predictions collapsed to one class, at the kept epoch, at the last, or at earlier ones.

    By the predictions where they are known; else an epoch's dev accuracy equals a class's share.
    """
    collapsed = {e.epoch: found for e in trial.curve if (found := _collapsed(e, trial, task))}
    if not collapsed:
        return None
    last = trial.curve[-1].epoch
    variant, severity = _moment(collapsed, trial.best_epoch, last)
    shown = {"kept": trial.best_epoch, "last": last}.get(variant) or max(collapsed)
    label, share = collapsed[shown]
    epoch = trial.epoch(shown)
    return Symptom(
        "majority_class",
        severity,
        {
            "class": label,
            "share": share,
            "epoch": shown,
            "epochs": ", ".join(map(str, collapsed)),
            "count": len(collapsed),
            "dev_accuracy": epoch.dev_accuracy if epoch else None,
        },
        (Advice("class_weights", "set", "balanced"), Advice("lr", "check")),
        variant,
    )


def _moment(
    collapsed: dict[int, tuple[int, float]], best: int | None, last: int
) -> tuple[str, Severity]:
    if best in collapsed:
        return "kept", "error"
    return ("last", "warning") if last in collapsed else ("early", "info")


def _collapsed(epoch: EpochResult, trial: DiagnosedTrial, task: Task) -> tuple[int, float] | None:
    """The class that all predictions are of and their share, or None."""
    share = epoch.metrics.get("predicted_largest_share")
    if share is not None:
        label = int(epoch.metrics.get("predicted_largest_class", -1))
        return (label, share) if share >= thresholds.COLLAPSED else None
    if epoch.epoch == trial.best_epoch and trial.predictions:
        ((label, count),) = Counter(trial.predictions).most_common(1)
        share = count / len(trial.predictions)
        return (label, share) if share >= thresholds.COLLAPSED else None
    return _by_accuracy(epoch.dev_accuracy, task)


def _by_accuracy(accuracy: float | None, task: Task) -> tuple[int, float] | None:
    if accuracy is None or (task.dev_size or 0) < thresholds.COINCIDENCE_SIZE:
        return None
    for label, share in enumerate(task.shares):
        if abs(share - accuracy) <= thresholds.ROUNDING:
            return label, 1.0
    return None
