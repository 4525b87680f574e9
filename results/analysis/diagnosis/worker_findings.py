"""What is added to the findings that a worker reports: an explanation, and advice.

A worker's message is its own, in English.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from trytable.records import Language
from trytable.results.analysis.diagnosis.symptoms.types import Advice


@dataclass(frozen=True)
class WorkerFinding:
    """Why a worker's finding matters, by language, and what to try next."""

    explanation: Mapping[Language, str]
    advice: tuple[Advice, ...] = ()


_NOT_APPLIED: Mapping[Language, str] = {
    "en": "The try was not trained with the settings in its row, so it cannot be compared.",
    "zh": "这次实验没有按表中所列的设置训练，不可比较。",
}

WORKER_FINDINGS: Mapping[str, WorkerFinding] = {
    "not_applied": WorkerFinding(_NOT_APPLIED),
    "mismatch": WorkerFinding(_NOT_APPLIED, (Advice("allow_mismatch", "check"),)),
    "not_observed": WorkerFinding(
        {
            "en": "A setting that was not observed may be right or wrong.",
            "zh": "未观察到的设置可能正确，也可能不正确。",
        }
    ),
    "parameters_in_no_group": WorkerFinding(
        {
            "en": "Parameters that the optimizer does not have keep their initial values.",
            "zh": "没有交给优化器的参数会一直保持初始值。",
        }
    ),
    "log_doubled_epoch": WorkerFinding(
        {
            "en": "If an epoch has two results, the first one counts: the log contains more than "
            "one run.",
            "zh": "同一轮有两个结果时只取第一个：日志中不止一次运行。",
        }
    ),
    "log_cut_number": WorkerFinding(
        {
            "en": "A truncated number is not the measured one.",
            "zh": "被截断的数字不是实测值。",
        }
    ),
    "oom_retry": WorkerFinding(
        {
            "en": "The same gradient from more, smaller micro-batches: slower, same result.",
            "zh": "同样的梯度由更多、更小的微批次累积而成：较慢，结果不变。",
        },
        (Advice("micro_batch_size", "lower"),),
    ),
    "patience": WorkerFinding(
        {
            "en": "This saved the epochs after the best one.",
            "zh": "省去了最佳轮之后的轮次。",
        }
    ),
}
"""By the finding's kind. A kind that Trytable diagnoses, too, has the explanation of that."""

WORKER_ADVICE: Mapping[str, tuple[Advice, ...]] = {
    "non_finite": (Advice("lr", "lower"), Advice("precision", "set", "fp32")),
    **{kind: finding.advice for kind, finding in WORKER_FINDINGS.items()},
}
"""The advice for each kind: a worker reports none itself."""
