"""Pretrained models: finds one, reads it once, and builds it anew for every job."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from trytable.trainers.models.locate import resolve
from trytable.trainers.protocol.messages import Refused

_RELATIVE = "rel_embeddings"
"""What transformers calls DeBERTa's relative positions."""

_POSITIONS = ("position_embeddings", "embed_positions", "wpe")
"""What transformers calls tables of learned positions."""


@dataclass(frozen=True)
class LoadedModel:
    """A pretrained model as it lies in memory: class, config and weights, but no live module.

    A live one could not take a new dropout; each job builds its own from these.
    """

    reference: str
    folder: str
    model_class: type[PreTrainedModel]
    config: PreTrainedConfig
    state: dict[str, torch.Tensor]

    def fingerprint(self) -> str:
        """Tells models apart by their files' names, sizes and times, or a hub's name and commit."""
        folder = Path(self.folder)
        if not folder.is_dir():
            return f"{self.folder} {getattr(self.config, '_commit_hash', None)}"
        files = sorted(path for path in folder.iterdir() if path.is_file())
        return ";".join(f"{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in files)

    def build(self, **changes: Any) -> PreTrainedModel:
        """A model of its own, in fp32, with these attributes of its config changed."""
        config = copy.deepcopy(self.config)
        for name, value in changes.items():
            setattr(config, name, value)
        state = {name: tensor.clone() for name, tensor in self.state.items()}
        return self.model_class.from_pretrained(None, config=config, state_dict=state)


def load_model(reference: str) -> LoadedModel:
    """Read a model, safetensors only. Runs no forward pass. Raises Refused."""
    folder = resolve(reference)
    try:
        model, report = AutoModel.from_pretrained(
            folder,
            local_files_only=Path(folder).is_dir(),
            trust_remote_code=False,  # else it asks whether to run what the folder holds
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # transformers, safetensors and the hub raise many kinds
        raise Refused(f"MODEL={reference} cannot be read: {error}") from error
    missing = [name for name in report["missing_keys"] if "pooler" not in name]
    if missing:
        raise Refused(
            f"MODEL={reference} lacks {len(missing)} of its weights, such as {sorted(missing)[0]}."
        )
    return LoadedModel(reference, folder, type(model), model.config, model.state_dict())


def transformer_layers(backbone: nn.Module) -> nn.ModuleList:
    """The one list of transformer layers. Raises Refused where there is not exactly one."""
    wanted = getattr(backbone.config, "num_hidden_layers", None)
    lists = [m for m in backbone.modules() if isinstance(m, nn.ModuleList) and len(m) == wanted]
    if len(lists) != 1:
        kind = type(backbone).__name__
        raise Refused(f"{kind} has {len(lists)} lists of {wanted} layers; freezing needs one.")
    return lists[0]


def embedding_modules(backbone: nn.Module) -> list[nn.Module]:
    """All that comes before the transformer layers, however deep these lie (OPT's in a decoder).

    DeBERTa's relative positions, too, which stand behind the layers: every one of them reads them.
    """
    layers = transformer_layers(backbone)
    before: list[nn.Module] = []
    level = backbone
    while level is not layers:
        children = list(level.children())
        (way,) = [i for i, one in enumerate(children) if any(m is layers for m in one.modules())]
        before += children[:way]
        if hasattr(level, _RELATIVE):
            before += children[way + 1 :]
        level = children[way]
    return before


def max_input_length(backbone: nn.Module) -> int | None:
    """Tokens that learned positions have room for; None where positions are computed.

    RoBERTa's positions begin behind its padding index, so two of its 514 are never used.
    """
    named = [m for name, m in backbone.named_modules() if name.rpartition(".")[2] in _POSITIONS]
    tables = [module for module in named if isinstance(module, nn.Embedding)]
    if not tables:
        return None
    skipped = 0 if tables[0].padding_idx is None else tables[0].padding_idx + 1
    room = tables[0].num_embeddings - skipped
    return min(room, getattr(backbone.config, "max_position_embeddings", room))


def pad_token_id(config: PreTrainedConfig) -> int:
    """The id that fills a batch up: any will do where there's none, since the mask hides it."""
    found = getattr(config, "pad_token_id", None)
    return found if isinstance(found, int) and found >= 0 else 0
