"""Whether the splits share texts: leak."""

from trytable.records import Scalar
from trytable.results.analysis.diagnosis.symptoms import thresholds
from trytable.results.analysis.diagnosis.symptoms.trial import DiagnosisKind, Task, Wording
from trytable.results.analysis.diagnosis.symptoms.types import Advice, Symptom


def leak(task: Task) -> Symptom | None:
    """More than 1 % of a split's texts are in another split, too; reports the largest share."""
    shares = [(count.shared / count.size, count) for count in task.leaks]
    share, worst = max(shares, key=lambda pair: pair[0], default=(0.0, None))
    if worst is None or share <= thresholds.LEAK_SHARE:
        return None
    evidence: dict[str, Scalar] = {
        "split": worst.split,
        "other": worst.other,
        "size": worst.size,
        "shared": worst.shared,
        "share": share,
        "other_label": worst.other_label,
    }
    return Symptom("leak", "warning", evidence, (Advice("data", "check"),))


_ENGLISH = {
    "": Wording(
        "{shared} of {size} {split} texts ({share:.1%}) are also in {other}, {other_label} of them "
        "with another label",
        "The model has seen these texts before it is tested on them, so the accuracy is too high.",
    )
}
_CHINESE = {
    "": Wording(
        "{split} 的 {size} 条文本中有 {shared} 条（{share:.1%}）也在 {other} 中，其中 "
        "{other_label} 条标签不同",
        "模型在评测之前已见过这些文本，准确率因此偏高。",
    )
}

LEAK = DiagnosisKind(
    "leak",
    severities=("warning",),
    wordings={"en": _ENGLISH, "zh": _CHINESE},
    check=lambda case: leak(case.task),
)
