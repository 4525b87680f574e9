"""`entrypoints.export_model`: exports a checkpoint as a model folder that transformers can load.

The request (see `jsonl`) has the keys `job`, `checkpoints` and `out`; the result is an
ExportedModel. The folder is loaded again, and its logits are compared with the checkpoint's, before
the export counts as successful.
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

from trytable.records import Refused
from trytable.trainers.data.batches import Collator, batches_in_order
from trytable.trainers.data.splits import TextData
from trytable.trainers.data.tokens import Indices, TokenSplit, encode, load_cached_data, tokenise
from trytable.trainers.entrypoints.jsonl import answer_request
from trytable.trainers.finetune.checkpoints import CheckpointFolder
from trytable.trainers.finetune.evaluation import EVALUATION_BATCH_SIZE
from trytable.trainers.models import text_classifier
from trytable.trainers.models.adapters import merge_adapters
from trytable.trainers.models.backbone import LoadedModel, load_model, pad_token_id
from trytable.trainers.models.classifier import Classifier, build_classifier
from trytable.trainers.models.precision import Precision, autocast, choose_precision
from trytable.trainers.protocol.messages import ExportedModel, FinetuneSettings, Job

_CLASS = "text_classifier.TextClassifier"
_TOLERANCES: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 5e-2}
"""As shares of the largest logit: some hundred times the rounding error of one number."""


def export(job: Job, settings: FinetuneSettings, checkpoints: Path, out: Path) -> ExportedModel:
    """Write the folder, load it again and predict dev and test with it.

    Raises Refused if the checkpoint cannot be exported, or if the folder predicts otherwise.
    """
    torch.set_num_threads(job.threads)
    device = torch.device("cpu" if job.device == "cpu" else "cuda")
    loaded = load_model(job.model)
    data = load_cached_data(Path(job.cache_folder), job.data_hash)
    trained = _load_trained(job, settings, loaded, len(data.classes), checkpoints)
    _write(trained, loaded, data, settings, out)
    check = _Check(job, settings, data, loaded, out, device)
    return ExportedModel(
        predictions={
            split: tuple(check.predictions(split, trained))
            for split in ("dev", "test")
            if split in data.splits
        },
        parameters=sum(p.numel() for p in trained.parameters()),
    )


def _load_trained(
    job: Job, settings: FinetuneSettings, loaded: LoadedModel, classes: int, checkpoints: Path
) -> Classifier:
    """Return the classifier with the checkpoint's weights."""
    best = CheckpointFolder(checkpoints).best()
    if best is None:
        raise Refused(f"The weights in {checkpoints / 'best'} are damaged: their hashes differ.")
    # The job has the precision that `auto` resolved to.
    trained_with = {**best.values["settings"], "precision": settings.precision}
    recorded = settings.model_dump(mode="json")
    if (trained_with, best.values["seed"], best.values["model"]) != (recorded, job.seed, job.model):
        raise Refused(f"The weights in {checkpoints / 'best'} are those of another trial.")
    model = build_classifier(loaded, settings, classes, job.seed)
    model.load_state_dict(best.tensors["model"])
    return model.eval()


def _write(
    trained: Classifier, loaded: LoadedModel, data: TextData, settings: FinetuneSettings, out: Path
) -> None:
    backbone = copy.deepcopy(trained.backbone)  # the check needs the one with adapters
    merge_adapters(backbone)
    config = backbone.config
    config.id2label = dict(enumerate(data.classes))
    config.label2id = {name: number for number, name in enumerate(data.classes)}
    config.auto_map = {"AutoModelForSequenceClassification": _CLASS}
    config.trytable = {
        "pooling": settings.pooling,
        "max_length": settings.max_length,
        "head": [_describe(layer) for layer in _layers(trained.head)],
    }
    # The checkpoint lacks what was never trained, such as BERT's own pooler; AutoModel needs it.
    state = {**loaded.state, **backbone.state_dict()}
    model = loaded.model_class.from_pretrained(None, config=config, state_dict=state)
    model.save_pretrained(out)
    head = nn.Sequential(*_layers(trained.head)).state_dict()
    contiguous = {name: tensor.contiguous() for name, tensor in head.items()}
    save_file(contiguous, out / text_classifier.HEAD_FILE)
    shutil.copy(text_classifier.__file__, out / f"{_CLASS.partition('.')[0]}.py")
    tokenizer = _tokenizer(loaded.folder)
    tokenizer.padding_side = "right"  # as in training; some models count positions from the left
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # any token will do: it is masked
    tokenizer.save_pretrained(out)


