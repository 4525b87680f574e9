"""The head with hidden layers: what it is made of, and that it trains and resumes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainers.small import Recorder, job_for, same_tensors
from trainers import finetune
from trainers.backbone import LoadedModel
from trainers.classifier import build
from trainers.protocol import FinetuneSettings, Finished, Started
from trainers.weights import weights_of

MLP: dict[str, Any] = {"head": "mlp", "head_widths": [12, 6], "dropout": 0.25}


@pytest.mark.parametrize("norm", [True, False])
def test_the_head_has_the_widths_norms_and_dropout_asked_for(bert: LoadedModel, norm: bool) -> None:
    settings = FinetuneSettings.model_validate({**MLP, "head_batch_norm": norm})
    head = build(bert, settings, 4, seed=1).head
    kinds = [type(layer).__name__ for layer in head.children()]
    hidden = ["Linear", *(["BatchNorm1d"] if norm else []), "ReLU", "Dropout"]
    assert kinds == [*hidden, *hidden, "Linear"]
    widths = [m.weight.shape for m in head.modules() if isinstance(m, nn.Linear)]
    assert widths == [(12, 16), (6, 12), (4, 6)]
    assert {m.p for m in head.modules() if isinstance(m, nn.Dropout)} == {0.25}


def test_it_learns_also_where_a_batch_is_one_sentence(tmp_path: Path, bert: LoadedModel) -> None:
    # 70 sentences in batches of 23 leave one alone.
    job, settings = job_for(
        tmp_path, bert.folder, batch_size=23, epochs=25, lr=1e-2, **{**MLP, "dropout": 0.0}
    )
    line = Recorder()
    finetune.train(job, settings, line, bert)
    assert line.said(Finished)[0].best_dev_accuracy > 0.9
    effective = line.said(Started)[0].effective
    assert (effective["head"], effective["head.shape"]) == ("mlp", "16-12-6-2")
    assert effective["head.batch_norms"] == 2


def test_what_batch_norms_have_counted_is_resumed(tmp_path: Path, bert: LoadedModel) -> None:
    job, settings = job_for(tmp_path / "whole", bert.folder, epochs=2, **MLP)
    whole = finetune.Run(job, settings, Recorder(), bert)
    whole.go()
    assert any("running_mean" in name for name in weights_of(whole.model))
    job, settings = job_for(tmp_path / "parts", bert.folder, epochs=2, **MLP)
    finetune.train(job, settings, Recorder(stop_after=5), bert)
    parts = finetune.Run(job, settings, Recorder(), bert)
    parts.go()
    assert same_tensors(weights_of(parts.model), weights_of(whole.model))


def test_a_sentence_alone_leaves_the_counts_of_batch_norm_alone(bert: LoadedModel) -> None:
    head = build(bert, FinetuneSettings.model_validate(MLP), 2, seed=1).head.train()
    before = {name: one.clone() for name, one in head.named_buffers()}
    head(torch.randn(1, 16))
    assert same_tensors(dict(head.named_buffers()), before)
    head(torch.randn(2, 16))
    assert not same_tensors(dict(head.named_buffers()), before)
