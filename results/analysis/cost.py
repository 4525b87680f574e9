"""What a study cost and on what it was spent: seconds of workers and of devices."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from trytable.results.storage.rows import AttemptRow
from trytable.results.storage.study import StudyResult, TrialResult, difference

CostKind = Literal["completed", "pruned", "stopped", "failed", "retried", "unfinished"]
"""On what seconds went. `failed` and `retried` are attempts whose work was lost (a retried one was
followed by another); an attempt that was only interrupted counts as its try ended."""

COST_KINDS: tuple[CostKind, ...] = (
    "completed",
    "pruned",
    "stopped",
    "failed",
    "retried",
    "unfinished",
)
_POINTS = 100


@dataclass(frozen=True)
class Seconds:
    """Wall seconds that workers ran, and device-seconds.

    Of a device that several workers shared at a time, each has an equal part: the device-seconds
    of all tries add up to the seconds for which devices were in use.
    """

    wall: float
    device: float


@dataclass(frozen=True)
class Cost:
    """A study's cost.

    `tries` holds the seconds of every try that had an attempt that ended, by its number. `saved`
    is what the epochs that pruned and stopped tries never ran would have cost in wall seconds, at
    each try's own seconds an epoch. `device_seconds_per_point` is the whole study's by how many
    points of dev accuracy its best try is above the baseline; None: it is not, or not known.
    """

    trials: Mapping[int, Seconds]
    by_kind: Mapping[CostKind, Seconds]
    saved: Mapping[int, float]
    device_seconds_per_point: float | None

    @property
    def total(self) -> Seconds:
        """All seconds of the study."""
        return _sum(self.trials.values())


def study_cost(study: StudyResult) -> Cost:
    """Count the seconds of all attempts that have ended."""
    device = _device_seconds(row for one in study.trials for row in one.attempts)
    tries: dict[int, Seconds] = {}
    spent: dict[CostKind, list[Seconds]] = {}
    for one in study.trials:
        for row in one.attempts:
            if row.ended_at is not None:
                wall = max(0.0, row.ended_at - row.started_at)
                seconds = Seconds(wall, device[_key(row)])
                spent.setdefault(_spent_on(one, row), []).append(seconds)
                tries[one.number] = _sum([tries.get(one.number, Seconds(0, 0)), seconds])
    saved = {one.number: _saved(one) for one in study.trials}
    return Cost(
        trials=tries,
        by_kind={kind: _sum(spent[kind]) for kind in COST_KINDS if kind in spent},
        saved={number: seconds for number, seconds in saved.items() if seconds is not None},
        device_seconds_per_point=_per_point(study, _sum(tries.values()).device),
    )


def _sum(seconds: Iterable[Seconds]) -> Seconds:
    found = list(seconds)
    return Seconds(sum(one.wall for one in found), sum(one.device for one in found))


def _spent_on(one: TrialResult, row: AttemptRow) -> CostKind:
    if row.outcome in ("failed", "retried"):
        return "failed" if row.outcome == "failed" else "retried"
    match one.status:
        case "completed" | "pruned" | "stopped" | "failed":
            return one.status
        case _:
            return "unfinished"


def _key(row: AttemptRow) -> tuple[str, int]:
    return row.trial_uid, row.attempt


def _device_seconds(rows: Iterable[AttemptRow]) -> dict[tuple[str, int], float]:
    """Every ended attempt's part of its device: at each moment, one by those that run there."""
    by_device: dict[str, list[AttemptRow]] = {}
    for row in rows:
        if row.ended_at is not None:
            by_device.setdefault(row.device, []).append(row)
    found: Counter[tuple[str, int]] = Counter()
    for shared in by_device.values():
        found.update(_parts(shared))
    return dict(found)


def _parts(rows: list[AttemptRow]) -> dict[tuple[str, int], float]:
    parts = {_key(row): 0.0 for row in rows}
    starts = [(row.started_at, True, _key(row)) for row in rows]
    ends = [(max(row.ended_at or 0, row.started_at), False, _key(row)) for row in rows]
    running: set[tuple[str, int]] = set()
    # Ends come after starts of the same moment: an attempt of no length is taken out again.
    changes = sorted([*starts, *ends], key=lambda change: (change[0], not change[1]))
    for (at, begins, key), (until, *_) in pairwise(changes):
        (running.add if begins else running.discard)(key)
        for one in running:
            parts[one] += (until - at) / len(running)
    return parts


def _saved(one: TrialResult) -> float | None:
    """Seconds that a try's missing epochs would have taken; None where it ran them all."""
    if one.status not in ("pruned", "stopped") or not one.epochs_run:
        return None
    asked = one.settings.get("epochs")
    times = [epoch.seconds for epoch in one.curve if epoch.seconds is not None]
    if not isinstance(asked, int | float) or not times:
        return None
    return max(0.0, asked - one.epochs_run) * sum(times) / len(times)


def _per_point(study: StudyResult, device_seconds: float) -> float | None:
    best, baseline = next(iter(study.ranked), None), study.baseline
    if best is None or baseline is None or baseline.status != "completed":
        return None
    gain = difference(best.best_dev_accuracy, baseline.best_dev_accuracy)
    if gain is None or gain <= 0 or not device_seconds:
        return None
    return device_seconds / (_POINTS * gain)
