"""LoRA: what is trained of a model, how it begins, how it is kept and folded in."""

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainers.small import CONFIGS, Recorder, job_for, same_tensors, save_model
from trytable.records import Refused
from trytable.trainers.finetune import trainer
from trytable.trainers.finetune.checkpoints import CheckpointFolder
from trytable.trainers.finetune.optimizer import make_optimizer
from trytable.trainers.models.adapters import add_adapters, merge_adapters
from trytable.trainers.models.backbone import LoadedModel, load_model
from trytable.trainers.models.classifier import Classifier, build_classifier
from trytable.trainers.protocol.messages import Finding, FinetuneSettings, Started

BATCH = {"input_ids": torch.tensor([[2, 3, 4]]), "attention_mask": torch.ones(1, 3).long()}


@pytest.fixture(scope="module", params=list(CONFIGS))
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(str(save_model(tmp_path_factory.mktemp(request.param), request.param)))


def settings(**knobs: object) -> FinetuneSettings:
    return FinetuneSettings.model_validate({"lora_rank": 4, **knobs})


def built(loaded: LoadedModel, seed: int = 1, **knobs: object) -> Classifier:
    return build_classifier(loaded, settings(**knobs), 2, seed)


def test_only_adapters_and_head_are_trained(loaded: LoadedModel) -> None:
    model = built(loaded)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {n for n, _ in model.named_parameters() if "lora_" in n or "head" in n}
    optimizer = make_optimizer(model, settings(), fused=False)
    optimized = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert optimized == {id(p) for name, p in model.named_parameters() if name in trained}


def test_every_linear_layer_of_the_backbone_has_an_adapter(loaded: LoadedModel) -> None:
    plain = build_classifier(loaded, FinetuneSettings(), 2, seed=1).backbone
    linear = [p for p, m in plain.named_modules() if type(m).__name__ in ("Linear", "Conv1D")]
    adapted = built(loaded).backbone
    assert [path for path, m in adapted.named_modules() if hasattr(m, "lora_A")] == linear


def test_it_begins_as_pretrained(loaded: LoadedModel) -> None:
    plain = build_classifier(loaded, FinetuneSettings(), 2, seed=1).eval()
    with torch.inference_mode():
        assert torch.equal(built(loaded).eval()(BATCH), plain(BATCH))


def test_adapters_have_the_rank_and_the_scale_asked_for(bert: LoadedModel) -> None:
    model = built(bert, lora_rank=3, lora_alpha=12)
    adapters: list[Any] = [m for m in model.backbone.modules() if hasattr(m, "lora_A")]
    assert adapters
    for adapter in adapters:
        assert adapter.lora_A["default"].weight.shape[0] == 3
        assert adapter.scaling["default"] == 4.0


def test_the_adapters_depend_on_the_seed_alone(bert: LoadedModel) -> None:
    torch.manual_seed(5)
    first = built(bert, dropout=0.1)
    torch.manual_seed(6)
    assert same_tensors(first.state_dict(), built(bert, dropout=0.3).state_dict())
    assert not same_tensors(first.state_dict(), built(bert, seed=2).state_dict())


def test_it_trains_in_every_family_and_the_base_stays(tmp_path: Path, loaded: LoadedModel) -> None:
    knobs: dict[str, Any] = {"lora_rank": 2, "gradient_checkpointing": True, "dropout_scope": "all"}
    job, knob_settings = job_for(tmp_path, loaded.folder, epochs=1, **knobs)
    line = Recorder()
    run = trainer.TrainingRun(job, knob_settings, line, loaded)
    initial = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    run.execute()
    changed = {
        n for n, tensor in run.model.state_dict().items() if not torch.equal(tensor, initial[n])
    }
    assert changed
    assert all("lora_" in name or name.startswith("head.") for name in changed)
    assert any("lora_B" in name for name in changed)
    assert line.said(Finding) == []
    effective = line.said(Started)[0].effective
    assert (effective["lora_rank"], effective["gradient_checkpointing"]) == (2, True)


def test_a_drained_trial_goes_on_with_its_adapters(tmp_path: Path, bert: LoadedModel) -> None:
    for side, stops in (("whole", [None]), ("halves", [6, None])):
        for stop in stops:
            job, knob_settings = job_for(
                tmp_path / side, bert.folder, lora_rank=2, lora_dropout=0.2
            )
            trainer.train(job, knob_settings, Recorder(stop_after=stop), bert)
    checkpoints = [
        CheckpointFolder(tmp_path / side / "trial/checkpoints").best()
        for side in ("whole", "halves")
    ]
    assert checkpoints[0] is not None
    assert checkpoints[1] is not None
    assert same_tensors(checkpoints[0].tensors["model"], checkpoints[1].tensors["model"])


def test_folded_in_they_do_the_same_without_peft(loaded: LoadedModel) -> None:
    model = built(loaded).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(3))
        expected = model(BATCH)
        merge_adapters(model.backbone)
        assert torch.allclose(model(BATCH), expected, atol=1e-5)
    assert {type(m).__module__.split(".")[0] for m in model.modules()}.isdisjoint({"peft"})
    plain = build_classifier(loaded, FinetuneSettings(), 2, seed=1)
    assert model.state_dict().keys() == plain.state_dict().keys()
    with torch.inference_mode():
        assert not torch.allclose(plain.eval()(BATCH), expected, atol=1e-4)


def test_frozen_layers_have_frozen_adapters(bert: LoadedModel) -> None:
    model = built(bert, freeze=2)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name.split(".")[3] for name in trained if ".layer." in name} == {"2"}


def test_without_peft_it_is_refused(bert: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def blind(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "peft" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", blind)
    with pytest.raises(Refused, match=r"lora_rank 4 needs the package peft.*bin/pip install peft"):
        built(bert)


def test_a_model_without_linear_layers_is_refused() -> None:
    with pytest.raises(Refused, match="no linear layer"):
        add_adapters(nn.Sequential(nn.Embedding(3, 4)), settings(), seed=1)
