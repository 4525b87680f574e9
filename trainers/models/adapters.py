"""LoRA (Hu et al. 2021): small trained matrices beside frozen ones, with the package peft."""

import importlib.util

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from trytable.records import Refused
from trytable.trainers.protocol.messages import FinetuneSettings
from trytable.trainers.seeding import draw_seed


def add_adapters(backbone: nn.Module, settings: FinetuneSettings, seed: int) -> None:
    """Add an adapter to every linear layer of the backbone, and freeze the rest of it.

    An adapter adds B A x times `lora_alpha` / `lora_rank`. B starts at 0, so the model starts with
    its pretrained outputs. Raises Refused if peft is missing or there is no linear layer.
    """
    if importlib.util.find_spec("peft") is None:
        raise Refused(
            f"lora_rank {settings.lora_rank} needs the package peft, which is not installed: "
            ".venv/bin/pip install peft."
        )
    from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415 - an optional dependency

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
    """Return the paths of the linear layers, and of GPT-2's Conv1D, which has them transposed."""
    names = [
        path for path, module in backbone.named_modules() if isinstance(module, nn.Linear | Conv1D)
    ]
    if not names:
        raise Refused("lora_rank: the model has no linear layer for an adapter.")
    return names


def merge_adapters(backbone: nn.Module) -> None:
    """Add the adapters to the weights of their layers, and remove the adapters."""
    for path, module in list(backbone.named_modules()):
        if hasattr(module, "lora_A"):
            module.merge()
            parent, _, name = path.rpartition(".")
            setattr(backbone.get_submodule(parent), name, module.get_base_layer())
