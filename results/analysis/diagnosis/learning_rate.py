"""The learning rate as it really was, against the one that was asked for."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from trytable.records import Scalar
from trytable.results.analysis.diagnosis import thresholds
from trytable.results.analysis.diagnosis.types import Advice, DiagnosedTrial, Symptom

TAKEN_AS_PREFIX = "taken as "
"""The worker tells so which of a script's parameters it took for which knob."""

_SCHEDULES = {
    "cosine_with_restarts": "cosine_restarts",
    "cosine_with_min_lr": "cosine",
    "polynomial": "linear",
    "CosineAnnealingLR": "cosine",
    "CosineAnnealingWarmRestarts": "cosine_restarts",
    "CyclicLR": "cosine_restarts",
}
"""What other programs call the schedules that we know; the classes are torch's."""


def is_observed(effective: Mapping[str, Any]) -> bool:
    """Whether a script's optimizer was seen at every step."""
    return "parameter groups" in effective


def with_knob_names(settings: Mapping[str, Any], effective: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with a script's rate, epochs and schedule under our names as well.

    A schedule that nobody asked for by name is that of the scheduler that was found.
    """
    if not is_observed(effective):
        return dict(settings)
    found = dict(settings)
    for key, name in effective.items():
        if key.startswith(TAKEN_AS_PREFIX) and name in settings:
            found[key.removeprefix(TAKEN_AS_PREFIX)] = settings[name]
    scheduler = str(effective.get("scheduler"))
    asked = found.get("schedule")
    if isinstance(asked, str):
        found["schedule"] = _SCHEDULES.get(asked, asked)
    elif scheduler.isidentifier():
        found["schedule"] = _SCHEDULES.get(scheduler, scheduler)
    floor, rate = effective.get("scheduler eta_min"), found.get("lr")
    if isinstance(floor, int | float) and isinstance(rate, int | float) and rate > 0:
        found["schedule_floor"] = floor / rate
    return found


Rates = Sequence[tuple[int, float]]
_FALLING = ("linear", "cosine", "cosine_restarts")


def schedule(trial: DiagnosedTrial) -> Symptom | None:
    """The first of: a peak not asked for, swinging, constant, never at its floor.

    Rates are known at the logged steps alone: a swing of less than two such intervals is not seen.
    """
    rates = [(s.step, s.lr) for s in trial.steps if s.lr is not None]
    if len(rates) < thresholds.LEAST_POINTS:
        return None
    return _peak(trial, rates) or _swinging(trial, rates) or _course(trial, rates)


def _asked(trial: DiagnosedTrial) -> list[float]:
    """The peak rates that the settings allow: the backbone's, and the head's where it is alone."""
    settings = trial.settings
    lr = settings.get("lr")
    if not isinstance(lr, int | float):
        return []
    head = settings.get("head_lr") or lr * (settings.get("head_lr_multiplier") or 1)
    return [float(lr), float(head)]


def _peak(trial: DiagnosedTrial, rates: Rates) -> Symptom | None:
    asked, highest = _asked(trial), max(rate for _, rate in rates)
    if not asked:
        return None
    above = highest > max(asked) * (1 + thresholds.RATE_OFF)
    below = trial.status == "completed" and highest < min(asked) * _share_seen(trial, rates)
    if not (above or below):
        return None
    evidence: dict[str, Scalar] = {
        "asked": asked[0],
        "highest": highest,
        "ratio": highest / asked[0],
        "steps": rates[-1][0],
    }
    return Symptom("schedule", "error", evidence, (Advice("lr", "check"),), "peak")


def _share_seen(trial: DiagnosedTrial, rates: Rates) -> float:
    """The share of its peak that a rate must have had at some logged step."""
    if _is_constant(rates):
        return 1 - thresholds.RATE_OFF
    return thresholds.OBSERVED_PEAK if trial.is_observed else thresholds.RATE_SEEN


def _is_constant(rates: Rates) -> bool:
    highest, lowest = max(r for _, r in rates), min(r for _, r in rates)
    return highest - lowest <= thresholds.CONSTANT * highest


def _swinging(trial: DiagnosedTrial, rates: Rates) -> Symptom | None:
    """It rises again and again after falls, which only restarts were asked to do."""
    if trial.settings.get("schedule") == "cosine_restarts":
        return None
    even = _evenly_logged(rates)
    lows = [
        step
        for (_, before), (step, rate), (_, after) in zip(even, even[1:], even[2:], strict=False)
        if before >= rate and after > rate * (1 + thresholds.CONSTANT)
    ]
    if len(lows) < thresholds.LEAST_TURNS:
        return None
    period = median(b - a for a, b in pairwise(lows))
    steps_per_epoch, epochs = _steps_per_epoch(trial), trial.settings.get("epochs")
    evidence: dict[str, Scalar] = {
        "asked": str(trial.settings.get("schedule", "")),
        "period_steps": period,
        "turns": len(lows),
        "lowest": min(rate for _, rate in rates),
        "highest": max(rate for _, rate in rates),
        "steps_per_epoch": steps_per_epoch,
    }
    advice = (Advice("schedule", "check"),)
    # Down in as many steps as there are epochs, and up again in as many.
    if not (isinstance(epochs, int) and steps_per_epoch and period == 2 * epochs):
        return Symptom("schedule", "warning", evidence, advice, "swinging")
    evidence |= {"epochs": epochs, "steps_meant": epochs * steps_per_epoch}
    return Symptom("schedule", "warning", evidence, advice, "swinging_by_epochs")


def _evenly_logged(rates: Rates) -> Rates:
    """The first steps, as far as they are logged evenly: between others swings look slower."""
    first = rates[1][0] - rates[0][0]
    end = next(
        (index for index, (a, b) in enumerate(pairwise(rates), 1) if b[0] - a[0] != first),
        len(rates),
    )
    return rates[:end] if end >= thresholds.EVEN_POINTS else rates


def _steps_per_epoch(trial: DiagnosedTrial) -> int | None:
    first = [s.step for s in trial.steps if s.epoch == trial.steps[0].epoch]
    return first[-1] if len({s.epoch for s in trial.steps}) > 1 else None


def _course(trial: DiagnosedTrial, rates: Rates) -> Symptom | None:
    """Constant, or never at its floor, though the schedule asked for falls."""
    asked = trial.settings.get("schedule")
    if asked not in (*_FALLING, "step") or trial.status != "completed":
        return None
    highest = max(r for _, r in rates)
    last_step, last = rates[-1]
    evidence: dict[str, Scalar] = {
        "asked": str(asked),
        "highest": highest,
        "last": last,
        "last_step": last_step,
        "steps_total": trial.steps_total,
    }
    if _is_constant(rates):
        return Symptom("schedule", "warning", evidence, (Advice("schedule", "check"),), "constant")
    floor = highest * float(trial.settings.get("schedule_floor") or 0.0)
    # The last steps are not all logged, and a linear rate falls with what is left.
    total = trial.steps_total or last_step
    slack = thresholds.AT_FLOOR + (_interval(rates) / total if total else 0.0)
    if asked == "cosine_restarts" and trial.is_observed:
        return None  # a cycle of few steps stays above its floor
    if asked not in _FALLING or last <= floor + slack * (highest - floor):
        return None
    evidence |= {"floor": floor, "share": (last - floor) / (highest - floor)}
    advice = (Advice("epochs", "lower", trial.curve[-1].epoch if trial.curve else None),)
    return Symptom("schedule", "info", evidence, advice, "above_floor")


def _interval(rates: Rates) -> int:
    """The most steps between two logged ones, or between two changes of the rate."""
    changes = [rates[0][0], *(b[0] for a, b in pairwise(rates) if b[1] != a[1])]
    return max(
        b - a for steps in ([step for step, _ in rates], changes) for a, b in pairwise(steps)
    )
