"""Whether numbers can be what they claim to be: loss_scale and label_range."""

import re
from statistics import fmean

from results.diagnosis import limits
from results.diagnosis.records import Advice, Found, Scalar, Task, Trial, train_accuracy

_OUT_OF_BOUNDS = re.compile(r"Target (-?\d+) is out of bounds")
"""torch's cross_entropy, of a label that is no class index."""


def loss_scale(trial: Trial) -> Found | None:
    """Train and dev loss differ by a steady factor though the accuracies are alike."""
    pairs = [
        (e.train_loss, e.dev_loss)
        for e in trial.curve
        if e.train_loss is not None
        and e.dev_loss is not None
        and min(e.train_loss, e.dev_loss) > limits.LEAST_LOSS
    ]
    gaps = [
        abs(train - e.dev_accuracy)
        for e in trial.curve
        if (train := train_accuracy(e)) is not None and e.dev_accuracy is not None
    ]
    if len(pairs) <= 1 or not gaps or max(gaps) > limits.ALIKE:
        return None
    ratios = [dev / train for train, dev in pairs]
    ratio = fmean(ratios)
    steady = max(ratios) - min(ratios) <= limits.LOSS_RATIO_SPREAD * ratio
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
    return Found("loss_scale", "warning", evidence, (Advice("loss", "check"),))


def _is_off(ratio: float, trial: Trial) -> bool:
    if ratio >= limits.LOSS_RATIO:
        return True
    # Dropout lifts the train loss alone, so the other way tells of nothing where it is high.
    dropout = trial.settings.get("dropout")
    high = isinstance(dropout, int | float) and dropout >= limits.HIGH_DROPOUT
    return ratio <= 1 / limits.LOSS_RATIO and not high


def label_range(trial: Trial, task: Task) -> Found | None:
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


def _out_of_range(split: str, low: int, high: int, classes: int) -> Found:
    evidence: dict[str, Scalar] = {
        "split": split,
        "lowest": low,
        "highest": high,
        "classes": classes,
        "last_class": classes - 1,
    }
    return Found("label_range", "error", evidence, (Advice("data", "check"),))
