"""What is trained of the model: dead_gradients by layer, and frozen_too_much."""

from trytable.records import Scalar, Severity
from trytable.results.analysis.diagnosis import thresholds
from trytable.results.analysis.diagnosis.types import Advice, DiagnosedTrial, Symptom


def dead_gradients(trial: DiagnosedTrial) -> Symptom | None:
    """Blocks that are trained and get no gradient in any step that measured it."""
    measured = [s.layer_gradients for s in trial.steps if s.layer_gradients]
    if not measured:
        return None
    largest: dict[str, float] = {}
    for gradients in measured:
        whole = sum(one**2 for one in gradients.values()) ** 0.5
        for block, one in gradients.items():
            share = one / whole if whole else 0.0
            largest[block] = max(largest.get(block, 0.0), share)
    dead = [block for block, share in largest.items() if share < thresholds.DEAD]
    if not dead:
        return None
    evidence: dict[str, Scalar] = {
        "blocks": ", ".join(dead),
        "dead": len(dead),
        "trained": len(largest),
        "largest_share": max(largest[block] for block in dead),
        "steps_measured": len(measured),
    }
    advice = (Advice("pooling", "check"), Advice("precision", "set", "fp32"))
    return Symptom("dead_gradients", "error", evidence, advice)


def frozen_too_much(trial: DiagnosedTrial, learns: bool) -> Symptom | None:
    """Less than 1 % of the parameters is trained; an error where nothing is learnt either.

    Adapters that do learn are meant to be few.
    """
    if not trial.parameters or trial.trainable_parameters is None:
        return None
    if trial.settings.get("lora_rank") and learns:
        return None
    share = trial.trainable_parameters / trial.parameters
    if share >= thresholds.TOO_FROZEN:
        return None
    evidence: dict[str, Scalar] = {
        "trainable": trial.trainable_parameters,
        "parameters": trial.parameters,
        "share": share,
        "freeze": trial.settings.get("freeze"),
    }
    severity: Severity = "warning" if learns else "error"
    return Symptom("frozen_too_much", severity, evidence, (Advice("freeze", "lower"),))