def _tokenizer(folder: str | Path) -> Any:
    return AutoTokenizer.from_pretrained(
        folder, local_files_only=Path(folder).is_dir(), trust_remote_code=False
    )


def _layers(head: nn.Module) -> list[nn.Module]:
    """Return the layers in their order. Comparing logits shows whether the head does more."""
    return [module for module in head.modules() if not list(module.children())]


def _describe(layer: nn.Module) -> dict[str, Any]:
    kind = type(layer).__name__
    if kind not in text_classifier.LAYER_ARGUMENTS:
        raise Refused(f"A head with a layer of kind {kind} cannot be exported.")
    names = text_classifier.LAYER_ARGUMENTS[kind]
    return {"kind": kind, "arguments": {name: getattr(layer, name) for name in names}}


@dataclass
class _Check:
    """Compares the exported model with the trained one, on the batches of the data."""

    job: Job
    settings: FinetuneSettings
    data: TextData
    loaded: LoadedModel
    out: Path
    device: torch.device

    def __post_init__(self) -> None:
        self.exported = AutoModelForSequenceClassification.from_pretrained(
            self.out, trust_remote_code=True, local_files_only=True
        ).to(self.device)
        self.precision = choose_precision(self.settings.precision, self.device)
        self.collator = Collator(pad_token_id(self.loaded.config), self.device)
        cache = Path(self.job.cache_folder)
        length = self.settings.max_length
        self.splits = tokenise(cache, self.job.data_hash, self.loaded.folder, length)

    def predictions(self, name: str, trained: Classifier) -> list[int]:
        """Predict a split with the exported model: class indices in the order of its file.

        Raises Refused if the exported model's tokens or logits differ from the checkpoint's.
        """
        split = self.splits[name]
        self._check_tokens(name, split)
        predicted = np.zeros(len(split), dtype=np.int64)
        for indices, batch in self._batches(split):
            logits = self._logits(self.exported, batch)
            if not self._agree(logits, self._logits(trained.to(self.device), batch)):
                raise Refused("The exported model's logits differ from the checkpoint's.")
            predicted[indices] = logits.argmax(1).cpu().numpy()
        return [int(label) for label in predicted]

    def _agree(self, exported: Tensor, trained: Tensor) -> bool:
        """Return whether logits are equal to the last bit, or close if adapters were merged."""
        if not self.settings.lora_rank:
            return torch.equal(exported, trained)
        tolerance = _TOLERANCES[self.precision] * float(trained.abs().max())
        return torch.allclose(exported, trained, rtol=0, atol=tolerance)

    def _check_tokens(self, name: str, split: TokenSplit) -> None:
        encoded = encode(_tokenizer(self.out), self.data.splits[name], self.settings.max_length)
        if not np.array_equal(np.concatenate(encoded["input_ids"]), split.ids):
            raise Refused(f"The exported tokenizer splits the {name} texts into other tokens.")

    def _batches(self, split: TokenSplit) -> Iterator[tuple[Indices, dict[str, Tensor]]]:
        for indices in batches_in_order(split.lengths, EVALUATION_BATCH_SIZE):
            yield indices, self.collator.collate(split, indices)[0]

    @torch.inference_mode()
    def _logits(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        with autocast(self.precision, self.device):
            output = model(batch) if isinstance(model, Classifier) else model(**batch).logits
        logits: Tensor = output.float()
        return logits


def answer(request: dict[str, Any]) -> list[ExportedModel]:
    """Export what a request names."""
    job = Job.model_validate(request["job"])
    assert isinstance(job.settings, FinetuneSettings), "no other trainer keeps weights"
    return [export(job, job.settings, Path(request["checkpoints"]), Path(request["out"]))]


if __name__ == "__main__":
    answer_request(answer)
