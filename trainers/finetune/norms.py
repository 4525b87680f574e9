"""Norms of weights and gradients by block, which the diagnoses of dead layers need."""

import torch

from trytable.trainers.finetune.optimizer import parameter_blocks
from trytable.trainers.models.classifier import Classifier

LOGGED_STEPS = 5
"""Norms are measured at the first step and then at every fifth logged one: each measurement reads
all weights and gradients."""

Norms = dict[str, float]
"""L2 norms by block: `embeddings`, `layer.3`, `head`."""

_CLIP_EPSILON = 1e-6
"""The constant that torch.nn.utils.clip_grad_norm_ adds to the norm before it divides."""


class BlockNorms:
    """Measures the trained weights of a model, block by block."""

    def __init__(self, model: Classifier) -> None:
        blocks = parameter_blocks(model)
        self._parameters = [(blocks[name], p) for name, p in model.named_parameters()]

    def is_due(self, step: int, log_every_steps: int) -> bool:
        """Whether to measure at this logged step."""
        return step == 1 or step % (log_every_steps * LOGGED_STEPS) == 0

    def weights(self) -> Norms:
        """Return the norm of each block's weights."""
        return {
            block: float(torch.nn.utils.get_total_norm([p.detach() for p in parameters]))
            for block, parameters in self._trained_blocks().items()
        }

    def gradients(self, norm: float, max_norm: float) -> Norms:
        """Return the norm of each block's gradient before clipping; 0 for a block without one.

        `norm` is the norm of the whole gradient before clipping, `max_norm` the limit.
        """
        clipped = max(1.0, (norm + _CLIP_EPSILON) / max_norm)
        return {
            block: clipped * float(torch.nn.utils.get_total_norm(_gradients(parameters)))
            for block, parameters in self._trained_blocks().items()
        }

    def _trained_blocks(self) -> dict[str, list[torch.nn.Parameter]]:
        """Return what is trained now, by block: an epoch may unfreeze layers."""
        blocks: dict[str, list[torch.nn.Parameter]] = {}
        for block, parameter in self._parameters:
            if parameter.requires_grad:
                blocks.setdefault(block, []).append(parameter)
        return blocks


def _gradients(parameters: list[torch.nn.Parameter]) -> list[torch.Tensor]:
    return [p.grad for p in parameters if p.grad is not None]
