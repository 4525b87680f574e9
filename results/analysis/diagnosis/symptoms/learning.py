"""Whether a trial learns: no_learning and majority_class."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from trytable.records import Scalar, Severity
from trytable.results.analysis.diagnosis.symptoms import thresholds
from trytable.results.analysis.diagnosis.symptoms.thresholds import Thresholds
from trytable.results.analysis.diagnosis.symptoms.trial import (
    DiagnosedTrial,
    DiagnosisKind,
    Task,
    Wording,
)
from trytable.results.analysis.diagnosis.symptoms.types import Advice, Symptom
from trytable.results.storage.rows import StepRow
from trytable.results.storage.study import EpochResult

_FASTER = (Advice("lr", "raise"), Advice("freeze", "lower"), Advice("head_lr_multiplier", "raise"))


def no_learning(trial: DiagnosedTrial, task: Task, limits: Thresholds) -> Symptom | None:
    """Past the window, the loss is still that of guessing and accuracy is at chance.

    The loss of guessing is ln C for C classes, or the entropy of the classes' shares if that is
    lower. Nothing is reported while the learning rate still rises. A trial shorter than the window
    is judged by its epochs, once it has ended.
    """
    if task.guessing_loss is None:
        return None
    if trial.steps and trial.steps[-1].step >= limits.window_steps:
        return _no_learning_by_steps(trial, task, limits)
    return _no_learning_by_epochs(trial, task, limits) if trial.has_ended else None


def _no_learning_by_steps(trial: DiagnosedTrial, task: Task, limits: Thresholds) -> Symptom | None:
    last = trial.steps[-1].step
    window = [s for s in trial.steps if s.step > last - limits.window_steps]
    middle = last - limits.window_steps / 2
    early = [s.loss for s in window if s.loss is not None and s.step <= middle]
    late = [s.loss for s in window if s.loss is not None and s.step > middle]
    if not early or not late or _is_warming_up(window):
        return None
    fall, loss = fmean(early) - fmean(late), fmean(early + late)
    accuracies = [*_last_accuracy(trial.curve), *_last_running_accuracy(window)]
    if not _is_guessing(loss, fall, accuracies, task, limits):
        return None
    evidence = _guessing_evidence(loss, fall, accuracies, task, limits)
    evidence |= {"first_step": last - limits.window_steps + 1, "last_step": last}
    variant = "steps" if accuracies else "steps_alone"
    return Symptom("no_learning", "error", evidence, _FASTER, variant)


def _no_learning_by_epochs(trial: DiagnosedTrial, task: Task, limits: Thresholds) -> Symptom | None:
    losses, accuracies = trial.train_losses, _last_accuracy(trial.curve)
    if len(losses) <= 1 or not accuracies:
        return None
    (first_epoch, first_loss), (last_epoch, loss) = losses[0], losses[-1]
    fall = first_loss - loss
    if not _is_guessing(loss, fall, accuracies, task, limits):
        return None
    evidence = _guessing_evidence(loss, fall, accuracies, task, limits)
    evidence |= {"first_epoch": first_epoch, "last_epoch": last_epoch}
    return Symptom("no_learning", "error", evidence, _FASTER, "epochs")


def _is_warming_up(window: Sequence[StepRow]) -> bool:
    rates = [s.lr for s in window if s.lr is not None]
    return bool(rates) and rates[-1] > rates[0] * thresholds.RISING_RATE


def _is_guessing(
    loss: float, fall: float, accuracies: Sequence[float], task: Task, limits: Thresholds
) -> bool:
    guessing, prior, chance = task.guessing_loss, task.prior_loss, task.chance
    assert guessing is not None, "callers check that the number of classes is known"
    assert prior is not None, "as above"
    assert chance is not None, "as above"
    lowest = min(guessing, prior) * (1 - limits.tolerance)
    is_flat = fall < thresholds.MIN_FALL * guessing
    return (
        is_flat
        and lowest <= loss <= guessing * (1 + limits.tolerance)
        and max(accuracies, default=chance) <= chance + _chance_margin(task, chance)
    )


def _chance_margin(task: Task, chance: float) -> float:
    error = task.standard_error(chance)
    return max(thresholds.CHANCE_MARGIN, 2 * error) if error else thresholds.CHANCE_MARGIN


def _last_accuracy(curve: Sequence[EpochResult]) -> list[float]:
    return [e.dev_accuracy for e in curve[-1:] if e.dev_accuracy is not None]


def _last_running_accuracy(window: Sequence[StepRow]) -> list[float]:
    return [s.running_accuracy for s in window[-1:] if s.running_accuracy is not None]


def _guessing_evidence(
    loss: float, fall: float, accuracies: Sequence[float], task: Task, limits: Thresholds
) -> dict[str, Scalar]:
    return {
        "loss": loss,
        "fall": fall,
        "guessing_loss": task.guessing_loss,
        "prior_loss": task.prior_loss,
        "tolerance": limits.tolerance,
        "classes": task.classes,
        "accuracy": max(accuracies, default=None),
        "chance": task.chance,
    }


def majority_class(trial: DiagnosedTrial, task: Task) -> Symptom | None:
    """Predictions collapsed to one class, at the best epoch, the last, or an earlier one.

    An epoch without stored predictions counts if its dev accuracy equals a class's share.
    """
    collapsed = {
        epoch.epoch: class_and_share
        for epoch in trial.curve
        if (class_and_share := _collapsed(epoch, trial, task))
    }
    if not collapsed:
        return None
    variant, severity, number = _worst_moment(collapsed, trial)
    label, share = collapsed[number]
    epoch = trial.epoch(number)
    return Symptom(
        "majority_class",
        severity,
        {
            "class": label,
            "share": share,
            "epoch": number,
            "epochs": ", ".join(map(str, collapsed)),
            "count": len(collapsed),
            "dev_accuracy": epoch.dev_accuracy if epoch else None,
        },
        (Advice("class_weights", "set", "balanced"), Advice("lr", "check")),
        variant,
    )


def _worst_moment(
    collapsed: dict[int, tuple[int, float]], trial: DiagnosedTrial
) -> tuple[str, Severity, int]:
    """Variant, severity and epoch of the collapse that matters most."""
    last = trial.curve[-1].epoch
    if trial.best_epoch in collapsed:
        return "best", "error", trial.best_epoch
    return ("last", "warning", last) if last in collapsed else ("early", "info", max(collapsed))


def _collapsed(epoch: EpochResult, trial: DiagnosedTrial, task: Task) -> tuple[int, float] | None:
    """The class that all predictions belong to and its share; None if there is none."""
    share = epoch.metrics.get("predicted_largest_share")
    if share is not None:
        label = int(epoch.metrics.get("predicted_largest_class", -1))
    elif epoch.epoch == trial.best_epoch and trial.predictions:
        ((label, count),) = Counter(trial.predictions).most_common(1)
        share = count / len(trial.predictions)
    else:
        return _collapsed_by_accuracy(epoch.dev_accuracy, task)
    return (label, share) if share >= thresholds.COLLAPSE_SHARE else None


def _collapsed_by_accuracy(accuracy: float | None, task: Task) -> tuple[int, float] | None:
    if accuracy is None or (task.dev_size or 0) < thresholds.COINCIDENCE_SIZE:
        return None
    for label, share in enumerate(task.shares):
        if abs(share - accuracy) <= thresholds.ROUNDING:
            return label, 1.0
    return None


_GUESSING = (
    "This is the loss of guessing, so the model has learned nothing: the learning rate is too low, "
    "too much is frozen, or the gradients do not arrive."
)
_GUESSING_ZH = "这正是随机猜测的损失，说明模型什么都没学到：学习率太低、冻结过多，或梯度没有传到。"
_COLLAPSED = "A model that always predicts one class has not learned to distinguish the classes."
_COLLAPSED_ZH = "总是预测同一类别的模型没有学会区分类别。"
_NO_LEARNING_ENGLISH = {
    "steps": Wording(
        "from step {first_step} to {last_step} the mean loss is {loss:.3f}, within {tolerance:.0%} "
        "of ln {classes} = {guessing_loss:.3f}, and accuracy {accuracy:.3f} is at chance "
        "({chance:.3f})",
        _GUESSING,
    ),
    "steps_alone": Wording(
        "from step {first_step} to {last_step} the mean loss is {loss:.3f}, within {tolerance:.0%} "
        "of ln {classes} = {guessing_loss:.3f}",
        _GUESSING,
    ),
    "epochs": Wording(
        "the train loss is {loss:.3f} after epoch {last_epoch}, within {tolerance:.0%} of "
        "ln {classes} = {guessing_loss:.3f}, and accuracy {accuracy:.3f} is at chance "
        "({chance:.3f})",
        _GUESSING,
    ),
}
_NO_LEARNING_CHINESE = {
    "steps": Wording(
        "第 {first_step} 到 {last_step} 步的平均损失为 {loss:.3f}，与 ln {classes} = "
        "{guessing_loss:.3f} 相差不到 {tolerance:.0%}，准确率 {accuracy:.3f} 处于随机水平"
        "（{chance:.3f}）",
        _GUESSING_ZH,
    ),
    "steps_alone": Wording(
        "第 {first_step} 到 {last_step} 步的平均损失为 {loss:.3f}，与 ln {classes} = "
        "{guessing_loss:.3f} 相差不到 {tolerance:.0%}",
        _GUESSING_ZH,
    ),
    "epochs": Wording(
        "第 {last_epoch} 轮后训练损失为 {loss:.3f}，与 ln {classes} = {guessing_loss:.3f} 相差不到 "
        "{tolerance:.0%}，准确率 {accuracy:.3f} 处于随机水平（{chance:.3f}）",
        _GUESSING_ZH,
    ),
}
_MAJORITY_CLASS_ENGLISH = {
    "best": Wording(
        "at the best epoch, {epoch}, {share:.0%} of the predictions are class {class}",
        _COLLAPSED,
    ),
    "last": Wording(
        "at the last epoch, {epoch}, {share:.0%} of the predictions are class {class}",
        _COLLAPSED,
    ),
    "early": Wording(
        "in {count} early epochs ({epochs}) all predictions are one class",
        "A slow start is common; if it lasts, warm-up or balanced class weights shorten it.",
    ),
}
_MAJORITY_CLASS_CHINESE = {
    "best": Wording("最佳轮（第 {epoch} 轮）有 {share:.0%} 的预测为类别 {class}", _COLLAPSED_ZH),
    "last": Wording("末轮（第 {epoch} 轮）有 {share:.0%} 的预测为类别 {class}", _COLLAPSED_ZH),
    "early": Wording(
        "前期有 {count} 轮（{epochs}）的预测全部为同一类别",
        "起步慢很常见；若一直如此，可用学习率预热或类别权重来改善。",
    ),
}

NO_LEARNING = DiagnosisKind(
    "no_learning",
    severities=("error",),
    wordings={"en": _NO_LEARNING_ENGLISH, "zh": _NO_LEARNING_CHINESE},
    check=lambda case: no_learning(case.trial, case.task, case.limits),
    stops="after the window",
)

MAJORITY_CLASS = DiagnosisKind(
    "majority_class",
    severities=("info", "warning", "error"),
    wordings={"en": _MAJORITY_CLASS_ENGLISH, "zh": _MAJORITY_CLASS_CHINESE},
    check=lambda case: majority_class(case.trial, case.task),
)
