"""Which weights are frozen in which epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from trytable.records import Refused
from trytable.trainers.models.backbone import embedding_modules, transformer_layers
from trytable.trainers.protocol.messages import FinetuneSettings

SHARES = ("none", "embed", "half", "full")


def frozen_layer_count(freeze: str | int, layers: int) -> int | None:
    """Return how many layers are frozen with the embeddings, or None if nothing is frozen.

    Shares round down: `half` of 7 layers is 3, `full` (three quarters) of 6 layers is 4. Raises
    Refused if `freeze` is more than the model's layers.
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
    """Frozen modules, and single frozen weights of other modules."""

    modules: Sequence[nn.Module] = ()
    weights: Sequence[nn.Parameter] = ()


def frozen_parts(backbone: nn.Module, settings: FinetuneSettings, epoch: int) -> FrozenParts:
    """Return what is frozen in an epoch, counted from 1.

    With gradual unfreezing (Howard and Ruder 2018) every epoch after the first unfreezes that many
    more layers, from the top; the embeddings come after the lowest layer. Raises Refused for
    layers or names that the model does not have.
    """
    freeze = settings.freeze
    if freeze == "none":
        return FrozenParts()
    if uses_patterns(freeze):
        return _matching(backbone, str(freeze).split())
    layers = transformer_layers(backbone)
    number = frozen_layer_count(freeze, len(layers)) or 0
    blocks = [nn.ModuleList(embedding_modules(backbone)), *layers[:number]]
    unfrozen = settings.unfreeze_layers_per_epoch * (epoch - 1)
    return FrozenParts(blocks[: max(0, len(blocks) - unfrozen)])


def uses_patterns(freeze: str | int) -> bool:
    """Whether `freeze` is a list of name patterns."""
    return isinstance(freeze, str) and freeze not in SHARES


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a weight's name matches one of the patterns, in which * matches any characters."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _matching(backbone: nn.Module, patterns: Sequence[str]) -> FrozenParts:
    """Return the largest modules whose weights all match, and the other matching weights."""
    weights = dict(backbone.named_parameters())
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name in weights):
            first, *_, last = weights
            raise Refused(
                f"freeze {pattern!r} matches none of the model's {len(weights)} weights. Examples "
                f"of their names are {first} and {last}; * matches any characters."
            )
    remaining = {name for name in weights if matches(name, patterns)}
    modules = []
    for path, module in backbone.named_modules():
        inside = {f"{path}.{name}".lstrip(".") for name, _ in module.named_parameters()}
        if inside and inside <= remaining:
            modules.append(module)
            remaining -= inside
    return FrozenParts(modules, [weights[name] for name in sorted(remaining)])
