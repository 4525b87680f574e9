"""Trained weights and the optimizer's memory, on their way to a checkpoint and back."""

import torch
from torch import Tensor, nn

from trytable.trainers.models.classifier import Classifier

Weights = dict[str, Tensor]


def trainable_parameters(model: Classifier) -> dict[str, nn.Parameter]:
    """The parameters that some epoch trains, by name."""
    return {name: p for name, p in model.named_parameters() if name in model.trained_names}


def copy_weights(model: Classifier) -> Weights:
    """Copies of what training changes, on the CPU; the rest is as pretrained.

    That is the trained weights, and what the head's batch norms have counted.
    """
    return {name: one.detach().cpu().clone() for name, one in _changing(model).items()}


def _changing(model: Classifier) -> Weights:
    counted = {f"head.{name}": one for name, one in model.head.named_buffers()}
    return {**trainable_parameters(model), **counted}


@torch.no_grad()
def load_weights(model: Classifier, weights: Weights) -> None:
    """Put trained weights back."""
    changing = _changing(model)
    for name, tensor in weights.items():
        changing[name].copy_(tensor)


def copy_moments(model: Classifier, optimizer: torch.optim.Optimizer) -> Weights:
    """AdamW's state, flat: `NAME/step`, `NAME/exp_avg`, `NAME/exp_avg_sq`."""
    names = {id(p): name for name, p in trainable_parameters(model).items()}
    return {
        f"{names[id(p)]}/{key}": tensor.detach().cpu().clone()
        for p, state in optimizer.state.items()
        for key, tensor in state.items()
    }


def load_moments(model: Classifier, optimizer: torch.optim.Optimizer, moments: Weights) -> None:
    """Put AdamW's state back."""
    parameters = trainable_parameters(model)
    for key, tensor in moments.items():
        name, _, part = key.rpartition("/")
        parameter = parameters[name]
        # The count of steps stays where the optimizer makes it; fused ones keep it on device.
        on_device = part != "step" or parameter.is_cuda
        optimizer.state[parameter][part] = tensor.to(parameter.device) if on_device else tensor
