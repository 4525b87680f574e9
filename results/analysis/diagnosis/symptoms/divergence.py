"""Training that diverges: divergence, non_finite and exploding_weights."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from trytable.records import Language, Scalar
from trytable.results.analysis.diagnosis.symptoms import thresholds
from trytable.results.analysis.diagnosis.symptoms.trial import (
    DiagnosedTrial,
    DiagnosisKind,
    Task,
    Wording,
)
from trytable.results.analysis.diagnosis.symptoms.types import Advice, Symptom

_GENTLER = (Advice("lr", "lower"), Advice("warmup", "raise"), Advice("max_gradient_norm", "lower"))
_PARTS = 10
"""The start and the end of a loss curve are a tenth of its points each."""


def divergence(trial: DiagnosedTrial, task: Task) -> Symptom | None:
    """The train loss ends far above its start, or falls below guessing and rises back to it."""
    by_step = len(trial.losses) >= thresholds.MIN_POINTS
    losses = trial.losses if by_step else trial.train_losses
    if len(losses) < thresholds.MIN_POINTS:
        return None
    smooth = list(_smoothed(losses))
    (_, first), (at, lowest), (end, last) = smooth[0], min(smooth, key=lambda p: p[1]), smooth[-1]
    guessing = task.guessing_loss
    fell_back = (
        guessing is not None
        and last >= guessing * (1 - thresholds.TOLERANCE)
        and last >= thresholds.DIVERGENCE_RATIO * lowest
    )
    rose = last >= thresholds.DIVERGENCE_RATIO * first
    if not rose and not (fell_back and at < end):
        return None
    evidence: dict[str, Scalar] = {
        "first_loss": first,
        "lowest_loss": lowest,
        "lowest_at": at,
        "last_loss": last,
        "last_at": end,
        "ratio": last / first,
        "unit": "step" if by_step else "epoch",
    }
    return Symptom("divergence", "error", evidence, _GENTLER, "rose" if rose else "fell_back")


def _smoothed(losses: Sequence[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """Means over a tenth of the curve, each with the step or epoch where it ends."""
    width = max(1, len(losses) // _PARTS)
    sums = [0.0, *accumulate(loss for _, loss in losses)]
    for end in range(width, len(losses) + 1):
        yield losses[end - 1][0], (sums[end] - sums[end - width]) / width


def non_finite(trial: DiagnosedTrial) -> Symptom | None:
    """A step with a loss or gradient of NaN or infinity, which the ledger stores as missing.

    A value that the first step lacks is not measured at every step: for a script, often only the
    learning rate is.
    """
    first = trial.steps[0] if trial.steps else None
    measured_names = [
        name for name in ("loss", "gradient_norm") if getattr(first, name, None) is not None
    ]
    for row in trial.steps:
        for name in measured_names:
            if getattr(row, name) is None:
                earlier = [loss for step, loss in trial.losses if step < row.step]
                evidence: dict[str, Scalar] = {
                    "step": row.step,
                    "what": name,
                    "loss_before": earlier[-1] if earlier else None,
                    "lr": row.lr,
                }
                advice = (*_GENTLER, Advice("precision", "set", "fp32"))
                return Symptom("non_finite", "error", evidence, advice)
    return None


def exploding_weights(trial: DiagnosedTrial) -> Symptom | None:
    """The norm of all trained weights, or of one block, reaches ten times its start."""
    worst: tuple[float, str, int, float, float] | None = None
    for block, norms in _weight_norms(trial).items():
        (_, start), (step, largest) = norms[0], max(norms, key=lambda pair: pair[1])
        ratio = largest / start if start > 0 else 0.0
        if ratio >= thresholds.EXPLOSION_RATIO and (worst is None or ratio > worst[0]):
            worst = ratio, block, step, start, largest
    if worst is None:
        return None
    ratio, block, step, start, largest = worst
    evidence: dict[str, Scalar] = {
        "block": block,
        "start": start,
        "largest": largest,
        "step": step,
        "ratio": ratio,
    }
    advice = (Advice("lr", "lower"), Advice("weight_decay", "raise"))
    return Symptom("exploding_weights", "error", evidence, advice)


def _weight_norms(trial: DiagnosedTrial) -> dict[str, list[tuple[int, float]]]:
    norms: dict[str, list[tuple[int, float]]] = {}
    for row in trial.steps:
        for block, norm in {"all": row.weight_norm, **(row.layer_weights or {})}.items():
            if norm is not None:
                norms.setdefault(block, []).append((row.step, norm))
    return norms


_DIVERGENCE_ENGLISH = {
    "rose": Wording(
        "the loss rose from {first_loss:.3f} to {last_loss:.3f} ({ratio:.2f} times) by {unit} "
        "{last_at}",
        "Steps that are too large lead away from any solution; more of them do not lead back.",
    ),
    "fell_back": Wording(
        "the loss fell to {lowest_loss:.3f} by {unit} {lowest_at} and rose back to "
        "{last_loss:.3f} by {unit} {last_at}",
        "Steps that are too large destroyed what the model had learned.",
    ),
}
_DIVERGENCE_CHINESE = {
    "rose": Wording(
        "到第 {last_at} {unit}，损失从 {first_loss:.3f} 升到 {last_loss:.3f}（{ratio:.2f} 倍）",
        "步长过大会远离任何解，继续训练也无法恢复。",
    ),
    "fell_back": Wording(
        "到第 {lowest_at} {unit}损失降到 {lowest_loss:.3f}，到第 {last_at} {unit}又回升至 "
        "{last_loss:.3f}",
        "步长过大，破坏了已经学到的内容。",
    ),
}
_NON_FINITE_ENGLISH = {
    "": Wording(
        "the {what} is not finite at step {step}",
        "NaN or infinity is final: every weight that it reaches is lost.",
    ),
}
_NON_FINITE_CHINESE = {
    "": Wording(
        "第 {step} 步的 {what} 不是有限数",
        "NaN 或无穷大无法恢复：受其影响的权重全部失效。",
    ),
}
_EXPLODING_WEIGHTS_ENGLISH = {
    "": Wording(
        "the weight norm of {block} grew from {start:.4g} to {largest:.4g} ({ratio:.1f} times) by "
        "step {step}",
        "Pretrained weights that grow this much lose what they had learned.",
    ),
}
_EXPLODING_WEIGHTS_CHINESE = {
    "": Wording(
        "到第 {step} 步，{block} 的权重范数从 {start:.4g} 增长到 {largest:.4g}（{ratio:.1f} 倍）",
        "预训练权重增长这么多，原有知识已经丢失。",
    ),
}

_UNITS: dict[Language, dict[str, str]] = {
    "en": {"step": "step", "epoch": "epoch"},
    "zh": {"step": "步", "epoch": "轮"},
}


def _unit(evidence: Mapping[str, Any], language: Language) -> dict[str, str]:
    return {"unit": _UNITS[language][evidence["unit"]]}


DIVERGENCE = DiagnosisKind(
    "divergence",
    severities=("error",),
    wordings={"en": _DIVERGENCE_ENGLISH, "zh": _DIVERGENCE_CHINESE},
    check=lambda case: divergence(case.trial, case.task),
    words=_unit,
    stops="after the window",
)

NON_FINITE = DiagnosisKind(
    "non_finite",
    severities=("error",),
    wordings={"en": _NON_FINITE_ENGLISH, "zh": _NON_FINITE_CHINESE},
    check=lambda case: non_finite(case.trial),
    stops="at once",
)

EXPLODING_WEIGHTS = DiagnosisKind(
    "exploding_weights",
    severities=("error",),
    wordings={"en": _EXPLODING_WEIGHTS_ENGLISH, "zh": _EXPLODING_WEIGHTS_CHINESE},
    check=lambda case: exploding_weights(case.trial),
)
