"""What of a model is trained, and what should be: dead_gradients and frozen_too_much."""

from trytable.records import Scalar, Severity
from trytable.results.analysis.diagnosis.symptoms import thresholds
from trytable.results.analysis.diagnosis.symptoms.trial import (
    DiagnosedTrial,
    DiagnosisKind,
    Wording,
)
from trytable.results.analysis.diagnosis.symptoms.types import Advice, Symptom


def dead_gradients(trial: DiagnosedTrial) -> Symptom | None:
    """Blocks that are trainable but get no gradient in any step that measured it."""
    gradients_by_step = [s.layer_gradients for s in trial.steps if s.layer_gradients]
    if not gradients_by_step:
        return None
    largest: dict[str, float] = {}
    for gradients in gradients_by_step:
        total = sum(norm**2 for norm in gradients.values()) ** 0.5
        for block, norm in gradients.items():
            share = norm / total if total else 0.0
            largest[block] = max(largest.get(block, 0.0), share)
    dead = [block for block, share in largest.items() if share < thresholds.DEAD_GRADIENT]
    if not dead:
        return None
    evidence: dict[str, Scalar] = {
        "blocks": ", ".join(dead),
        "dead": len(dead),
        "trained": len(largest),
        "largest_share": max(largest[block] for block in dead),
        "steps_measured": len(gradients_by_step),
    }
    advice = (Advice("pooling", "check"), Advice("precision", "set", "fp32"))
    return Symptom("dead_gradients", "error", evidence, advice)


def frozen_too_much(trial: DiagnosedTrial, learns: bool) -> Symptom | None:
    """Less than 1 % of the parameters is trained; an error if the trial learns nothing either.

    Adapters that do learn are small by design.
    """
    if not trial.parameters or trial.trainable_parameters is None:
        return None
    if trial.settings.get("lora_rank") and learns:
        return None
    share = trial.trainable_parameters / trial.parameters
    if share >= thresholds.MIN_TRAINABLE_SHARE:
        return None
    evidence: dict[str, Scalar] = {
        "trainable": trial.trainable_parameters,
        "parameters": trial.parameters,
        "share": share,
        "freeze": trial.settings.get("freeze"),
    }
    severity: Severity = "warning" if learns else "error"
    return Symptom("frozen_too_much", severity, evidence, (Advice("freeze", "lower"),))


_DEAD_GRADIENTS_ENGLISH = {
    "": Wording(
        "{dead} of {trained} trainable blocks get no gradient ({blocks}) in {steps_measured} "
        "measured steps",
        "They count as trainable but never learn: no gradient flows from the loss to them.",
    ),
}
_DEAD_GRADIENTS_CHINESE = {
    "": Wording(
        "{trained} 个可训练模块中有 {dead} 个在 {steps_measured} 个测量步中没有梯度（{blocks}）",
        "它们虽可训练，却永远学不到东西：损失的梯度传不到它们。",
    ),
}
_FROZEN_TOO_MUCH_ENGLISH = {
    "": Wording(
        "only {trainable} of {parameters} parameters are trained ({share:.3%}; freeze: {freeze})",
        "So few parameters can hardly adapt general features to the task.",
    ),
}
_FROZEN_TOO_MUCH_CHINESE = {
    "": Wording(
        "{parameters} 个参数中只训练 {trainable} 个（{share:.3%}；freeze：{freeze}）",
        "可训练的参数太少，难以把通用特征调整为任务特征。",
    ),
}

DEAD_GRADIENTS = DiagnosisKind(
    "dead_gradients",
    severities=("error",),
    wordings={"en": _DEAD_GRADIENTS_ENGLISH, "zh": _DEAD_GRADIENTS_CHINESE},
    check=lambda case: dead_gradients(case.trial),
)

FROZEN_TOO_MUCH = DiagnosisKind(
    "frozen_too_much",
    severities=("warning", "error"),
    wordings={"en": _FROZEN_TOO_MUCH_ENGLISH, "zh": _FROZEN_TOO_MUCH_CHINESE},
    check=lambda case: frozen_too_much(case.trial, learns="no_learning" not in case.causes),
)
