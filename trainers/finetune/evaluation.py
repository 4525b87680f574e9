"""Accuracy and loss of a split, in evaluation mode."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from trytable.records import UNLABELLED
from trytable.trainers.data.batches import Collator, batches_in_order
from trytable.trainers.data.tokens import Indices, TokenSplit
from trytable.trainers.finetune import memory
from trytable.trainers.models.precision import Precision, autocast


def macro_f1(gold: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> float:
    """The mean over classes of 2 TP / (2 TP + FP + FN) (van Rijsbergen 1979).

    Both have shape (sentences,). A class that is neither there nor predicted is left out.
    """
    scores = []
    for one in range(classes):
        both = np.sum((gold == one) & (predicted == one))
        either = np.sum(gold == one) + np.sum(predicted == one)
        if either:
            scores.append(2 * both / either)
    return float(np.mean(scores)) if scores else 0.0


EVALUATION_BATCH_SIZE = 64
"""Sentences at once: enough to fill the hardware, and no knob changes a result."""


@dataclass(frozen=True)
class Evaluation:
    """Plain cross-entropy in nats a labelled sentence, and predictions in the file's order."""

    loss: float
    predictions: Indices
    accuracy: float


class Evaluator:
    """Evaluates a model.

    Args:
        check_stop: called before every batch; may raise.
        may_halve: whether fewer sentences are taken at once where memory runs out.
    """

    def __init__(
        self,
        model: nn.Module,
        collator: Collator,
        precision: Precision,
        check_stop: Callable[[], None],
        may_halve: bool = True,
    ) -> None:
        self._model = model
        self._collator = collator
        self._precision = precision
        self._check_stop = check_stop
        self._may_halve = may_halve
        self._size = EVALUATION_BATCH_SIZE

    def evaluate(self, split: TokenSplit) -> Evaluation:
        """Evaluate a split, with fewer sentences at once where memory runs out.

        Raises torch.OutOfMemoryError where nothing may be halved, or not even one sentence fits.
        """
        self._model.eval()
        while True:
            try:
                return self._evaluate(split)
            except RuntimeError as error:
                if not memory.is_oom(error):
                    raise
                if not self._may_halve or self._size == 1:
                    raise torch.OutOfMemoryError(str(error)) from error
                self._size = math.ceil(self._size / 2)

    @torch.inference_mode()
    def _evaluate(self, split: TokenSplit) -> Evaluation:
        predictions = np.zeros(len(split), dtype=np.int64)
        loss_sum = 0.0
        for indices in batches_in_order(split.lengths, self._size):
            self._check_stop()
            batch, labels = self._collator.collate(split, indices)
            with autocast(self._precision, self._collator.device):
                logits = self._model(batch).float()
            predictions[indices] = logits.argmax(1).cpu().numpy()
            loss_sum += functional.cross_entropy(
                logits, labels, ignore_index=UNLABELLED, reduction="sum"
            ).item()
        gold = np.asarray(split.labels)
        labelled = max(int((gold != UNLABELLED).sum()), 1)
        right = int((predictions == gold).sum())
        return Evaluation(loss_sum / labelled, predictions, right / labelled)
