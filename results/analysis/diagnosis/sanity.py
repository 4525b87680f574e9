"""Whether the numbers are plausible: loss_scale, label_range and same_seed."""

import math
import re
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from itertools import takewhile
from operator import itemgetter
from statistics import fmean

from trytable.records import Scalar
from trytable.results.analysis.diagnosis import thresholds
from trytable.results.analysis.diagnosis.trial import DiagnosedTrial, Task, train_accuracy
from trytable.results.analysis.diagnosis.types import Advice, Symptom

_OUT_OF_BOUNDS = re.compile(r"Target (-?\d+) is out of bounds")
"""What torch's cross_entropy raises for a label that is not a class index."""


def loss_scale(trial: DiagnosedTrial) -> Symptom | None:
    """Train and dev loss differ by a constant factor, though the accuracies agree."""
    pairs = [
        (e.train_loss, e.dev_loss)
        for e in trial.curve
        if e.train_loss is not None
        and e.dev_loss is not None
        and min(e.train_loss, e.dev_loss) > thresholds.MIN_LOSS
    ]
    gaps = [
        abs(train - e.dev_accuracy)
        for e in trial.curve
        if (train := train_accuracy(e)) is not None and e.dev_accuracy is not None
    ]
    if len(pairs) <= 1 or not gaps or max(gaps) > thresholds.ACCURACY_AGREEMENT:
        return None
    ratios = [dev / train for train, dev in pairs]
    ratio = fmean(ratios)
    is_constant = max(ratios) - min(ratios) <= thresholds.LOSS_RATIO_SPREAD * ratio
    if not is_constant or not _is_suspicious(ratio, trial):
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


def _is_suspicious(ratio: float, trial: DiagnosedTrial) -> bool:
    if ratio >= thresholds.LOSS_RATIO:
        return True
    # Dropout raises only the train loss, so high dropout explains a low ratio.
    dropout = trial.settings.get("dropout")
    is_high = isinstance(dropout, int | float) and dropout >= thresholds.HIGH_DROPOUT
    return ratio <= 1 / thresholds.LOSS_RATIO and not is_high


def label_range(trial: DiagnosedTrial, task: Task) -> Symptom | None:
    """A label is not a class index: in dev, or in train by the error of the loss function."""
    classes = task.classes
    low, high = task.lowest_label, task.highest_label
    if classes and low is not None and high is not None and not 0 <= low <= high < classes:
        return _out_of_range("dev", low, high, classes)
    for message in trial.messages:
        match = _OUT_OF_BOUNDS.search(message)
        if match and classes:
            label = int(match[1])
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
    """The number and the symptom of each trial whose first loss is that of an earlier trial.

    Each trial is compared with the first one of its group.
    """
    references = _References()
    for trial in trials:
        if not trial.losses:
            continue
        reference = references.find(trial)
        if reference is None:
            references.add(trial)
        else:
            yield trial.number, _same_seed_symptom(reference, trial)


class _References:
    """Trials sorted by their first loss, since thousands of them need a fast search."""

    def __init__(self) -> None:
        self._count = 0
        self._by_step: dict[int, list[tuple[float, int, DiagnosedTrial]]] = {}

    def add(self, trial: DiagnosedTrial) -> None:
        step, loss = trial.losses[0]
        insort(self._by_step.setdefault(step, []), (loss, self._count, trial), key=itemgetter(0, 1))
        self._count += 1

    def find(self, trial: DiagnosedTrial) -> DiagnosedTrial | None:
        """The earliest added trial with the same first loss."""
        step, loss = trial.losses[0]
        entries = self._by_step.get(step, [])
        place = bisect_left(entries, loss, key=itemgetter(0))
        matches = [
            entry
            for side in (reversed(entries[:place]), entries[place:])
            for entry in takewhile(lambda entry: _is_same_loss(entry[0], loss), side)
        ]
        return min(matches, key=itemgetter(1))[2] if matches else None


def _is_same_loss(loss: float, other: float) -> bool:
    return math.isclose(loss, other, rel_tol=thresholds.SAME_LOSS)


def _same_seed_symptom(reference: DiagnosedTrial, trial: DiagnosedTrial) -> Symptom:
    reference_losses = dict(reference.losses)
    common = [
        (step, loss, reference_losses[step])
        for step, loss in trial.losses
        if step in reference_losses
    ]
    parts_at = next((step for step, loss, other in common if not _is_same_loss(loss, other)), None)
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
    return Symptom("same_seed", "info", evidence, (), "differs" if parts_at else "identical")
