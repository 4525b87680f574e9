"""What stands still that should move: stagnation and frozen_validation."""

from collections.abc import Sequence

from trytable.records import Scalar
from trytable.results.analysis.diagnosis import thresholds
from trytable.results.analysis.diagnosis.types import Advice, DiagnosedTrial, Symptom
from trytable.results.storage.study import EpochResult


def stagnation(trial: DiagnosedTrial) -> Symptom | None:
    """The train loss moves less than 0.1 % over three epochs or more, while the rate is there."""
    known = [(e.epoch, e.train_loss) for e in trial.curve if e.train_loss is not None]
    first, last = _longest_still(known, thresholds.STILL)
    if last - first < thresholds.STILL_EPOCHS:
        return None
    still = known[first:last]
    epochs, losses = [epoch for epoch, _ in still], [loss for _, loss in still]
    rate = _rate(trial, epochs[0], epochs[-1])
    if rate is not None and rate[0] < thresholds.RATE_GONE * rate[1]:
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
        metric, least, known, limit = (
            "dev_loss",
            thresholds.STILL_EPOCHS,
            by_loss,
            thresholds.FROZEN,
        )
    else:
        known = [(e.epoch, e.dev_accuracy) for e in trial.curve if e.dev_accuracy is not None]
        metric, least, limit = "dev_accuracy", thresholds.FROZEN_EPOCHS_BY_ACCURACY, 0.0
    first, last = _longest_still(known, limit)
    if last - first < least:
        return None
    epochs = [epoch for epoch, _ in known[first:last]]
    values = [value for _, value in known[first:last]]
    moved = _weights_moved(trial, epochs[0], epochs[-1])
    if moved is None:
        return None
    evidence: dict[str, Scalar] = {
        "metric": metric,
        "value": values[0],
        "first_epoch": epochs[0],
        "last_epoch": epochs[-1],
        "epochs": len(epochs),
        "movement": _movement(values),
        "moved": moved[0],
        "moved_by": moved[1],
    }
    return Symptom("frozen_validation", "error", evidence, (Advice("data", "check"),))


def _movement(values: Sequence[float]) -> float:
    high, low = max(values), min(values)
    largest = max(high, -low)
    return (high - low) / largest if largest else 0.0


def _longest_still(known: Sequence[tuple[int, float]], limit: float) -> tuple[int, int]:
    """Where the longest run begins and ends whose values all lie within a share of each other."""
    best, first = (0, 0), 0
    for last in range(1, len(known) + 1):
        while _movement([value for _, value in known[first:last]]) > limit:
            first += 1
        if last - first > best[1] - best[0]:
            best = first, last
    return best


def _rate(trial: DiagnosedTrial, first: int, last: int) -> tuple[float, float] | None:
    """The largest learning rate in these epochs and in all of them."""
    rates = [(s.epoch, s.lr) for s in trial.steps if s.lr is not None]
    inside = [rate for epoch, rate in rates if first <= epoch <= last]
    return (max(inside), max(rate for _, rate in rates)) if inside else None


def _weights_moved(trial: DiagnosedTrial, first: int, last: int) -> tuple[str, float] | None:
    """By how much the weights' norm changed in these epochs; where it is unknown, the train loss.

    None where that is not more than rounding makes.
    """
    norms = [
        s.weight_norm for s in trial.steps if s.weight_norm is not None and first <= s.epoch <= last
    ]
    if norms:
        return _if_above("weight_norm", norms, thresholds.WEIGHTS_MOVED)
    inside: Sequence[EpochResult] = [e for e in trial.curve if first <= e.epoch <= last]
    losses = [e.train_loss for e in inside if e.train_loss is not None]
    return _if_above("train_loss", losses, 10 * thresholds.FROZEN)


def _if_above(name: str, values: Sequence[float], limit: float) -> tuple[str, float] | None:
    movement = _movement(values) if values else 0.0
    return (name, movement) if movement > limit else None
