"""The phases of a trial's dev accuracy: start, rise, then a plateau, a decline or overfitting."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trytable.results.storage.study import EpochResult, difference

PhaseKind = Literal["start", "rise", "plateau", "decline", "overfit"]


@dataclass(frozen=True)
class Phase:
    """Epochs `first` to `last`, with the accuracies at its start and its end.

    A phase starts with the accuracies at the end of the previous one. Train accuracies are None if
    they were not measured.
    """

    kind: PhaseKind
    first: int
    last: int
    dev_from: float
    dev_to: float
    train_from: float | None
    train_to: float | None


def find_phases(curve: Sequence[EpochResult], error: float) -> tuple[Phase, ...]:
    """Divide a curve where it changes by more than `error`, a standard error of its accuracies.

    The start lasts while dev accuracy is within an error of its first value; the rise ends at the
    peak. After it comes a plateau if the curve ends within an error of the peak, else a decline,
    called overfitting if train accuracy rose meanwhile. Fewer than two measured epochs have no
    phases.
    """
    points = [(epoch, value) for epoch in curve if (value := epoch.dev_accuracy) is not None]
    if len(points) <= 1:
        return ()
    values = [value for _, value in points]
    peak = values.index(max(values))
    first_rise = next((i for i, value in enumerate(values) if value > values[0] + error), peak)
    start_end = max(0, min(first_rise, peak) - 1)
    phases = []
    if start_end > 0:
        phases.append(_phase("start", points, 0, start_end))
    if peak > start_end:
        phases.append(_phase("rise", points, start_end, peak, is_first=not phases))
    if peak < len(points) - 1:
        phases.append(_phase(_last_kind(points, peak, error), points, peak, len(points) - 1))
    return tuple(phases)


_Points = Sequence[tuple[EpochResult, float]]
"""The measured epochs, each with its dev accuracy."""


def _last_kind(points: _Points, peak: int, error: float) -> PhaseKind:
    """The kind of the phase after the peak."""
    (peak_epoch, best), (last_epoch, value) = points[peak], points[-1]
    if value >= best - error:
        return "plateau"
    gain = difference(last_epoch.probe_accuracy, peak_epoch.probe_accuracy)
    return "overfit" if gain is not None and gain > 0 else "decline"


def _phase(
    kind: PhaseKind, points: _Points, start: int, end: int, *, is_first: bool = True
) -> Phase:
    """The phase between two points; the start's own epoch belongs to the first phase only."""
    includes_start = is_first and start == 0 and kind in ("start", "rise")
    (start_epoch, dev_from), (end_epoch, dev_to) = points[start], points[end]
    return Phase(
        kind=kind,
        first=start_epoch.epoch if includes_start else points[start + 1][0].epoch,
        last=end_epoch.epoch,
        dev_from=dev_from,
        dev_to=dev_to,
        train_from=start_epoch.probe_accuracy,
        train_to=end_epoch.probe_accuracy,
    )
