"""Trained weights and the optimizer's memory, on their way to a checkpoint and back."""

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def weights_of(model: nn.Module) -> Weights:
    """Copies of the trained weights on the CPU; the frozen ones are the pretrained ones."""
    return {name: p.detach().cpu().clone() for name, p in trainable(model).items()}


@torch.no_grad()
def load_weights(model: nn.Module, weights: Weights) -> None:
    """Put trained weights back."""
    parameters = trainable(model)
    for name, tensor in weights.items():
        parameters[name].copy_(tensor)


def moments_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> Weights:
    """AdamW's state, flat: `NAME/step`, `NAME/exp_avg`, `NAME/exp_avg_sq`."""
    names = {id(p): name for name, p in trainable(model).items()}
    return {
        f"{names[id(p)]}/{key}": tensor.detach().cpu().clone()
        for p, state in optimizer.state.items()
        for key, tensor in state.items()
    }


def load_moments(model: nn.Module, optimizer: torch.optim.Optimizer, moments: Weights) -> None:
    """Put AdamW's state back."""
    parameters = trainable(model)
    for key, tensor in moments.items():
        name, _, part = key.rpartition("/")
        parameter = parameters[name]
        # The count of steps stays where the optimizer makes it; fused ones keep it on device.
        on_device = part != "step" or parameter.is_cuda
        optimizer.state[parameter][part] = tensor.to(parameter.device) if on_device else tensor
