"""Counts what a study cost, and on what: seconds of workers and of devices."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from trytable.records import is_number
from trytable.results.analysis.types import COST_KINDS, NO_SECONDS, Cost, CostKind, Seconds
from trytable.results.storage.rows import AttemptRow
from trytable.results.storage.study import StudyResult, TrialResult, difference

_POINTS = 100
"""Points of accuracy in a share of 1."""

_AttemptKey = tuple[str, int]


def study_cost(study: StudyResult) -> Cost:
    """Count the seconds of all attempts that have ended."""
    device = _device_seconds(row for trial in study.trials for row in trial.attempts)
    by_trial: dict[int, Seconds] = {}
    by_kind: dict[CostKind, Seconds] = {}
    for trial in study.trials:
        for row in trial.attempts:
            if row.ended_at is not None:
                wall = max(0.0, row.ended_at - row.started_at)
                seconds, kind = Seconds(wall, device[_key(row)]), _cost_kind(trial, row)
                by_kind[kind] = by_kind.get(kind, NO_SECONDS) + seconds
                by_trial[trial.number] = by_trial.get(trial.number, NO_SECONDS) + seconds
    saved = {trial.number: _saved(trial) for trial in study.trials}
    total = sum(by_trial.values(), NO_SECONDS)
    return Cost(
        trials=by_trial,
        by_kind={kind: by_kind[kind] for kind in COST_KINDS if kind in by_kind},
        saved={number: seconds for number, seconds in saved.items() if seconds is not None},
        device_seconds_per_point=_per_point(study, total.device),
    )


def _cost_kind(trial: TrialResult, row: AttemptRow) -> CostKind:
    if row.outcome in ("failed", "retried"):
        return "failed" if row.outcome == "failed" else "retried"
    match trial.status:
        case "completed" | "pruned" | "stopped" | "failed":
            return trial.status
        case _:
            return "unfinished"


def _key(row: AttemptRow) -> _AttemptKey:
    return row.trial_uid, row.attempt


def _device_seconds(rows: Iterable[AttemptRow]) -> dict[_AttemptKey, float]:
    """The device-seconds of every attempt that has ended."""
    by_device: dict[str, list[AttemptRow]] = {}
    for row in rows:
        if row.ended_at is not None:
            by_device.setdefault(row.device, []).append(row)
    seconds: Counter[_AttemptKey] = Counter()
    for attempts in by_device.values():
        seconds.update(_shares(attempts))
    return dict(seconds)


def _shares(rows: list[AttemptRow]) -> dict[_AttemptKey, float]:
    """One device's seconds by attempt; at each moment, running attempts share it equally."""
    seconds = {_key(row): 0.0 for row in rows}
    starts = [(row.started_at, True, _key(row)) for row in rows]
    ends = [(max(row.ended_at or 0, row.started_at), False, _key(row)) for row in rows]
    running: set[_AttemptKey] = set()
    # Starts sort before ends of the same moment, so an attempt of no length is removed again.
    changes = sorted([*starts, *ends], key=lambda change: (change[0], not change[1]))
    for (moment, is_start, key), (next_moment, *_) in pairwise(changes):
        (running.add if is_start else running.discard)(key)
        for attempt in running:
            seconds[attempt] += (next_moment - moment) / len(running)
    return seconds


def _saved(trial: TrialResult) -> float | None:
    """Seconds that a trial's remaining epochs would have taken; None if it ran to its end."""
    if trial.status not in ("pruned", "stopped") or not trial.epochs_run:
        return None
    requested = trial.settings.get("epochs")
    times = [epoch.seconds for epoch in trial.curve if epoch.seconds is not None]
    if not is_number(requested) or not times:
        return None
    return max(0.0, requested - trial.epochs_run) * sum(times) / len(times)


def _per_point(study: StudyResult, device_seconds: float) -> float | None:
    best, baseline = next(iter(study.ranked), None), study.baseline
    if best is None or baseline is None or baseline.status != "completed":
        return None
    gain = difference(best.best_dev_accuracy, baseline.best_dev_accuracy)
    if gain is None or gain <= 0 or not device_seconds:
        return None
    return device_seconds / (_POINTS * gain)
