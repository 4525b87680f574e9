"""Compares the learning rate of every logged step with the requested schedule."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from trytable.records import Scalar
from trytable.results.analysis.diagnosis.symptoms import thresholds
from trytable.results.analysis.diagnosis.symptoms.trial import (
    DiagnosedTrial,
    DiagnosisKind,
    Wording,
)
from trytable.results.analysis.diagnosis.symptoms.types import Advice, Symptom

TAKEN_AS_PREFIX = "taken as "
"""Begins the effective parameters by which a worker maps knobs to a script's parameters."""

_SCHEDULES = {
    "cosine_with_restarts": "cosine_restarts",
    "cosine_with_min_lr": "cosine",
    "polynomial": "linear",
    "CosineAnnealingLR": "cosine",
    "CosineAnnealingWarmRestarts": "cosine_restarts",
    "CyclicLR": "cosine_restarts",
}
"""Names that other programs give to Trytable's schedules; the classes are torch's."""


def is_observed(effective: Mapping[str, Any]) -> bool:
    """Whether a script's optimizer was observed at every step."""
    return "parameter groups" in effective


def with_knob_names(settings: Mapping[str, Any], effective: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with a script's rate, epochs and schedule under Trytable's names as well.

    Without a requested schedule, it is that of the observed scheduler.
    """
    knobs = dict(settings)
    if not is_observed(effective):
        return knobs
    for key, name in effective.items():
        if key.startswith(TAKEN_AS_PREFIX) and name in settings:
            knobs[key.removeprefix(TAKEN_AS_PREFIX)] = settings[name]
    scheduler = str(effective.get("scheduler"))
    requested = knobs.get("schedule")
    if isinstance(requested, str):
        knobs["schedule"] = _SCHEDULES.get(requested, requested)
    elif scheduler.isidentifier():
        knobs["schedule"] = _SCHEDULES.get(scheduler, scheduler)
    floor, rate = effective.get("scheduler eta_min"), knobs.get("lr")
    if isinstance(floor, int | float) and isinstance(rate, int | float) and rate > 0:
        knobs["schedule_floor"] = floor / rate
    return knobs


Rates = Sequence[tuple[int, float]]
_FALLING = ("linear", "cosine", "cosine_restarts")


def schedule(trial: DiagnosedTrial) -> Symptom | None:
    """The first of: a peak that was not requested, swinging, constant, never at its floor.

    Rates are known only at logged steps: a swing shorter than two such intervals stays unnoticed.
    """
    rates = [(s.step, s.lr) for s in trial.steps if s.lr is not None]
    if len(rates) < thresholds.MIN_POINTS:
        return None
    return _peak(trial, rates) or _swinging(trial, rates) or _course(trial, rates)


def _requested_peaks(trial: DiagnosedTrial) -> list[float]:
    """The peak rates of the settings: the backbone's, and the head's in case it trains alone."""
    settings = trial.settings
    lr = settings.get("lr")
    if not isinstance(lr, int | float):
        return []
    head = settings.get("head_lr") or lr * (settings.get("head_lr_multiplier") or 1)
    return [float(lr), float(head)]


def _peak(trial: DiagnosedTrial, rates: Rates) -> Symptom | None:
    requested, highest = _requested_peaks(trial), max(rate for _, rate in rates)
    if not requested:
        return None
    above = highest > max(requested) * (1 + thresholds.PEAK_MARGIN)
    below = trial.status == "completed" and highest < min(requested) * _peak_share(trial, rates)
    if not (above or below):
        return None
    evidence: dict[str, Scalar] = {
        "asked": requested[0],
        "highest": highest,
        "ratio": highest / requested[0],
        "steps": rates[-1][0],
    }
    return Symptom("schedule", "error", evidence, (Advice("lr", "check"),), "peak")


def _peak_share(trial: DiagnosedTrial, rates: Rates) -> float:
    """The share of its peak that a rate must reach at some logged step."""
    if _is_constant(rates):
        return 1 - thresholds.PEAK_MARGIN
    return thresholds.OBSERVED_PEAK_SHARE if trial.is_observed else thresholds.LOGGED_PEAK_SHARE


def _is_constant(rates: Rates) -> bool:
    highest, lowest = max(r for _, r in rates), min(r for _, r in rates)
    return highest - lowest <= thresholds.CONSTANT_RATE * highest


def _swinging(trial: DiagnosedTrial, rates: Rates) -> Symptom | None:
    """The rate rises repeatedly after falls, which only a schedule with restarts should do."""
    if trial.settings.get("schedule") == "cosine_restarts":
        return None
    even = _evenly_logged(rates)
    lows = [
        step
        for (_, previous), (step, rate), (_, following) in zip(
            even, even[1:], even[2:], strict=False
        )
        if previous >= rate and following > rate * (1 + thresholds.CONSTANT_RATE)
    ]
    if len(lows) < thresholds.MIN_TURNS:
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
    # A length in epochs, taken in steps: down in as many steps as there are epochs, then up.
    if not (isinstance(epochs, int) and steps_per_epoch and period == 2 * epochs):
        return Symptom("schedule", "warning", evidence, advice, "swinging")
    evidence |= {"epochs": epochs, "steps_meant": epochs * steps_per_epoch}
    return Symptom("schedule", "warning", evidence, advice, "swinging_by_epochs")


def _evenly_logged(rates: Rates) -> Rates:
    """The first steps that were logged at even intervals: uneven ones distort the period."""
    first = rates[1][0] - rates[0][0]
    end = next(
        (index for index, (a, b) in enumerate(pairwise(rates), 1) if b[0] - a[0] != first),
        len(rates),
    )
    return rates[:end] if end >= thresholds.MIN_EVEN_POINTS else rates


def _steps_per_epoch(trial: DiagnosedTrial) -> int | None:
    first = [s.step for s in trial.steps if s.epoch == trial.steps[0].epoch]
    return first[-1] if len({s.epoch for s in trial.steps}) > 1 else None


def _course(trial: DiagnosedTrial, rates: Rates) -> Symptom | None:
    """The rate is constant, or never reaches its floor, though the schedule falls."""
    requested = trial.settings.get("schedule")
    if requested not in (*_FALLING, "step") or trial.status != "completed":
        return None
    highest = max(r for _, r in rates)
    last_step, last = rates[-1]
    evidence: dict[str, Scalar] = {
        "asked": str(requested),
        "highest": highest,
        "last": last,
        "last_step": last_step,
        "steps_total": trial.steps_total,
    }
    if _is_constant(rates):
        return Symptom("schedule", "warning", evidence, (Advice("schedule", "check"),), "constant")
    floor = highest * float(trial.settings.get("schedule_floor") or 0.0)
    # The last logged step is up to an interval before the end, where a linear rate still falls.
    total = trial.steps_total or last_step
    slack = thresholds.FLOOR_MARGIN + (_interval(rates) / total if total else 0.0)
    if requested == "cosine_restarts" and trial.is_observed:
        return None  # a cycle of few steps never reaches its floor
    if requested not in _FALLING or last <= floor + slack * (highest - floor):
        return None
    evidence |= {"floor": floor, "share": (last - floor) / (highest - floor)}
    advice = (Advice("epochs", "lower", trial.curve[-1].epoch if trial.curve else None),)
    return Symptom("schedule", "info", evidence, advice, "above_floor")


def _interval(rates: Rates) -> int:
    """The largest number of steps between two logged ones, or between two changes of the rate."""
    changes = [rates[0][0], *(b[0] for a, b in pairwise(rates) if b[1] != a[1])]
    return max(
        b - a for steps in ([step for step, _ in rates], changes) for a, b in pairwise(steps)
    )


_SCHEDULE = "The requested learning rate is not the one that trained, so tries are not comparable."
_SCHEDULE_ZH = "实际训练所用的学习率与设定值不符，各次实验不可比较。"
_SCHEDULE_ENGLISH = {
    "peak": Wording(
        "the learning rate peaked at {highest:.3g}, {ratio:.3g} times the requested {asked:.3g}",
        _SCHEDULE,
    ),
    "swinging": Wording(
        "the learning rate ({asked}) oscillates between {lowest:.3g} and {highest:.3g} with a "
        "period of {period_steps:g} steps, {turns} times",
        "A schedule with a length in epochs is stepped after every batch. " + _SCHEDULE,
    ),
    "swinging_by_epochs": Wording(
        "the learning rate ({asked}) oscillates between {lowest:.3g} and {highest:.3g} with a "
        "period of {period_steps:g} steps, {turns} times: it falls for {epochs} steps, the number "
        "of epochs, although these have {steps_meant} steps",
        "The schedule's length is in epochs, but it is stepped after every batch. Step it once per "
        "epoch, or set its length in steps: epochs times batches per epoch. " + _SCHEDULE,
    ),
    "constant": Wording(
        "the learning rate stayed at {highest:.3g} although the schedule is {asked}", _SCHEDULE
    ),
    "above_floor": Wording(
        "the learning rate ended at {last:.3g} at step {last_step}, {share:.0%} of its range above "
        "its floor of {floor:.3g}",
        "The small steps at the end of the schedule were never taken.",
    ),
}
_SCHEDULE_CHINESE = {
    "peak": Wording(
        "学习率峰值为 {highest:.3g}，是设定值 {asked:.3g} 的 {ratio:.3g} 倍", _SCHEDULE_ZH
    ),
    "swinging": Wording(
        "学习率（{asked}）在 {lowest:.3g} 与 {highest:.3g} 之间振荡，周期 {period_steps:g} 步，共 "
        "{turns} 次",
        "调度长度按轮设定，却在每个批次后更新。" + _SCHEDULE_ZH,
    ),
    "swinging_by_epochs": Wording(
        "学习率（{asked}）在 {lowest:.3g} 与 {highest:.3g} 之间振荡，周期 {period_steps:g} 步，共 "
        "{turns} 次：每次下降 {epochs} 步，恰为轮数，而这些轮共有 {steps_meant} 步",
        "调度长度按轮设定，却在每个批次后更新。应改为每轮更新一次，或把长度设为总步数"
        "（轮数乘以每轮批次数）。" + _SCHEDULE_ZH,
    ),
    "constant": Wording("学习率一直为 {highest:.3g}，而调度设定为 {asked}", _SCHEDULE_ZH),
    "above_floor": Wording(
        "学习率在第 {last_step} 步结束于 {last:.3g}，比下限 {floor:.3g} 高出变化范围的 {share:.0%}",
        "没有执行调度末尾的小步长阶段。",
    ),
}

SCHEDULE = DiagnosisKind(
    "schedule",
    severities=("info", "warning", "error"),
    wordings={"en": _SCHEDULE_ENGLISH, "zh": _SCHEDULE_CHINESE},
    check=lambda case: schedule(case.trial),
)
