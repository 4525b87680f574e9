"""Copies trained weights and the optimizer's state for checkpoints, and loads them again."""

import torch
from torch import Tensor, nn

from trytable.trainers.models.classifier import Classifier

Weights = dict[str, Tensor]


def trainable_parameters(model: Classifier) -> dict[str, nn.Parameter]:
    """Return the parameters that train in any epoch, by name."""
    return {name: p for name, p in model.named_parameters() if name in model.trained_names}


def copy_weights(model: Classifier) -> Weights:
    """Return CPU copies of all that training changes; the other weights are as pretrained.

    These are the trained weights and the running statistics of the head's batch norms.
    """
    return {name: tensor.detach().cpu().clone() for name, tensor in _changing(model).items()}


def _changing(model: Classifier) -> Weights:
    statistics = {f"head.{name}": tensor for name, tensor in model.head.named_buffers()}
    return {**trainable_parameters(model), **statistics}


@torch.no_grad()
def load_weights(model: Classifier, weights: Weights) -> None:
    """Load weights that `copy_weights` returned."""
    changing = _changing(model)
    for name, tensor in weights.items():
        changing[name].copy_(tensor)


def copy_moments(model: Classifier, optimizer: torch.optim.Optimizer) -> Weights:
    """Return CPU copies of AdamW's state: `NAME/step`, `NAME/exp_avg`, `NAME/exp_avg_sq`."""
    names = {id(p): name for name, p in trainable_parameters(model).items()}
    return {
        f"{names[id(p)]}/{key}": tensor.detach().cpu().clone()
        for p, state in optimizer.state.items()
        for key, tensor in state.items()
    }


def load_moments(model: Classifier, optimizer: torch.optim.Optimizer, moments: Weights) -> None:
    """Load AdamW's state that `copy_moments` returned."""
    parameters = trainable_parameters(model)
    for key, tensor in moments.items():
        name, _, part = key.rpartition("/")
        parameter = parameters[name]
        # Only a fused optimizer has its step count on the device; the others have it on the CPU.
        on_device = part != "step" or parameter.is_cuda
        optimizer.state[parameter][part] = tensor.to(parameter.device) if on_device else tensor
