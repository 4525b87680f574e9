"""What should change and does not: stagnation and frozen_validation."""

from collections.abc import Sequence

from trytable.records import Scalar
from trytable.results.analysis.diagnosis.symptoms import thresholds
from trytable.results.analysis.diagnosis.symptoms.trial import (
    DiagnosedTrial,
    DiagnosisKind,
    Wording,
)
from trytable.results.analysis.diagnosis.symptoms.types import Advice, Symptom


def stagnation(trial: DiagnosedTrial) -> Symptom | None:
    """The train loss moves less than 0.1 % over three epochs or more, at a usable rate."""
    plateau = _longest_plateau(trial.train_losses, thresholds.STAGNATION)
    if len(plateau) < thresholds.PLATEAU_EPOCHS:
        return None
    epochs, losses = [epoch for epoch, _ in plateau], [loss for _, loss in plateau]
    rate = _rate(trial, epochs[0], epochs[-1])
    if rate is not None and rate[0] < thresholds.VANISHED_RATE * rate[1]:
        return None
    evidence: dict[str, Scalar] = {
        "first_epoch": epochs[0],
        "last_epoch": epochs[-1],
        "epochs": len(epochs),
        "lowest_loss": min(losses),
        "highest_loss": max(losses),
        "movement": _movement(losses),
        "lr": rate[0] if rate else None,
    }
    advice = (Advice("lr", "check"), Advice("freeze", "lower"), Advice("epochs", "lower"))
    return Symptom("stagnation", "warning", evidence, advice, "" if rate else "unknown_rate")


def frozen_validation(trial: DiagnosedTrial) -> Symptom | None:
    """Dev metrics stay identical over three epochs or more, though the weights change."""
    by_loss = [(e.epoch, e.dev_loss) for e in trial.curve if e.dev_loss is not None]
    if by_loss:
        metric, least_epochs = "dev_loss", thresholds.PLATEAU_EPOCHS
        plateau = _longest_plateau(by_loss, thresholds.FLOAT_NOISE)
    else:
        metric, least_epochs = "dev_accuracy", thresholds.PLATEAU_EPOCHS_BY_ACCURACY
        plateau = _longest_plateau(trial.dev_accuracies, 0.0)
    if len(plateau) < least_epochs:
        return None
    first, last = plateau[0][0], plateau[-1][0]
    change = _training_change(trial, first, last)
    if change is None:
        return None
    values = [value for _, value in plateau]
    evidence: dict[str, Scalar] = {
        "metric": metric,
        "value": values[0],
        "first_epoch": first,
        "last_epoch": last,
        "epochs": len(plateau),
        "movement": _movement(values),
        "moved": change[0],
        "moved_by": change[1],
    }
    return Symptom("frozen_validation", "error", evidence, (Advice("data", "check"),))


def _movement(values: Sequence[float]) -> float:
    """The range of values as a share of the largest absolute one."""
    high, low = max(values), min(values)
    largest = max(high, -low)
    return (high - low) / largest if largest else 0.0


def _longest_plateau(
    points: Sequence[tuple[int, float]], movement: float
) -> Sequence[tuple[int, float]]:
    """The longest run of points whose values move no more than this share."""
    best, first = (0, 0), 0
    for last in range(1, len(points) + 1):
        while _movement([value for _, value in points[first:last]]) > movement:
            first += 1
        if last - first > best[1] - best[0]:
            best = first, last
    return points[slice(*best)]


def _rate(trial: DiagnosedTrial, first: int, last: int) -> tuple[float, float] | None:
    """The largest learning rate in these epochs, and in all of them."""
    rates = [(s.epoch, s.lr) for s in trial.steps if s.lr is not None]
    inside = [rate for epoch, rate in rates if first <= epoch <= last]
    return (max(inside), max(rate for _, rate in rates)) if inside else None


def _training_change(trial: DiagnosedTrial, first: int, last: int) -> tuple[str, float] | None:
    """What shows that these epochs trained: the weights' norm or, without it, the train loss.

    The name and its movement as a share; None if it moved no more than by rounding.
    """
    norms = [
        s.weight_norm for s in trial.steps if s.weight_norm is not None and first <= s.epoch <= last
    ]
    losses = [loss for epoch, loss in trial.train_losses if first <= epoch <= last]
    name, values, rounding = (
        ("weight_norm", norms, thresholds.WEIGHT_NOISE)
        if norms
        else ("train_loss", losses, 10 * thresholds.FLOAT_NOISE)
    )
    movement = _movement(values) if values else 0.0
    return (name, movement) if movement > rounding else None


_STAGNATION = (
    "Epochs without progress waste time: the weights are stuck, or the model is at its limit."
)
_STAGNATION_ZH = "没有进展的轮次只是浪费时间：权重卡住了，或模型能力已到上限。"
_STAGNATION_ENGLISH = {
    "": Wording(
        "the train loss changed by {movement:.3%} from epoch {first_epoch} to {last_epoch} "
        "({lowest_loss:.5g} to {highest_loss:.5g}) at a learning rate of up to {lr:.2g}",
        _STAGNATION,
    ),
    "unknown_rate": Wording(
        "the train loss changed by {movement:.3%} from epoch {first_epoch} to {last_epoch} "
        "({lowest_loss:.5g} to {highest_loss:.5g})",
        _STAGNATION,
    ),
}
_STAGNATION_CHINESE = {
    "": Wording(
        "第 {first_epoch} 到 {last_epoch} 轮训练损失仅变化 {movement:.3%}"
        "（{lowest_loss:.5g} 到 {highest_loss:.5g}），学习率最高为 {lr:.2g}",
        _STAGNATION_ZH,
    ),
    "unknown_rate": Wording(
        "第 {first_epoch} 到 {last_epoch} 轮训练损失仅变化 {movement:.3%}"
        "（{lowest_loss:.5g} 到 {highest_loss:.5g}）",
        _STAGNATION_ZH,
    ),
}
_FROZEN_VALIDATION_ENGLISH = {
    "": Wording(
        "{metric} stayed at {value:.6g} from epoch {first_epoch} to {last_epoch} (changed by "
        "{movement:.5%}) while {moved} changed by {moved_by:.4%}",
        "Changing weights change predictions, so dev is not really evaluated: the same outputs, "
        "masks or copy of the model are used again.",
    ),
}
_FROZEN_VALIDATION_CHINESE = {
    "": Wording(
        "第 {first_epoch} 到 {last_epoch} 轮 {metric} 保持在 {value:.6g}（变化 {movement:.5%}），"
        "而 {moved} 变化了 {moved_by:.4%}",
        "权重变化会改变预测，因此验证并没有真正进行：重复使用了相同的输出、掩码或模型副本。",
    ),
}

STAGNATION = DiagnosisKind(
    "stagnation",
    severities=("warning",),
    wordings={"en": _STAGNATION_ENGLISH, "zh": _STAGNATION_CHINESE},
    check=lambda case: stagnation(case.trial),
)

FROZEN_VALIDATION = DiagnosisKind(
    "frozen_validation",
    severities=("error",),
    wordings={"en": _FROZEN_VALIDATION_ENGLISH, "zh": _FROZEN_VALIDATION_CHINESE},
    check=lambda case: frozen_validation(case.trial),
)
