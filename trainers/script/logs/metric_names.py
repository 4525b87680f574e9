"""What programs call their metrics, in one spelling: `val acc` and `eval_accuracy` alike.

Neither torch nor another module is imported here.
"""

import re
from functools import lru_cache

_SPLITS = {
    "train": "train",
    "training": "train",
    "tr": "train",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "eval": "dev",
    "evaluation": "dev",
    "test": "test",
}
_WORDS = {
    "acc": "accuracy",
    "ppl": "perplexity",
    "gradnorm": "grad_norm",
    "lr": "lr",
    "f1score": "f1",
    "runningloss": "running_loss",
}
_FILLERS = frozenset(
    ("final", "avg", "average", "mean", "overall", "current", "the", "is", "was", "of", "on", "at",
     "set")
)  # fmt: skip
_MEASURES = frozenset(
    ("loss", "accuracy", "f1", "precision", "recall", "auc", "auroc", "auprc", "perplexity", "bleu",
     "rouge", "rouge1", "rouge2", "rougel", "meteor", "mcc", "matthews", "pearson", "spearman",
     "pearsonr", "spearmanr", "mse", "rmse", "mae", "r2", "error", "wer", "cer", "mrr", "ndcg",
     "iou", "dice", "miou", "psnr", "ssim", "fid", "score", "reward", "nll", "bpc", "bpb", "lr")
)  # fmt: skip
"""A name that holds one of these words is a metric's even where nobody asked for it."""

_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[A-Z]")
LONGEST = 80
"""Characters of a name; longer ones are no names."""


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """The one spelling of a name: lower case, words joined by `_`, the split first.

    `train acc` is train_accuracy; `val_loss`, `eval_loss` and `dev loss` are dev_loss;
    `learning_rate` is lr; `F1 (macro)` is macro_f1. What is not known keeps its words.
    """
    words = [word for part in re.split(r"[^A-Za-z0-9]+", name[:LONGEST]) for word in _words(part)]
    words = [_WORDS.get(word, word) for word in words if word not in _FILLERS] or words
    if words[-2:] == ["learning", "rate"]:
        words[-2:] = ["lr"]
    split = next((_SPLITS[word] for word in words if word in _SPLITS), None)
    rest = [word for word in words if word not in _SPLITS]
    if "f1" in rest and "macro" in rest:
        rest = ["macro", "f1", *(word for word in rest if word not in ("macro", "f1", "score"))]
    if rest[-1:] == ["score"] and len(rest) > 1 and rest[-2] in _MEASURES:
        rest.pop()
    return "_".join([*([split] if split else []), *rest])


def _words(part: str) -> list[str]:
    """`valLoss` as val and loss, `rouge1` and `f1` whole."""
    lower = part.lower()
    if lower in _WORDS or lower in _MEASURES or part == lower:
        return [lower] if lower else []
    found = [piece.lower() for piece in _PIECE.findall(part)]
    joined: list[str] = []
    for word in found:
        if joined and word.isdigit() and joined[-1] + word in _MEASURES:
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def is_metric(name: str) -> bool:
    """Whether a name, in its one spelling, is known to be a metric's."""
    return name.endswith(("grad_norm", "gradient_norm")) or any(
        word in _MEASURES for word in name.split("_")
    )


def is_of_dev_or_test(name: str) -> bool:
    """Whether a name, in its one spelling, is measured on dev or test data."""
    return name.startswith(("dev_", "test_"))
