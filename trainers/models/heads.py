"""Classification heads: one linear layer, or several with batch norm between them."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from trytable.trainers.protocol.messages import FinetuneSettings

HEAD_STD = 0.02
"""Standard deviation of the initial weights, as in BERT (Devlin et al. 2018)."""


class MlpHead(nn.Sequential):
    """Linear, batch norm, ReLU and dropout for every hidden width, then a linear layer.

    Batch norm comes before the nonlinearity (Ioffe and Szegedy 2015). Its statistics are those of
    one micro-batch.
    """

    def forward(self, vectors: Tensor) -> Tensor:
        """Compute logits, shape (sentences, classes), of vectors, shape (sentences, width)."""
        for layer in self:
            if isinstance(layer, nn.BatchNorm1d) and len(vectors) == 1:
                # One sentence has no variance, so the running statistics take its place.
                vectors = _normalise_as_in_evaluation(layer, vectors)
            else:
                vectors = layer(vectors)
        return vectors


def _normalise_as_in_evaluation(norm: nn.BatchNorm1d, vectors: Tensor) -> Tensor:
    mean, variance = norm.running_mean, norm.running_var
    return functional.batch_norm(vectors, mean, variance, norm.weight, norm.bias, eps=norm.eps)


def make_head(
    settings: FinetuneSettings, width: int, classes: int, generator: torch.Generator
) -> nn.Module:
    """Build a head for vectors of this width, with weights drawn from the generator."""
    if settings.head == "linear":
        head: nn.Module = nn.Linear(width, classes)
    else:
        widths = hidden_widths(settings)
        head = MlpHead(*_hidden(settings, [width, *widths]), nn.Linear(widths[-1], classes))
    for module in head.modules():
        if isinstance(module, nn.Linear):
            with torch.no_grad():
                module.weight.normal_(0.0, HEAD_STD, generator=generator)
                module.bias.zero_()
    return head


def hidden_widths(settings: FinetuneSettings) -> list[int]:
    """Return the units of the hidden layers, lowest first; empty for a linear head."""
    if settings.head == "linear":
        return []
    return [int(width) for width in str(settings.head_widths).split("-")]


def _hidden(settings: FinetuneSettings, widths: list[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for below, above in pairwise(widths):
        layers.append(nn.Linear(below, above))
        if settings.head_batch_norm:
            layers.append(nn.BatchNorm1d(above))
        layers += [nn.ReLU(), nn.Dropout(settings.dropout)]
    return layers
