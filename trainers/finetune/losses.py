"""The loss that is minimised, and the plain cross-entropy that all trials report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trytable.records import Refused
from trytable.trainers.data.tokens import Indices
from trytable.trainers.protocol.messages import FinetuneSettings


@dataclass(frozen=True)
class Criterion:
    """Computes the loss of each sentence, in nats.

    Class weights multiply a sentence's loss by its class's weight. Label smoothing gives every
    class a share of the target (Szegedy et al. 2016). Focal gamma scales by (1 - p) ** gamma,
    where p is the probability of the gold class (Lin et al. 2017, equation 4). A batch's loss is
    the sum over its sentences divided by their number, not by their weights: this way
    micro-batches of any size add up to the same gradient.
    """

    weights: Tensor | None
    label_smoothing: float
    focal_gamma: float

    def __call__(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss to minimise and the plain cross-entropy, both of shape (sentences,)."""
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
    """Build a job's criterion; `labels`, shape (sentences,), are the training labels.

    Raises Refused.
    """
    weights = class_weights(settings.class_weights, labels, classes)
    tensor = None if weights is None else torch.tensor(weights, dtype=torch.float32, device=device)
    return Criterion(tensor, settings.label_smoothing, settings.focal_gamma)


def class_weights(
    setting: Literal["none", "balanced"] | Sequence[float], labels: Indices, classes: int
) -> list[float] | None:
    """Return one weight per class, or None.

    `balanced` is N / (C n_c) (King and Zeng 2001), whose mean over the sentences is 1. Raises
    Refused if the number of weights is not that of the classes.
    """
    if setting == "none":
        return None
    if setting == "balanced":
        counts = np.maximum(np.bincount(labels, minlength=classes), 1)
        return [float(weight) for weight in len(labels) / (classes * counts)]
    weights = [float(weight) for weight in setting]
    if len(weights) != classes:
        raise Refused(
            f"class_weights has {len(weights)} numbers, but the data have {classes} classes. "
            "Allowed: one number per class, none, balanced."
        )
    return weights
