"""Metric names as programs print them, in one canonical form: `val acc` and `eval_accuracy` alike.

This module imports the standard library alone, and nothing that needs torch.
"""

import re
from functools import lru_cache

MAX_NAME_LENGTH = 80
"""Characters of a metric's name. What is longer is prose, not a name."""

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
_ABBREVIATIONS = {
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
"""A name that has one of these words is a metric's, even if the user did not ask for it."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[A-Z]")


@lru_cache(maxsize=4096)
def canonical_name(name: str) -> str:
    """Return the canonical form of a name: lower case, words joined by `_`, the split first.

    `train acc` becomes train_accuracy; `val_loss`, `eval_loss` and `dev loss` become dev_loss;
    `learning_rate` becomes lr; `F1 (macro)` becomes macro_f1. Unknown words stay as they are.
    """
    parts = re.split(r"[^A-Za-z0-9]+", name[:MAX_NAME_LENGTH])
    words = [word for part in parts for word in _words_of(part)]
    words = [_ABBREVIATIONS.get(word, word) for word in words if word not in _FILLERS] or words
    if words[-2:] == ["learning", "rate"]:
        words[-2:] = ["lr"]
    split = next((_SPLITS[word] for word in words if word in _SPLITS), None)
    measure = [word for word in words if word not in _SPLITS]
    if "f1" in measure and "macro" in measure:
        measure = ["macro", "f1", *(w for w in measure if w not in ("macro", "f1", "score"))]
    if measure[-1:] == ["score"] and len(measure) > 1 and measure[-2] in _MEASURES:
        measure.pop()
    return "_".join([*([split] if split else []), *measure])


def _words_of(part: str) -> list[str]:
    """Split camel case: `valLoss` into val and loss. `rouge1` and `f1` stay whole."""
    lower = part.lower()
    if lower in _ABBREVIATIONS or lower in _MEASURES or part == lower:
        return [lower] if lower else []
    words: list[str] = []
    for word in map(str.lower, _WORD.findall(part)):
        if words and word.isdigit() and words[-1] + word in _MEASURES:
            words[-1] += word
        else:
            words.append(word)
    return words


def is_metric_name(name: str) -> bool:
    """Return whether a canonical name is known to be a metric's."""
    return name.endswith(("grad_norm", "gradient_norm")) or any(
        word in _MEASURES for word in name.split("_")
    )


def is_evaluation_metric(name: str) -> bool:
    """Return whether a metric, by its canonical name, is measured on dev or test data."""
    return name.startswith(("dev_", "test_"))
