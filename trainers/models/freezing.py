"""Which weights stay as pretrained, and from which epoch on they no longer do."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from trytable.trainers.models.backbone import embedding_modules, transformer_layers
from trytable.trainers.protocol.messages import FinetuneSettings, Refused

SHARES = ("none", "embed", "half", "full")


def frozen_layer_count(freeze: str | int, layers: int) -> int | None:
    """How many layers stay as pretrained, beside the embeddings; None: not even those.

    Shares round down: `half` of 7 layers is 3, `full` (three quarters) of 6 layers is 4. Raises
    Refused for more layers than there are.
    """
    shares = {"embed": 0, "half": layers // 2, "full": layers * 3 // 4}
    if freeze == "none":
        return None
    number = freeze if isinstance(freeze, int) else shares[freeze]
    if number > layers:
        raise Refused(f"freeze {number}: the model has {layers} layers. Allowed: 0 to {layers}.")
    return number


@dataclass(frozen=True)
class FrozenParts:
    """What stays as pretrained: whole modules, and single weights of others."""

    modules: Sequence[nn.Module] = ()
    weights: Sequence[nn.Parameter] = ()


def frozen_parts(backbone: nn.Module, settings: FinetuneSettings, epoch: int) -> FrozenParts:
    """What stays as pretrained in an epoch, counted from 1.

    With gradual unfreezing (Howard and Ruder 2018) every epoch after the first sets so many more
    layers free, from the top; the embeddings follow the lowest. Raises Refused for layers or names
    that the model does not have.
    """
    freeze = settings.freeze
    if freeze == "none":
        return FrozenParts()
    if uses_patterns(freeze):
        return _matching(backbone, str(freeze).split())
    layers = transformer_layers(backbone)
    number = frozen_layer_count(freeze, len(layers)) or 0
    blocks = [nn.ModuleList(embedding_modules(backbone)), *layers[:number]]
    free = settings.unfreeze_layers_per_epoch * (epoch - 1)
    return FrozenParts(blocks[: max(0, len(blocks) - free)])


def uses_patterns(freeze: str | int) -> bool:
    """Whether what is to be frozen is said by names."""
    return isinstance(freeze, str) and freeze not in SHARES


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a weight's name fits one of the patterns, in which * stands for any letters."""
    return any(fnmatchcase(name, one) for one in patterns)


def _matching(backbone: nn.Module, patterns: Sequence[str]) -> FrozenParts:
    """The largest modules whose weights all match, and the weights that match elsewhere."""
    weights = dict(backbone.named_parameters())
    for one in patterns:
        if not any(matches(name, [one]) for name in weights):
            first, *_, last = weights
            raise Refused(
                f"freeze {one!r} matches none of the model's {len(weights)} weights. Names are "
                f"such as {first} and {last}; * stands for any letters."
            )
    left = {name for name in weights if matches(name, patterns)}
    modules = []
    for path, module in backbone.named_modules():
        inside = {f"{path}.{name}".lstrip(".") for name, _ in module.named_parameters()}
        if inside and inside <= left:
            modules.append(module)
            left -= inside
    return FrozenParts(modules, [weights[name] for name in sorted(left)])
