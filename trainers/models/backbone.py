"""Pretrained backbones: loads one from disk, and builds a fresh copy for every job."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.utils.hub import cached_file

from trytable.records import Refused
from trytable.trainers.models.locate import REDIRECTIONS, check_redirections, resolve

_RELATIVE = "rel_embeddings"
"""The attribute of DeBERTa's relative positions in transformers."""

_POSITIONS = ("position_embeddings", "embed_positions", "wpe")
"""The attributes of learned position embeddings in transformers."""


@dataclass(frozen=True)
class LoadedModel:
    """A pretrained model in memory: class, config and weights, but no module.

    A copied module could not take a new dropout, so each job builds its own from its own config.
    """

    reference: str
    folder: str
    model_class: type[PreTrainedModel]
    config: PreTrainedConfig
    state: dict[str, torch.Tensor]

    def fingerprint(self) -> str:
        """Identify the model by its files' names, sizes and times, or by hub name and commit."""
        folder = Path(self.folder)
        if not folder.is_dir():
            return f"{self.folder} {getattr(self.config, '_commit_hash', None)}"
        files = sorted(path for path in folder.iterdir() if path.is_file())
        return ";".join(f"{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in files)

    def build(self, **changes: Any) -> PreTrainedModel:
        """Build a model of its own, in fp32, with these attributes of its config changed."""
        config = copy.deepcopy(self.config)
        for name, value in changes.items():
            setattr(config, name, value)
        state = {name: tensor.clone() for name, tensor in self.state.items()}
        return self.model_class.from_pretrained(None, config=config, state_dict=state)


def load_model(reference: str) -> LoadedModel:
    """Read a model from safetensors. Runs no forward pass. Raises Refused.

    A forward pass would start threads, after which a forked child hangs.
    """
    folder = resolve(reference)
    try:
        if not Path(folder).is_dir():
            check_redirections(reference, _hub_files(folder))
        model, report = AutoModel.from_pretrained(
            folder,
            local_files_only=Path(folder).is_dir(),
            trust_remote_code=False,  # the default asks whether to run the folder's code
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Refused:
        raise
    except Exception as error:  # transformers, safetensors and the hub raise many types
        raise Refused(f"MODEL={reference} cannot be read: {error}") from error
    missing = [name for name in report["missing_keys"] if "pooler" not in name]
    if missing:
        raise Refused(
            f"MODEL={reference}: {len(missing)} weights are missing, such as {sorted(missing)[0]}."
        )
    return LoadedModel(reference, folder, type(model), model.config, model.state_dict())


def _hub_files(name: str) -> dict[str, Path]:
    """Return where the cache has the files of a hub model that may name others."""
    paths = {
        file: cached_file(name, file, _raise_exceptions_for_missing_entries=False)
        for file in REDIRECTIONS
    }
    return {file: Path(path or f"no {file}") for file, path in paths.items()}


def transformer_layers(backbone: nn.Module) -> nn.ModuleList:
    """Return the list of transformer layers. Raises Refused if there is not exactly one list."""
    depth = getattr(backbone.config, "num_hidden_layers", None)
    lists = [m for m in backbone.modules() if isinstance(m, nn.ModuleList) and len(m) == depth]
    if len(lists) != 1:
        name = type(backbone).__name__
        raise Refused(f"{name} has {len(lists)} lists of {depth} layers; freezing needs one.")
    return lists[0]


def embedding_modules(backbone: nn.Module) -> list[nn.Module]:
    """Return all modules before the transformer layers, at any depth (OPT's are in a decoder).

    DeBERTa's relative positions come after the layers and are included: every layer reads them.
    """
    layers = transformer_layers(backbone)
    embeddings: list[nn.Module] = []
    level = backbone
    while level is not layers:
        children = list(level.children())
        (index,) = [
            i for i, child in enumerate(children) if any(m is layers for m in child.modules())
        ]
        embeddings += children[:index]
        if hasattr(level, _RELATIVE):
            embeddings += children[index + 1 :]
        level = children[index]
    return embeddings


def max_input_length(backbone: nn.Module) -> int | None:
    """Return how many tokens learned positions allow, or None if positions are computed.

    RoBERTa's positions start after its padding index, so two of its 514 are never used.
    """
    positions = [m for name, m in backbone.named_modules() if name.rpartition(".")[2] in _POSITIONS]
    tables = [module for module in positions if isinstance(module, nn.Embedding)]
    if not tables:
        return None
    skipped = 0 if tables[0].padding_idx is None else tables[0].padding_idx + 1
    usable = tables[0].num_embeddings - skipped
    return min(usable, getattr(backbone.config, "max_position_embeddings", usable))


def pad_token_id(config: PreTrainedConfig) -> int:
    """Return the padding id, or 0 if the config has none: the mask hides it anyway."""
    pad_id = getattr(config, "pad_token_id", None)
    return pad_id if isinstance(pad_id, int) and pad_id >= 0 else 0


def checkpoint_activations(backbone: nn.Module, options: dict[str, bool]) -> None:
    """Recompute activations in the backward pass; the options are those of torch's checkpoint.

    The method's name depends on transformers' version: 5.17 has the old one alone.
    """
    names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
    next(getattr(backbone, name) for name in names if hasattr(backbone, name))(options)


def is_checkpointing(backbone: nn.Module) -> bool:
    """Whether activations are recomputed, under transformers' new name for it or its old one."""
    names = ("is_activation_checkpointing", "is_gradient_checkpointing")
    return bool(next(getattr(backbone, name) for name in names if hasattr(backbone, name)))
