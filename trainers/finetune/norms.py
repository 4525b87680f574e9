"""What diagnoses need besides losses: norms by layer, and how the predictions are spread."""

import numpy as np
import torch

from trytable.trainers.data.tokens import Indices
from trytable.trainers.finetune.optimizer import parameter_blocks
from trytable.trainers.models.classifier import Classifier

EVERY_LOGGED = 5
"""Of so many logged steps one measures the layers; the first step always does."""

Norms = dict[str, float]
"""L2 norms by block: `embeddings`, `layer.3`, `head`."""

_CLIP_EPSILON = 1e-6
"""What torch.nn.utils.clip_grad_norm_ adds to the norm before it divides."""


class BlockNorms:
    """Measures what is trained of a model, block by block."""

    def __init__(self, model: Classifier) -> None:
        blocks = parameter_blocks(model)
        self._parameters = [(blocks[name], p) for name, p in model.named_parameters()]

    def is_due(self, step: int, log_every_steps: int) -> bool:
        """Whether a logged step measures the layers."""
        return step == 1 or step % (log_every_steps * EVERY_LOGGED) == 0

    def weights(self) -> Norms:
        """Norm of each block's weights."""
        return {
            block: float(torch.nn.utils.get_total_norm([p.detach() for p in parameters]))
            for block, parameters in self._trained().items()
        }

    def gradients(self, norm: float, max_norm: float) -> Norms:
        """Norm of each block's gradient before it was clipped; 0 for one without any.

        `norm` is the whole gradient's before clipping, `max_norm` what it was clipped to.
        """
        clipped = max(1.0, (norm + _CLIP_EPSILON) / max_norm)
        return {
            block: clipped * float(torch.nn.utils.get_total_norm(_gradients(parameters)))
            for block, parameters in self._trained().items()
        }

    def _trained(self) -> dict[str, list[torch.nn.Parameter]]:
        """What is trained now, by block: layers may thaw from epoch to epoch."""
        found: dict[str, list[torch.nn.Parameter]] = {}
        for block, parameter in self._parameters:
            if parameter.requires_grad:
                found.setdefault(block, []).append(parameter)
        return found


def _gradients(parameters: list[torch.nn.Parameter]) -> list[torch.Tensor]:
    return [p.grad for p in parameters if p.grad is not None]


def prediction_spread(predictions: Indices) -> dict[str, float]:
    """The class that most predictions, shape (sentences,), are of, and their share."""
    counts = np.bincount(predictions)
    return {
        "predicted_largest_class": float(counts.argmax()),
        "predicted_largest_share": float(counts.max() / counts.sum()),
    }
