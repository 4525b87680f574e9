"""Evaluation of a split: loss, accuracy, macro-F1, and how the predictions are spread."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from trytable.records import UNLABELLED
from trytable.trainers.data.batches import batches_in_order
from trytable.trainers.data.tokens import Indices, TokenSplit
from trytable.trainers.finetune import memory
from trytable.trainers.models.classifier import Predictor
from trytable.trainers.seeding import draw_seed

EVALUATION_BATCH_SIZE = 64
"""Sentences at once: enough to use the hardware well. A constant, so that no knob changes a
result by its batch size."""


@dataclass(frozen=True)
class Evaluation:
    """The result for one split.

    `loss` is the mean cross-entropy per labelled sentence in nats. `predictions` are class
    indices in file order, shape (sentences,). `accuracy` is the share of right predictions.
    """

    loss: float
    predictions: Indices
    accuracy: float


@dataclass
class Evaluator:
    """Evaluates a model; halves the batch if memory runs out and `may_halve` is set."""

    predictor: Predictor
    may_halve: bool
    batch_size: int = EVALUATION_BATCH_SIZE

    def evaluate(self, split: TokenSplit) -> Evaluation:
        """Evaluate a split.

        Raises torch.OutOfMemoryError if the batch must not be halved or is a single sentence.
        """
        while True:
            try:
                return self._evaluate(split)
            except RuntimeError as error:
                if not memory.is_oom(error):
                    raise
                if not self.may_halve or self.batch_size == 1:
                    raise torch.OutOfMemoryError(str(error)) from error
                self.batch_size = math.ceil(self.batch_size / 2)

    @torch.inference_mode()
    def _evaluate(self, split: TokenSplit) -> Evaluation:
        predictions = np.zeros(len(split), dtype=np.int64)
        loss_sum = 0.0
        for indices in batches_in_order(split.lengths, self.batch_size):
            self.predictor.check_stop()
            logits, labels = self.predictor.predict(split, indices)
            predictions[indices] = logits.argmax(1).cpu().numpy()
            loss_sum += functional.cross_entropy(
                logits, labels, ignore_index=UNLABELLED, reduction="sum"
            ).item()
        gold = np.asarray(split.labels)
        labelled = max(int((gold != UNLABELLED).sum()), 1)
        correct = int((predictions == gold).sum())
        return Evaluation(loss_sum / labelled, predictions, correct / labelled)


def probe_split(split: TokenSplit, size: int, seed: int) -> TokenSplit:
    """Return the train sentences on which train accuracy is measured, the probe.

    They depend on the seed alone, so they are the same in every epoch and trial.
    """
    generator = np.random.default_rng(draw_seed(seed, "probe"))
    size = min(size, len(split))
    return split.take(np.sort(generator.choice(len(split), size, replace=False)))


def macro_f1(gold: Indices, predicted: Indices, classes: int) -> float:
    """Return the mean over classes of 2 TP / (2 TP + FP + FN) (van Rijsbergen 1979).

    Both arrays have shape (sentences,). A class that is neither in the gold labels nor predicted
    is left out.
    """
    scores = []
    for index in range(classes):
        true_positives = np.sum((gold == index) & (predicted == index))
        total = np.sum(gold == index) + np.sum(predicted == index)
        if total:
            scores.append(2 * true_positives / total)
    return float(np.mean(scores)) if scores else 0.0


def prediction_spread(predictions: Indices) -> dict[str, float]:
    """Return the most frequent class of predictions, shape (sentences,), and its share."""
    counts = np.bincount(predictions)
    return {
        "predicted_largest_class": float(counts.argmax()),
        "predicted_largest_share": float(counts.max() / counts.sum()),
    }
