"""Whether numbers can be what they claim to be: loss_scale and label_range."""

import math
import re
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from itertools import takewhile
from operator import itemgetter
from statistics import fmean

from trytable.records import Scalar
from trytable.results.analysis.diagnosis import thresholds
from trytable.results.analysis.diagnosis.types import (
    Advice,
    DiagnosedTrial,
    Symptom,
    Task,
    train_accuracy,
)

_OUT_OF_BOUNDS = re.compile(r"Target (-?\d+) is out of bounds")
"""torch's cross_entropy, of a label that is no class index."""


def loss_scale(trial: DiagnosedTrial) -> Symptom | None:
    """Train and dev loss differ by a steady factor though the accuracies are alike."""
    pairs = [
        (e.train_loss, e.dev_loss)
        for e in trial.curve
        if e.train_loss is not None
        and e.dev_loss is not None
        and min(e.train_loss, e.dev_loss) > thresholds.LEAST_LOSS
    ]
    gaps = [
        abs(train - e.dev_accuracy)
        for e in trial.curve
        if (train := train_accuracy(e)) is not None and e.dev_accuracy is not None
    ]
    if len(pairs) <= 1 or not gaps or max(gaps) > thresholds.ALIKE:
        return None
    ratios = [dev / train for train, dev in pairs]
    ratio = fmean(ratios)
    steady = max(ratios) - min(ratios) <= thresholds.LOSS_RATIO_SPREAD * ratio
    if not steady or not _is_off(ratio, trial):
        return None
    evidence: dict[str, Scalar] = {
        "ratio": ratio,
        "lowest_ratio": min(ratios),
        "highest_ratio": max(ratios),
        "train_loss": pairs[-1][0],
        "dev_loss": pairs[-1][1],
        "largest_gap": max(gaps),
        "epochs": len(pairs),
    }
    return Symptom("loss_scale", "warning", evidence, (Advice("loss", "check"),))


def _is_off(ratio: float, trial: DiagnosedTrial) -> bool:
    if ratio >= thresholds.LOSS_RATIO:
        return True
    # Dropout lifts the train loss alone, so the other way tells of nothing where it is high.
    dropout = trial.settings.get("dropout")
    high = isinstance(dropout, int | float) and dropout >= thresholds.HIGH_DROPOUT
    return ratio <= 1 / thresholds.LOSS_RATIO and not high


def label_range(trial: DiagnosedTrial, task: Task) -> Symptom | None:
    """A label is no class index: in dev, or by the word of the loss that refused it."""
    classes = task.classes
    low, high = task.lowest_label, task.highest_label
    if classes and low is not None and high is not None and not 0 <= low <= high < classes:
        return _out_of_range("dev", low, high, classes)
    for message in trial.messages:
        found = _OUT_OF_BOUNDS.search(message)
        if found and classes:
            label = int(found[1])
            return _out_of_range("train", min(label, 0), max(label, 0), classes)
    return None


def _out_of_range(split: str, low: int, high: int, classes: int) -> Symptom:
    evidence: dict[str, Scalar] = {
        "split": split,
        "lowest": low,
        "highest": high,
        "classes": classes,
        "last_class": classes - 1,
    }
    return Symptom("label_range", "error", evidence, (Advice("data", "check"),))


def same_seed(trials: Sequence[DiagnosedTrial]) -> Iterator[tuple[int, Symptom]]:
    """For each trial that begins with the losses of an earlier one: its number and what is found.

    Each group is held against its first trial.
    """
    references = _References()
    for trial in trials:
        if not trial.losses:
            continue
        reference = references.alike(trial)
        if reference is None:
            references.add(trial)
        else:
            yield trial.number, _parting(reference, trial)


class _References:
    """Trials by their first losses, in order: with thousands of them, a search must be short."""

    def __init__(self) -> None:
        self._count = 0
        self._by_step: dict[int, list[tuple[float, int, DiagnosedTrial]]] = {}

    def add(self, trial: DiagnosedTrial) -> None:
        step, loss = trial.losses[0]
        insort(self._by_step.setdefault(step, []), (loss, self._count, trial), key=itemgetter(0, 1))
        self._count += 1

    def alike(self, trial: DiagnosedTrial) -> DiagnosedTrial | None:
        """The first one added whose first loss is the trial's."""
        step, loss = trial.losses[0]
        known = self._by_step.get(step, [])
        place = bisect_left(known, loss, key=itemgetter(0))
        sides = (reversed(known[:place]), known[place:])
        near = [one for side in sides for one in takewhile(lambda one: _same(one[0], loss), side)]
        return min(near, key=itemgetter(1))[2] if near else None


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=thresholds.SAME_LOSS)


def _parting(reference: DiagnosedTrial, trial: DiagnosedTrial) -> Symptom:
    theirs = dict(reference.losses)
    common = [(step, loss, theirs[step]) for step, loss in trial.losses if step in theirs]
    parts_at = next((step for step, loss, other in common if not _same(loss, other)), None)
    alike = [step for step, *_ in common if parts_at is None or step < parts_at]
    evidence: dict[str, Scalar] = {
        "reference": reference.number + 1,
        "first_loss": common[0][1],
        "alike_until": alike[-1],
        "parts_at": parts_at,
    }
    compared = {step: pair for step, *pair in common if step in thresholds.COMPARED_STEPS}
    for step, (loss, other) in compared.items():
        evidence |= {f"loss_at_{step}": loss, f"reference_loss_at_{step}": other}
    return Symptom("same_seed", "info", evidence, (), "parted" if parts_at else "never")
