"""Which weights stay as pretrained, and from which epoch on they no longer do."""

import fnmatch
from collections.abc import Sequence

from torch import nn

from trainers.backbone import embeddings_of, layers_of
from trainers.protocol import FinetuneSettings, Refused

SHARES = ("none", "embed", "half", "full")


def frozen_layers(freeze: str | int, layers: int) -> int | None:
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


def frozen_modules(
    backbone: nn.Module, settings: FinetuneSettings, epoch: int
) -> Sequence[nn.Module]:
    """The modules that stay as pretrained in an epoch, counted from 1.

    With gradual unfreezing (Howard and Ruder 2018) every epoch after the first sets so many more
    layers free, from the top; the embeddings follow the lowest. Raises Refused for layers or names
    that the model does not have.
    """
    freeze = settings.freeze
    if freeze == "none":
        return ()
    if is_patterns(freeze):
        return _matching(backbone, str(freeze).split())
    layers = layers_of(backbone)
    number = frozen_layers(freeze, len(layers)) or 0
    blocks = [nn.ModuleList(embeddings_of(backbone)), *layers[:number]]
    free = settings.unfreeze_layers_per_epoch * (epoch - 1)
    return blocks[: max(0, len(blocks) - free)]


def is_patterns(freeze: str | int) -> bool:
    """Whether what is to be frozen is said by names."""
    return isinstance(freeze, str) and freeze not in SHARES


def _matching(backbone: nn.Module, patterns: list[str]) -> list[nn.Module]:
    """Freeze nothing yet: the largest modules whose weights all match."""
    names = [name for name, _ in backbone.named_parameters()]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise Refused(
                f"freeze {pattern!r} matches none of the model's {len(names)} weights. Names are "
                f"such as {names[0]} and {names[-1]}; * stands for any letters."
            )
    matched = {name for pattern in patterns for name in fnmatch.filter(names, pattern)}
    found: dict[str, nn.Module] = {}
    for path, module in backbone.named_modules():
        inside = [f"{path}.{name}" if path else name for name, _ in module.named_parameters()]
        covered = any(path.startswith(f"{outer}.") for outer in found)
        if inside and not covered and all(name in matched for name in inside):
            found[path] = module
    reached = {f"{path}.{name}" for path, m in found.items() for name, _ in m.named_parameters()}
    loose = sorted(matched - reached) if "" not in found else []
    if loose:
        raise Refused(
            f"freeze: {loose[0]} is only a part of its module, which would train on. Freeze all "
            f"of {loose[0].rpartition('.')[0]}.*"
        )
    return list(found.values())
