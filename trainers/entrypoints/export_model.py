"""`entrypoints.export_model`: makes a folder that transformers loads out of a checkpoint.

One JSON object comes in on stdin (`job`, `checkpoints`, `out`), one JSON line goes out on stdout:
`{"handed_over": …}` or `{"refused": "why"}`. What was written is loaded again and held against
the checkpoint's own classifier before it is handed over.
"""

import copy
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from trytable.trainers.data.batches import Collator, batches_in_order
from trytable.trainers.data.dataset import TextData
from trytable.trainers.data.tokens import Indices, TokenSplit, encode, load_cached_data, tokenise
from trytable.trainers.entrypoints.jsonl import answer_request
from trytable.trainers.finetune.checkpoints import CheckpointFolder
from trytable.trainers.finetune.evaluation import EVALUATION_BATCH_SIZE
from trytable.trainers.models import text_classifier
from trytable.trainers.models.adapters import merge_adapters
from trytable.trainers.models.backbone import LoadedModel, load_model, pad_token_id
from trytable.trainers.models.classifier import Classifier, build_classifier
from trytable.trainers.models.precision import Precision, autocast, choose_precision
from trytable.trainers.protocol.messages import ExportedModel, FinetuneSettings, Job, Refused

_CLASS = "text_classifier.TextClassifier"
_CLOSE: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 5e-2}
"""Shares of the largest logit: some hundred times what one number is rounded by."""


def export(job: Job, settings: FinetuneSettings, checkpoints: Path, out: Path) -> ExportedModel:
    """Write the folder, load it again and predict dev and test with it. Raises Refused."""
    torch.set_num_threads(job.threads)
    device = torch.device("cpu" if job.device == "cpu" else "cuda")
    loaded = load_model(job.model)
    data = load_cached_data(Path(job.cache_folder), job.data_hash)
    ours = _classifier(job, settings, loaded, len(data.classes), checkpoints)
    _write(ours, loaded, data, settings, out)
    check = _Check(job, settings, data, loaded, out, device)
    return ExportedModel(
        predictions={
            split: tuple(check.predictions(split, ours))
            for split in ("dev", "test")
            if split in data.splits
        },
        parameters=sum(p.numel() for p in ours.parameters()),
    )


def _classifier(
    job: Job, settings: FinetuneSettings, loaded: LoadedModel, classes: int, checkpoints: Path
) -> Classifier:
    """The classifier with the checkpoint's weights."""
    found = CheckpointFolder(checkpoints).best()
    if found is None:
        raise Refused(f"The weights in {checkpoints / 'best'} are not whole: their hashes differ.")
    kept = {**found.values["settings"], "precision": settings.precision}
    asked = settings.model_dump(mode="json")
    if (kept, found.values["seed"], found.values["model"]) != (asked, job.seed, job.model):
        raise Refused(f"The weights in {checkpoints / 'best'} are those of another trial.")
    model = build_classifier(loaded, settings, classes, job.seed)
    model.load_state_dict(found.tensors["model"])
    return model.eval()


def _write(
    ours: Classifier, loaded: LoadedModel, data: TextData, settings: FinetuneSettings, out: Path
) -> None:
    backbone = copy.deepcopy(ours.backbone)  # the one with adapters is what the check is against
    merge_adapters(backbone)
    config = backbone.config
    config.id2label = dict(enumerate(data.classes))
    config.label2id = {name: number for number, name in enumerate(data.classes)}
    config.auto_map = {"AutoModelForSequenceClassification": _CLASS}
    config.trytable = {
        "pooling": settings.pooling,
        "max_length": settings.max_length,
        "head": [_described(layer) for layer in _layers(ours.head)],
    }
    # The checkpoint lacks what was never trained, such as BERT's own pooler; AutoModel wants it.
    state = {**loaded.state, **backbone.state_dict()}
    whole = loaded.model_class.from_pretrained(None, config=config, state_dict=state)
    whole.save_pretrained(out)
    head = nn.Sequential(*_layers(ours.head)).state_dict()
    contiguous = {name: tensor.contiguous() for name, tensor in head.items()}
    save_file(contiguous, out / text_classifier.HEAD_FILE)
    shutil.copy(text_classifier.__file__, out / f"{_CLASS.partition('.')[0]}.py")
    tokenizer = _tokenizer(loaded.folder)
    tokenizer.padding_side = "right"  # as in training; some models count positions from the left
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # any will do: the mask hides it
    tokenizer.save_pretrained(out)


