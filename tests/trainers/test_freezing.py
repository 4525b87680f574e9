"""What stays as pretrained: shares, numbers and names of weights, and what is set free later."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainers.small import Recorder, job_for, same_tensors
from trainers import finetune
from trainers.backbone import LoadedModel
from trainers.classifier import Classifier, build
from trainers.freezing import frozen_layers
from trainers.protocol import FinetuneSettings, Finished, Refused, Started
from trainers.weights import weights_of


def made(loaded: LoadedModel, **knobs: object) -> Classifier:
    return build(loaded, FinetuneSettings.model_validate(knobs), 2, seed=1)


def frozen_names(model: Classifier) -> set[str]:
    return {name for name, p in model.named_parameters() if not p.requires_grad}


def test_patterns_freeze_what_they_match_and_put_it_into_evaluation(bert: LoadedModel) -> None:
    model = made(bert, freeze="embeddings.* encoder.layer.0.attention.*")
    expected = {
        name
        for name, _ in model.named_parameters()
        if name.startswith(("backbone.embeddings.", "backbone.encoder.layer.0.attention."))
    }
    assert frozen_names(model) == expected
    model.train()
    backbone = model.backbone
    assert not backbone.get_submodule("encoder.layer.0.attention.self.dropout").training
    assert backbone.get_submodule("encoder.layer.0.output.dropout").training


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        ("encoder.layer.9.*", r"'encoder.layer.9.\*' matches none of the model's 53 weights"),
        ("encoder.layer.0.output.dense.bias", "only a part of its module"),
    ],
)
def test_patterns_that_freeze_nothing_or_half_a_module_are_refused(
    bert: LoadedModel, patterns: str, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        made(bert, freeze=patterns)


def test_every_epoch_sets_a_layer_free_from_the_top(bert: LoadedModel) -> None:
    model = made(bert, freeze=3, unfreeze_layers_per_epoch=1, epochs=6)
    free = []
    for epoch in range(1, 7):
        model.begin_epoch(epoch)
        model.train()
        frozen = frozen_names(model)
        layers = [
            k for k in range(3) if f"backbone.encoder.layer.{k}.output.dense.weight" not in frozen
        ]
        free.append((layers, "backbone.embeddings.word_embeddings.weight" not in frozen))
        # What is frozen gives the same output again and again, so its dropout is off.
        for k in range(3):
            module = model.backbone.get_submodule(f"encoder.layer.{k}.output.dropout")
            assert module.training == (k in layers)
    assert free == [
        ([], False),
        ([2], False),
        ([1, 2], False),
        ([0, 1, 2], False),
        ([0, 1, 2], True),
        ([0, 1, 2], True),
    ]


def test_gradual_unfreezing_trains_what_it_sets_free_and_resumes_exactly(
    tmp_path: Path, bert: LoadedModel
) -> None:
    knobs: dict[str, Any] = {"freeze": 2, "unfreeze_layers_per_epoch": 1, "epochs": 4}
    job, settings = job_for(tmp_path / "whole", bert.folder, **knobs)
    whole = finetune.Run(job, settings, Recorder(), bert)
    before = {name: p.detach().clone() for name, p in whole.model.named_parameters()}
    whole.go()
    moved = {n for n, p in whole.model.named_parameters() if not torch.equal(p, before[n])}
    assert "backbone.encoder.layer.0.output.dense.weight" in moved
    assert "backbone.embeddings.word_embeddings.weight" in moved

    job, settings = job_for(tmp_path / "parts", bert.folder, **knobs)
    finetune.train(job, settings, Recorder(stop_after=17), bert)
    line = Recorder()
    parts = finetune.Run(job, settings, line, bert)
    parts.go()
    assert line.said(Started)[0].resumed_from_step > 9
    assert line.said(Finished)
    assert same_tensors(weights_of(parts.model), weights_of(whole.model))


def test_the_trained_share_counts_what_will_be_set_free(tmp_path: Path, bert: LoadedModel) -> None:
    def share(**knobs: object) -> float:
        settings: dict[str, Any] = {"epochs": 5, "freeze": 3, **knobs}
        job, made_settings = job_for(tmp_path, bert.folder, **settings)
        line = Recorder()
        run = finetune.Run(job, made_settings, line, bert)
        run._attest()
        (started,) = line.said(Started)
        return float(started.trainable_parameters / started.parameters)

    assert share() < 0.02
    assert share(unfreeze_layers_per_epoch=4) == 1


@given(st.integers(1, 100), st.sampled_from(["embed", "half", "full"]))
def test_shares_are_of_layers_and_round_down(layers: int, freeze: str) -> None:
    share = {"embed": 0.0, "half": 0.5, "full": 0.75}[freeze]
    found = frozen_layers(freeze, layers)
    assert found is not None
    assert found <= share * layers < found + 1
