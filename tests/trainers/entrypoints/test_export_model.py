"""A model that is handed over: what transformers loads from the folder is what was trained."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from tests.trainers.small import DATA, Recorder, job_for, save_model
from trytable.records import Refused
from trytable.trainers.data.splits import Split, TextData
from trytable.trainers.entrypoints import export_model
from trytable.trainers.finetune import trainer
from trytable.trainers.finetune.checkpoints import CheckpointFolder
from trytable.trainers.models import text_classifier
from trytable.trainers.models.adapters import merge_adapters
from trytable.trainers.models.backbone import LoadedModel, load_model
from trytable.trainers.models.classifier import build_classifier
from trytable.trainers.protocol.messages import FinetuneSettings, Finished, Job

PAIRS = TextData(
    DATA.classes,
    {name: Split(one.texts, one.labels, one.texts[::-1]) for name, one in DATA.splits.items()},
)


@pytest.fixture(autouse=True)
def _modules_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers copies a model's own code there before it runs it."""
    for place in ("transformers.dynamic_module_utils", "transformers.utils.hub"):
        monkeypatch.setattr(f"{place}.HF_MODULES_CACHE", str(tmp_path / "modules"))


def trained(
    folder: Path, model: Path, data: TextData = DATA, **knobs: object
) -> tuple[Job, FinetuneSettings, Finished]:
    """A trial that was really trained, and what it said at its end."""
    job, settings = job_for(folder, model, data, epochs=1, **knobs)
    line = Recorder()
    trainer.train(job, settings, line, load_model(str(model)))
    return job, settings, line.said(Finished)[0]


def kept(job: Job) -> Path:
    return Path(job.folder) / "checkpoints"