def _tokenizer(folder: str | Path) -> Any:
    return AutoTokenizer.from_pretrained(
        folder, local_files_only=Path(folder).is_dir(), trust_remote_code=False
    )


def _layers(head: nn.Module) -> list[nn.Module]:
    """The layers in their order; that this is all that the head does is checked by its logits."""
    return [module for module in head.modules() if not list(module.children())]


def _described(layer: nn.Module) -> dict[str, Any]:
    kind = type(layer).__name__
    if kind not in text_classifier.LAYER_ARGUMENTS:
        raise Refused(f"A head with a layer of kind {kind} cannot be handed over.")
    names = text_classifier.LAYER_ARGUMENTS[kind]
    return {"kind": kind, "arguments": {name: getattr(layer, name) for name in names}}


@dataclass
class _Check:
    """Holds what was written against what was trained, on the data's own batches."""

    job: Job
    settings: FinetuneSettings
    data: TextData
    loaded: LoadedModel
    out: Path
    device: torch.device

    def __post_init__(self) -> None:
        self.theirs = AutoModelForSequenceClassification.from_pretrained(
            self.out, trust_remote_code=True, local_files_only=True
        ).to(self.device)
        self.precision = choose_precision(self.settings.precision, self.device)
        self.collator = Collator(pad_token_id(self.loaded.config), self.device)
        cache = Path(self.job.cache_folder)
        length = self.settings.max_length
        self.splits = tokenise(cache, self.job.data_hash, self.loaded.folder, length)

    def predictions(self, name: str, ours: Classifier) -> list[int]:
        """Class indices of a split in the order of its file, predicted by the written folder.

        Raises Refused where the written folder does not do what the checkpoint does.
        """
        split = self.splits[name]
        self._check_tokens(name, split)
        found = np.zeros(len(split), dtype=np.int64)
        for indices, batch in self._batches(split):
            logits = self._logits(self.theirs, batch)
            if not self._agree(logits, self._logits(ours.to(self.device), batch)):
                raise Refused("The written model's logits are not those of the checkpoint.")
            found[indices] = logits.argmax(1).cpu().numpy()
        return [int(label) for label in found]

    def _agree(self, written: Tensor, kept: Tensor) -> bool:
        """The same to the last bit; adapters that were folded in round a little otherwise."""
        if not self.settings.lora_rank:
            return torch.equal(written, kept)
        close = _CLOSE[self.precision] * float(kept.abs().max())
        return torch.allclose(written, kept, rtol=0, atol=close)

    def _check_tokens(self, name: str, split: TokenSplit) -> None:
        found = encode(_tokenizer(self.out), self.data.splits[name], self.settings.max_length)
        if not np.array_equal(np.concatenate(found["input_ids"]), split.ids):
            raise Refused(f"The written tokenizer reads the {name} texts in another way.")

    def _batches(self, split: TokenSplit) -> Iterator[tuple[Indices, dict[str, Tensor]]]:
        for indices in batches_in_order(split.lengths, EVALUATION_BATCH_SIZE):
            yield indices, self.collator.collate(split, indices)[0]

    @torch.inference_mode()
    def _logits(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        with autocast(self.precision, self.device):
            found = model(batch) if isinstance(model, Classifier) else model(**batch).logits
        logits: Tensor = found.float()
        return logits


def answer(request: dict[str, Any]) -> list[ExportedModel]:
    """Export what a request names."""
    job = Job.model_validate(request["job"])
    assert isinstance(job.settings, FinetuneSettings), "no other trainer keeps weights"
    return [export(job, job.settings, Path(request["checkpoints"]), Path(request["out"]))]


if __name__ == "__main__":
    answer_request(answer)
