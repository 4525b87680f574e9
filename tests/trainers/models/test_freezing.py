"""What stays as pretrained: patterns of names, gradual unfreezing, and that frozen means frozen."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.trainers.small import CONFIGS, Recorder, job_for, same_tensors, save_model
from trytable.records import Refused
from trytable.trainers.finetune import trainer
from trytable.trainers.models.backbone import (
    LoadedModel,
    embedding_modules,
    load_model,
    transformer_layers,
)
from trytable.trainers.models.classifier import Classifier, build_classifier
from trytable.trainers.models.freezing import SHARES, frozen_layer_count
from trytable.trainers.models.state_dict import trainable_parameters
from trytable.trainers.protocol.messages import Checkpoint, Finding, FinetuneSettings, Started, Step


def built(loaded: LoadedModel, **knobs: Any) -> Classifier:
    return build_classifier(loaded, FinetuneSettings.model_validate(knobs), 2, seed=1)


@given(st.integers(1, 200))
def test_shares_freeze_ever_more(layers: int) -> None:
    numbers = [frozen_layer_count(share, layers) for share in SHARES]
    assert numbers == [None, 0, layers // 2, layers * 3 // 4]


@pytest.mark.parametrize(
    "patterns",
    [
        "embeddings.* encoder.layer.0.*",
        "encoder.layer.[01].attention.*",
        "*.weight",  # only biases are trained, as in BitFit (Ben Zaken et al. 2022)
        "*.LayerNorm.bias embeddings.word_embeddings.weight",
        "*",
    ],
)
def test_patterns_freeze_the_weights_they_match_and_no_other(
    tmp_path: Path, bert: LoadedModel, patterns: str
) -> None:
    model = built(bert, freeze=patterns)
    for name, weight in model.backbone.named_parameters():
        matched = any(fnmatchcase(name, pattern) for pattern in patterns.split())
        assert weight.requires_grad != matched, name
    assert all(p.requires_grad for p in model.head.parameters())
    job, settings = job_for(tmp_path, bert.folder, epochs=1, freeze=patterns)
    line = Recorder()
    trainer.train(job, settings, line, bert)
    assert line.said(Finding) == []
    assert line.said(Started)[0].trainable_parameters == sum(
        p.numel() for p in trainable_parameters(model).values()
    )


def test_a_module_that_is_frozen_whole_stays_in_evaluation(bert: LoadedModel) -> None:
    model = built(bert, freeze="encoder.layer.0.* encoder.layer.1.output.dense.weight").train()
    layers = transformer_layers(model.backbone)
    assert not any(module.training for module in layers[0].modules())
    assert all(module.training for module in layers[1].modules())


def test_a_pattern_that_fits_nothing_is_refused(bert: LoadedModel) -> None:
    with pytest.raises(Refused, match=r"freeze 'layer\.\*' matches none of the model's 53 weights"):
        built(bert, freeze="embeddings.* layer.*")


@pytest.mark.parametrize("value", ["quarter", "embeddings", "", -1])
def test_what_is_neither_share_nor_number_nor_pattern_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        FinetuneSettings(freeze=value)


def test_deberta_freezes_its_relative_positions_with_the_embeddings(tmp_path: Path) -> None:
    loaded = load_model(str(save_model(tmp_path / "model", "deberta", conv_kernel_size=3)))
    model = built(loaded, freeze="embed")
    frozen = {name for name, p in model.backbone.named_parameters() if not p.requires_grad}
    assert {
        "embeddings.word_embeddings.weight",
        "encoder.rel_embeddings.weight",
        "encoder.LayerNorm.weight",
        "encoder.conv.conv.weight",
    } <= frozen
    assert not any(".layer." in name for name in frozen)


def frozen_blocks(model: Classifier, epoch: int) -> list[bool]:
    """Of the embeddings and each layer from below, whether an epoch leaves it as pretrained."""
    model.begin_epoch(epoch)
    model.train()
    blocks = [
        torch.nn.ModuleList(embedding_modules(model.backbone)),
        *transformer_layers(model.backbone),
    ]
    frozen = [not any(p.requires_grad for p in block.parameters()) for block in blocks]
    assert frozen == [not next(block.children()).training for block in blocks]
    return frozen


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_each_epoch_frees_the_uppermost_frozen_layers(tmp_path: Path, kind: str) -> None:
    loaded = load_model(str(save_model(tmp_path / kind, kind)))
    model = built(loaded, freeze=3, unfreeze_layers_per_epoch=1, epochs=5)
    counts = [sum(frozen_blocks(model, epoch)) for epoch in (1, 2, 3, 4, 5)]
    assert counts == [4, 3, 2, 1, 0]
    assert frozen_blocks(model, 3) == [True, True, False, False]  # back, as a resumed one goes on


def test_what_no_epoch_frees_is_not_among_the_trained(bert: LoadedModel) -> None:
    model = built(bert, freeze=3, unfreeze_layers_per_epoch=1, epochs=2)
    layers = {name.split(".")[3] for name in trainable_parameters(model) if ".layer." in name}
    assert layers == {"2"}
    assert frozen_blocks(model, 1) == [True] * 4


UNFREEZING: dict[str, Any] = {
    "freeze": 3,
    "unfreeze_layers_per_epoch": 2,
    "epochs": 3,
    "dropout": 0.3,
    "dropout_scope": "all",
    "weight_decay": 0.5,
}


def test_a_layer_moves_from_the_epoch_on_that_frees_it(tmp_path: Path, bert: LoadedModel) -> None:
    job, settings = job_for(tmp_path, bert.folder, **UNFREEZING)
    line = Recorder()
    run = trainer.TrainingRun(job, settings, line, bert)
    initial = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    changed_blocks: list[set[str]] = []
    evaluate = run._evaluate_epoch

    def look() -> None:
        now = dict(run.model.named_parameters())
        changed = {name for name, old in initial.items() if not torch.equal(old, now[name])}
        changed_blocks.append({_block(name) for name in changed})
        evaluate()

    run._evaluate_epoch = look  # type: ignore[method-assign] # to look in between
    run.execute()
    assert changed_blocks == [
        {"head"},
        {"head", "layer.2", "layer.1"},
        {"head", "layer.2", "layer.1", "layer.0", "embeddings"},
    ]
    effective = line.said(Started)[0].effective
    assert (effective["freeze.layers"], effective["freeze.layers_at_end"]) == (3, 0)
    assert line.said(Finding) == []
    first, last = line.said(Step)[0], line.said(Step)[-1]
    assert set(first.layer_weights) == set(first.layer_gradients) == {"head"}
    assert last.layer_gradients is None or set(last.layer_gradients) == changed_blocks[-1]


def _block(name: str) -> str:
    parts = name.split(".")
    return f"layer.{parts[3]}" if "layer" in parts else parts[1 if parts[0] == "backbone" else 0]


@pytest.mark.parametrize("looks", [5, 14, 18, 27])
def test_a_drained_trial_unfreezes_as_an_undisturbed_one(
    tmp_path: Path, bert: LoadedModel, looks: int
) -> None:
    whole = _best(tmp_path / "whole", bert)
    job, settings = job_for(tmp_path / "halves", bert.folder, **UNFREEZING)
    first = Recorder(stop_after=looks)
    trainer.train(job, settings, first, bert)
    assert len(first.said(Checkpoint)) == 1
    assert same_tensors(whole, _best(tmp_path / "halves", bert))


def _best(folder: Path, loaded: LoadedModel) -> dict[str, torch.Tensor]:
    job, settings = job_for(folder, loaded.folder, **UNFREEZING)
    run = trainer.TrainingRun(job, settings, Recorder(), loaded)
    run.execute()
    return run.model.state_dict()


def test_weights_named_are_not_set_free_by_layers() -> None:
    with pytest.raises(ValidationError, match=r"unfreeze_layers_per_epoch 1 unfreezes layers, but"):
        FinetuneSettings(freeze="encoder.*", unfreeze_layers_per_epoch=1)


def test_the_trained_share_counts_what_will_be_set_free(tmp_path: Path, bert: LoadedModel) -> None:
    def share(**knobs: Any) -> float:
        combined: dict[str, Any] = {"epochs": 5, "freeze": 3, **knobs}
        job, settings = job_for(tmp_path, bert.folder, **combined)
        line = Recorder()
        run = trainer.TrainingRun(job, settings, line, bert)
        run._attest()
        (started,) = line.said(Started)
        return float(started.trainable_parameters / started.parameters)

    assert share() < 0.02
    assert share(unfreeze_layers_per_epoch=4) == 1
