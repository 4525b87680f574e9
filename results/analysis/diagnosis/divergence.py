"""What blows up: divergence, non_finite and exploding_weights."""

from collections.abc import Iterator, Sequence
from itertools import accumulate

from trytable.records import Scalar
from trytable.results.analysis.diagnosis import thresholds
from trytable.results.analysis.diagnosis.types import Advice, DiagnosedTrial, Symptom, Task

_GENTLER = (Advice("lr", "lower"), Advice("warmup", "raise"), Advice("max_gradient_norm", "lower"))
_SHARE = 10
"""Start and end of a course are a tenth of its losses each."""


def divergence(trial: DiagnosedTrial, task: Task) -> Symptom | None:
    """The train loss ends far above where it began, or back at guessing after it had learnt."""
    by_step = len(trial.losses) >= thresholds.LEAST_POINTS
    course = trial.losses if by_step else _epoch_losses(trial)
    if len(course) < thresholds.LEAST_POINTS:
        return None
    smooth = list(_smoothed(course))
    (_, first), (at, lowest), (end, last) = smooth[0], min(smooth, key=lambda p: p[1]), smooth[-1]
    guessing = task.guessing_loss
    fell_back = (
        guessing is not None
        and last >= guessing * (1 - thresholds.TOLERANCE)
        and last >= thresholds.DIVERGED * lowest
    )
    if last < thresholds.DIVERGED * first and not (fell_back and at < end):
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
    variant = "rose" if last >= thresholds.DIVERGED * first else "fell_back"
    return Symptom("divergence", "error", evidence, _GENTLER, variant)


def _epoch_losses(trial: DiagnosedTrial) -> tuple[tuple[int, float], ...]:
    return tuple((e.epoch, e.train_loss) for e in trial.curve if e.train_loss is not None)


def _smoothed(course: Sequence[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """Means over a tenth of the course, each with the place where it ends."""
    width = max(1, len(course) // _SHARE)
    sums = [0.0, *accumulate(loss for _, loss in course)]
    for end in range(width, len(course) + 1):
        yield course[end - 1][0], (sums[end] - sums[end - width]) / width


def non_finite(trial: DiagnosedTrial) -> Symptom | None:
    """A step whose loss or gradient was NaN or infinite, which the ledger keeps as missing.

    What the first step lacks is not measured at every step: of a script's steps often the rate
    alone is known.
    """
    first = trial.steps[0] if trial.steps else None
    measured = [
        what for what in ("loss", "gradient_norm") if getattr(first, what, None) is not None
    ]
    for row in trial.steps:
        for what in measured:
            if getattr(row, what) is None:
                before = [loss for step, loss in trial.losses if step < row.step]
                evidence: dict[str, Scalar] = {
                    "step": row.step,
                    "what": what,
                    "loss_before": before[-1] if before else None,
                    "lr": row.lr,
                }
                advice = (*_GENTLER, Advice("precision", "set", "fp32"))
                return Symptom("non_finite", "error", evidence, advice)
    return None


def exploding_weights(trial: DiagnosedTrial) -> Symptom | None:
    """A weight norm, of all that is trained or of one block, reaches ten times its start."""
    worst: tuple[float, str, int, float, float] | None = None
    for block, norms in _norms(trial).items():
        (_, start), (step, largest) = norms[0], max(norms, key=lambda pair: pair[1])
        ratio = largest / start if start > 0 else 0.0
        if ratio >= thresholds.EXPLODED and (worst is None or ratio > worst[0]):
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


def _norms(trial: DiagnosedTrial) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for row in trial.steps:
        named = {"all": row.weight_norm, **(row.layer_weights or {})}
        for block, norm in named.items():
            if norm is not None:
                found.setdefault(block, []).append((row.step, norm))
    return found
