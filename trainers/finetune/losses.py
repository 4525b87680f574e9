"""What is minimised, and the plain cross-entropy beside it, which all trials share."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trytable.trainers.data.tokens import Indices
from trytable.trainers.protocol.messages import FinetuneSettings, Refused


class Criterion:
    """Loss of each sentence, in nats.

    Class weights multiply a sentence's loss by its class's weight; label smoothing gives every
    class its share of the target (Szegedy et al. 2016); focal gamma scales by (1 - p) ** gamma, p
    being the probability of the gold class (Lin et al. 2017, equation 4). A batch's loss is the
    sum over its sentences by their number, never by their weights, so that batches of any size and
    micro-batches of any split add up to the same gradient.
    """

    def __init__(self, weights: Tensor | None, label_smoothing: float, focal_gamma: float) -> None:
        self.weights = weights
        self.label_smoothing = label_smoothing
        self.focal_gamma = focal_gamma

    def __call__(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What is minimised, and the plain cross-entropy; both have shape (sentences,)."""
        plain = functional.cross_entropy(logits, labels, reduction="none")
        if self.weights is None and not self.label_smoothing and not self.focal_gamma:
            return plain, plain
        minimised = functional.cross_entropy(
            logits,
            labels,
            weight=self.weights,
            label_smoothing=self.label_smoothing,
            reduction="none",
        )
        if self.focal_gamma:
            minimised = minimised * (1 - torch.exp(-plain)) ** self.focal_gamma
        return minimised, plain.detach()


def make_criterion(
    settings: FinetuneSettings, labels: Indices, classes: int, device: torch.device
) -> Criterion:
    """The criterion of a job, whose training labels have shape (sentences,). Raises Refused."""
    weights = class_weights(settings.class_weights, labels, classes)
    tensor = None if weights is None else torch.tensor(weights, dtype=torch.float32, device=device)
    return Criterion(tensor, settings.label_smoothing, settings.focal_gamma)


def class_weights(
    asked: Literal["none", "balanced"] | Sequence[float], labels: Indices, classes: int
) -> list[float] | None:
    """A weight a class; `balanced` is N / (C n_c) (King and Zeng 2001), whose mean over sentences
    is 1.

    Raises Refused where weights are given for another number of classes.
    """
    if asked == "none":
        return None
    if asked == "balanced":
        counts = np.maximum(np.bincount(labels, minlength=classes), 1)
        return [float(one) for one in len(labels) / (classes * counts)]
    given = [float(one) for one in asked]
    if len(given) != classes:
        raise Refused(
            f"class_weights has {len(given)} numbers, and the data have {classes} classes. "
            "Allowed: one number a class, none, balanced."
        )
    return given
