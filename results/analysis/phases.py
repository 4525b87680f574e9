"""The phases of a trial's dev accuracy: start, rise, then a plateau, a decline or overfitting."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trytable.results.storage.study import EpochResult

PhaseKind = Literal["start", "rise", "plateau", "decline", "overfit"]


@dataclass(frozen=True)
class Phase:
    """Epochs `first` to `last`, with the accuracies that it began with and ended with.

    A later phase begins with what the one before ended with. Train accuracies are None where they
    were not measured.
    """

    kind: PhaseKind
    first: int
    last: int
    dev_from: float
    dev_to: float
    train_from: float | None
    train_to: float | None


def find_phases(curve: Sequence[EpochResult], error: float) -> tuple[Phase, ...]:
    """Part a curve by what differs by more than a standard error of its accuracies.

    The start lasts while dev accuracy is within an error of its first; the rise ends at the peak;
    what follows is a plateau where it ends within an error of the peak, else a decline, which is
    overfitting where train accuracy rose meanwhile. Fewer than two measured epochs have no phases.
    """
    known = [(epoch, value) for epoch in curve if (value := epoch.dev_accuracy) is not None]
    if len(known) <= 1:
        return ()
    values = [value for _, value in known]
    peak = values.index(max(values))
    moved = next((i for i, value in enumerate(values) if value > values[0] + error), peak)
    begun = max(0, min(moved, peak) - 1)
    found = []
    if begun > 0:
        found.append(_phase("start", known, 0, begun))
    if peak > begun:
        found.append(_phase("rise", known, begun, peak, is_first=not found))
    if peak < len(known) - 1:
        found.append(_phase(_after(known, peak, error), known, peak, len(known) - 1))
    return tuple(found)


_Known = Sequence[tuple[EpochResult, float]]


def _after(known: _Known, peak: int, error: float) -> PhaseKind:
    (at_peak, best), (last, value) = known[peak], known[-1]
    if value >= best - error:
        return "plateau"
    before, after = at_peak.probe_accuracy, last.probe_accuracy
    rose = before is not None and after is not None and after > before
    return "overfit" if rose else "decline"


def _phase(kind: PhaseKind, known: _Known, start: int, end: int, *, is_first: bool = True) -> Phase:
    """The phase from one measured epoch to another; a later one's epochs begin after `start`."""
    begins_there = is_first and start == 0 and kind in ("start", "rise")
    (before, dev_from), (after, dev_to) = known[start], known[end]
    return Phase(
        kind=kind,
        first=before.epoch if begins_there else known[start + 1][0].epoch,
        last=after.epoch,
        dev_from=dev_from,
        dev_to=dev_to,
        train_from=before.probe_accuracy,
        train_to=after.probe_accuracy,
    )
