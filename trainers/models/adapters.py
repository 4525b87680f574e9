"""LoRA (Hu et al. 2021): small trained matrices beside frozen ones, by the package peft."""

import importlib.util

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from trytable.trainers.protocol.messages import FinetuneSettings, Refused
from trytable.trainers.seeding import draw_seed


def add_adapters(backbone: nn.Module, settings: FinetuneSettings, seed: int) -> None:
    """Put an adapter beside every linear layer of the backbone, and freeze all else of it.

    An adapter adds B A x times `lora_alpha` / `lora_rank`; B begins at 0, so the model begins as
    pretrained. Raises Refused where peft is missing or finds no linear layer.
    """
    if importlib.util.find_spec("peft") is None:
        raise Refused(
            f"lora_rank {settings.lora_rank} needs the package peft, which is not installed: "
            ".venv/bin/pip install peft."
        )
    from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415 - an extra

    names = _linear_names(backbone)
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=names,
        fan_in_fan_out=isinstance(backbone.get_submodule(names[0]), Conv1D),
        bias="none",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw_seed(seed, "init", epoch=1))
        inject_adapter_in_model(config, backbone)


def _linear_names(backbone: nn.Module) -> list[str]:
    """Linear layers by their paths; GPT-2 has a kind of its own, with weights the other way."""
    found = [
        path for path, module in backbone.named_modules() if isinstance(module, nn.Linear | Conv1D)
    ]
    if not found:
        raise Refused("lora_rank: the model has no linear layer to put an adapter beside.")
    return found


def merge_adapters(backbone: nn.Module) -> None:
    """Add the adapters to the weights beside which they stand, and take them away."""
    for path, module in list(backbone.named_modules()):
        if hasattr(module, "lora_A"):
            module.merge()
            parent, _, name = path.rpartition(".")
            setattr(backbone.get_submodule(parent), name, module.get_base_layer())
