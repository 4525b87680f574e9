"""Whether the numbers are plausible: loss_scale, label_range and same_seed."""

import math
import re
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from operator import itemgetter
from statistics import fmean
from typing import Any

from trytable.records import Language, Scalar
from trytable.results.analysis.diagnosis.symptoms import thresholds
from trytable.results.analysis.diagnosis.symptoms.trial import (
    DiagnosedTrial,
    DiagnosisKind,
    Task,
    Wording,
    train_accuracy,
)
from trytable.results.analysis.diagnosis.symptoms.types import Advice, Symptom

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


_SEED = "The first losses are equal because the seeds are, not because a parameter is ignored."
_SEED_ZH = "开头的损失相同是因为随机种子相同，并不表示参数没有生效。"
_LOSS_SCALE_ENGLISH = {
    "": Wording(
        "dev loss is {ratio:.2f} times train loss in {epochs} epochs ({dev_loss:.4g} and "
        "{train_loss:.4g}), although accuracies differ by at most {largest_gap:.3f}",
        "Losses that are averaged over different units are not comparable.",
    ),
}
_LOSS_SCALE_CHINESE = {
    "": Wording(
        "{epochs} 轮中验证损失都是训练损失的 {ratio:.2f} 倍（{dev_loss:.4g} 与 {train_loss:.4g}），"
        "而准确率最多相差 {largest_gap:.3f}",
        "按不同单位取平均的损失不可比较。",
    ),
}
_LABEL_RANGE_ENGLISH = {
    "": Wording(
        "{split} labels range from {lowest} to {highest}; allowed are 0 to {last_class}",
        "A label outside the classes makes the loss meaningless, or ends the training.",
    ),
}
_LABEL_RANGE_CHINESE = {
    "": Wording(
        "{split} 标签范围为 {lowest} 到 {highest}，允许范围为 0 到 {last_class}",
        "标签超出类别范围会使损失失去意义，或使训练中断。",
    ),
}
_SAME_SEED_ENGLISH = {
    "differs": Wording(
        "its losses equal those of Try {reference} up to step {alike_until} and differ by step "
        "{parts_at}{compared}",
        _SEED,
    ),
    "identical": Wording(
        "its losses equal those of Try {reference} at all common steps, up to step {alike_until}",
        _SEED + " If they never differ, the varied parameter has no effect.",
    ),
}
_SAME_SEED_CHINESE = {
    "differs": Wording(
        "到第 {alike_until} 步为止损失与 Try {reference} 完全相同，第 {parts_at} 步时已不同"
        "{compared}",
        _SEED_ZH,
    ),
    "identical": Wording(
        "在所有共同的步上损失都与 Try {reference} 相同，直到第 {alike_until} 步",
        _SEED_ZH + "如果始终相同，说明所改参数没有效果。",
    ),
}

_COMPARED: dict[Language, str] = {
    "en": "; at step {step}: {loss:.4f} and {other:.4f}",
    "zh": "；第 {step} 步分别为 {loss:.4f} 和 {other:.4f}",
}


def _compared_losses(evidence: Mapping[str, Any], language: Language) -> dict[str, str]:
    texts = [
        _COMPARED[language].format(
            step=step, loss=evidence[f"loss_at_{step}"], other=evidence[f"reference_loss_at_{step}"]
        )
        for step in thresholds.COMPARED_STEPS
        if f"loss_at_{step}" in evidence
    ]
    return {"compared": "".join(texts)}


LOSS_SCALE = DiagnosisKind(
    "loss_scale",
    severities=("warning",),
    wordings={"en": _LOSS_SCALE_ENGLISH, "zh": _LOSS_SCALE_CHINESE},
    check=lambda case: loss_scale(case.trial),
)

LABEL_RANGE = DiagnosisKind(
    "label_range",
    severities=("error",),
    wordings={"en": _LABEL_RANGE_ENGLISH, "zh": _LABEL_RANGE_CHINESE},
    check=lambda case: label_range(case.trial, case.task),
)

SAME_SEED = DiagnosisKind(
    "same_seed",
    severities=("info",),
    wordings={"en": _SAME_SEED_ENGLISH, "zh": _SAME_SEED_CHINESE},
    check_study=same_seed,
    words=_compared_losses,
)
