"""LoRA and gradient checkpointing, on models of every family."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.small import CONFIGS, Recorder, job_for, same_tensors, save_model
from trainers import finetune
from trainers.adapters import fold_in
from trainers.backbone import LoadedModel, load_model
from trainers.classifier import build
from trainers.protocol import FinetuneSettings, Finished, Refused, Started, Step
from trainers.weights import weights_of

BATCH = {
    "input_ids": torch.tensor([[2, 3, 4, 5], [6, 7, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
}
LORA: dict[str, Any] = {"lora_rank": 4, "lora_alpha": 8, "lora_dropout": 0.1}


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_adapters_alone_train_beside_frozen_weights(tmp_path: Path, kind: str) -> None:
    loaded = load_model(str(save_model(tmp_path / kind, kind)))
    job, settings = job_for(tmp_path, loaded.folder, epochs=1, dropout_scope="all", **LORA)
    line = Recorder()
    run = finetune.Run(job, settings, line, loaded)
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    run.go()
    moved = {name for name, p in run.model.named_parameters() if not torch.equal(p, before[name])}
    assert all("lora_" in name or name.startswith("head.") for name in moved)
    assert any("lora_B" in name for name in moved)
    (started,) = line.said(Started)
    assert started.trainable_parameters < started.parameters / 2
    assert started.effective["lora_rank"] == 4


def test_a_model_with_new_adapters_is_the_pretrained_one(bert: LoadedModel) -> None:
    plain = build(bert, FinetuneSettings(), 2, seed=1).eval()
    adapted = build(bert, FinetuneSettings.model_validate(LORA), 2, seed=1).eval()
    torch.testing.assert_close(adapted(BATCH), plain(BATCH))


def test_adapters_folded_in_compute_the_same(bert: LoadedModel) -> None:
    model = build(bert, FinetuneSettings.model_validate(LORA), 2, seed=1).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
    before = model(BATCH)
    fold_in(model.backbone)
    assert not any("lora" in name for name, _ in model.named_parameters())
    assert {n for n, _ in model.backbone.named_parameters()} <= bert.state.keys()
    torch.testing.assert_close(model(BATCH), before, rtol=1e-4, atol=1e-5)


def test_adapters_are_drawn_from_the_seed_and_resume_exactly(
    tmp_path: Path, bert: LoadedModel
) -> None:
    job, settings = job_for(tmp_path / "whole", bert.folder, **LORA)
    whole = finetune.Run(job, settings, Recorder(), bert)
    whole.go()
    job, settings = job_for(tmp_path / "parts", bert.folder, **LORA)
    finetune.train(job, settings, Recorder(stop_after=7), bert)
    parts = finetune.Run(job, settings, Recorder(), bert)
    parts.go()
    assert same_tensors(weights_of(parts.model), weights_of(whole.model))


def test_a_missing_package_is_named(bert: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(Refused, match=r"lora_rank needs the package peft.*pip install peft"):
        build(bert, FinetuneSettings.model_validate(LORA), 2, seed=1)


@pytest.mark.parametrize("kind", ["bert", "modernbert", "llama", "gpt2"])
@pytest.mark.parametrize("freeze", ["none", "half"])
def test_gradient_checkpointing_changes_no_loss(tmp_path: Path, kind: str, freeze: str) -> None:
    loaded = load_model(str(save_model(tmp_path / kind, kind)))
    losses = []
    for switch in (False, True):
        job, settings = job_for(
            tmp_path / str(switch),
            loaded.folder,
            epochs=1,
            freeze=freeze,
            gradient_checkpointing=switch,
        )
        line = Recorder()
        finetune.train(job, settings, line, loaded)
        assert line.said(Finished)
        assert line.said(Started)[0].effective["gradient_checkpointing"] == switch
        losses.append([step.loss for step in line.said(Step)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