@pytest.mark.parametrize(
    ("kind", "knobs"),
    [
        ("bert", {"pooling": "mean", "freeze": "half"}),
        ("roberta", {"pooling": "cls", "dropout_scope": "all", "dropout": 0.3}),
        ("distilbert", {"pooling": "mean"}),
        ("modernbert", {"pooling": "cls", "precision": "bf16"}),
        ("llama", {"pooling": "last"}),
        ("opt", {"pooling": "last"}),
        ("gpt2", {"pooling": "mean"}),
        ("bert", {"lora_rank": 2, "lr": 0.1}),
        ("gpt2", {"lora_rank": 2, "lr": 0.1, "head": "mlp", "head_widths": 8}),
        ("bert", {"head": "mlp", "head_widths": "8-4", "head_batch_norm": True}),
        ("bert", {"gradient_checkpointing": True}),
    ],
)
def test_the_folder_predicts_what_was_predicted(
    odd: Path, kind: str, knobs: dict[str, Any]
) -> None:
    job, settings, finished = trained(odd, save_model(odd / "model", kind), **knobs)
    out = odd / "handed over"
    made = export_model.export(job, settings, kept(job), out)
    assert made.predictions == {
        "dev": finished.dev_predictions,
        "test": finished.test_predictions,
    }
    _, report = AutoModel.from_pretrained(out, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    if settings.precision == "fp32":
        assert predicted(out, DATA.splits["test"], settings) == list(finished.test_predictions)


def predicted(out: Path, split: Split, settings: FinetuneSettings) -> list[int]:
    """As the README of the folder has it: with transformers alone."""
    tokenizer = AutoTokenizer.from_pretrained(out)
    model = AutoModelForSequenceClassification.from_pretrained(out, trust_remote_code=True)
    batch = tokenizer(
        list(split.texts),
        truncation=True,
        max_length=settings.max_length,
        padding=True,
        return_tensors="pt",
    )
    batch.pop("token_type_ids", None)
    with torch.inference_mode():
        found: list[int] = model(**batch).logits.argmax(1).tolist()
    return found


def test_text_pairs(tmp_path: Path, bert_folder: Path) -> None:
    job, settings, finished = trained(tmp_path, bert_folder, PAIRS)
    made = export_model.export(job, settings, kept(job), tmp_path / "out")
    assert made.predictions["dev"] == finished.dev_predictions


def test_the_config_names_the_classes_and_what_reads_the_texts(
    tmp_path: Path, bert_folder: Path
) -> None:
    job, settings, _ = trained(tmp_path, bert_folder, pooling="cls", max_length=8)
    export_model.export(job, settings, kept(job), tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["id2label"] == {"0": "no", "1": "yes"}
    assert config["trytable"]["pooling"] == "cls"
    assert config["trytable"]["max_length"] == 8
    again = load_model(str(tmp_path / "out"))  # it can be swept in its turn
    assert again.config.model_type == "bert"


def kept_with(job: Job, settings: FinetuneSettings, make: Any, model: Path) -> None:
    """Keep the weights of a classifier made so."""
    made = make(load_model(str(model)), settings, 2, 1)
    values = CheckpointFolder(kept(job)).best()
    assert values is not None
    CheckpointFolder(kept(job)).save_best(values.values, {"model": made.state_dict()})


def test_a_head_of_several_layers(tmp_path: Path, bert_folder: Path) -> None:
    knobs: dict[str, Any] = {"head": "mlp", "head_widths": 8, "head_batch_norm": True}
    job, settings, _ = trained(tmp_path, bert_folder, **knobs)
    export_model.export(job, settings, kept(job), tmp_path / "out")
    loaded = text_classifier.TextClassifier.from_pretrained(str(tmp_path / "out"))
    kinds = [type(layer).__name__ for layer in loaded.head.children()]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"]
    best = CheckpointFolder(kept(job)).best()
    assert best is not None
    seen = best.tensors["model"]["head.1.running_mean"]
    assert seen.any()
    assert torch.equal(loaded.head.state_dict()["1.running_mean"], seen)


def test_adapters_that_were_not_folded_in_are_seen(
    tmp_path: Path, bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget(backbone: nn.Module) -> None:
        for module in backbone.modules():
            if hasattr(module, "lora_B"):
                assert isinstance(module.lora_B, nn.ModuleDict)
                for matrix in module.lora_B.values():
                    nn.init.zeros_(matrix.get_parameter("weight"))
        merge_adapters(backbone)

    job, settings, _ = trained(tmp_path, bert_folder, lora_rank=2, lr=0.1)
    monkeypatch.setattr(export_model, "merge_adapters", forget)
    with pytest.raises(Refused, match="logits differ from the checkpoint"):
        export_model.export(job, settings, kept(job), tmp_path / "out")


class Doubled(nn.Linear):
    """A layer that no file of ours could make again."""


class Twice(nn.Sequential):
    """Layers that do more than one after the other."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = super().forward(states)  # type: ignore[no-untyped-call] # there
        return found * 2 + 1


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (Doubled(16, 2), "layer of kind Doubled cannot be exported"),
        (Twice(nn.Linear(16, 2)), "logits differ from the checkpoint"),
    ],
)
def test_a_head_that_the_folder_could_not_hold_is_refused(
    tmp_path: Path,
    bert_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    head: nn.Module,
    message: str,
) -> None:
    def make(loaded: LoadedModel, settings: FinetuneSettings, classes: int, seed: int) -> Any:
        model = build_classifier(loaded, settings, classes, seed)
        model.head = head
        return model

    job, settings, _ = trained(tmp_path, bert_folder)
    kept_with(job, settings, make, bert_folder)
    monkeypatch.setattr(export_model, "build_classifier", make)
    with pytest.raises(Refused, match=message):
        export_model.export(job, settings, kept(job), tmp_path / "out")


def test_flipped_weights_are_refused(tmp_path: Path, bert_folder: Path) -> None:
    job, settings, _ = trained(tmp_path, bert_folder)
    path = kept(job) / "best" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(Refused, match="damaged"):
        export_model.export(job, settings, kept(job), tmp_path / "out")


@pytest.mark.parametrize("change", [{"seed": 8}, {"model": "minilm"}])
def test_weights_of_another_trial_are_refused(
    tmp_path: Path, bert_folder: Path, change: dict[str, Any]
) -> None:
    job, settings, _ = trained(tmp_path, bert_folder)
    found = CheckpointFolder(kept(job)).best()
    assert found is not None
    CheckpointFolder(kept(job)).save_best({**found.values, **change}, found.tensors)
    with pytest.raises(Refused, match="those of another trial"):
        export_model.export(job, settings, kept(job), tmp_path / "out")


def test_a_tokenizer_without_padding_gets_one(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", "gpt2")
    path = model / "tokenizer_config.json"
    config = {**json.loads(path.read_text()), "pad_token": None, "eos_token": "[UNK]"}
    path.write_text(json.dumps({**config, "padding_side": "left"}))
    job, settings, finished = trained(tmp_path, model)
    export_model.export(job, settings, kept(job), tmp_path / "out")
    found = predicted(tmp_path / "out", DATA.splits["test"], settings)
    assert np.array_equal(found, finished.test_predictions)
