"""Training that diverges: divergence, non_finite and exploding_weights."""

from collections.abc import Iterator, Sequence
from itertools import accumulate

from trytable.records import Scalar
from trytable.results.analysis.diagnosis import thresholds
from trytable.results.analysis.diagnosis.trial import DiagnosedTrial, Task
from trytable.results.analysis.diagnosis.types import Advice, Symptom

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
