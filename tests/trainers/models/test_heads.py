"""What stands on a backbone: its layers, its dropout, its batch norm."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from tests.trainers.small import Recorder, job_for, same_tensors
from trytable.trainers.finetune import trainer
from trytable.trainers.finetune.checkpoints import CheckpointFolder
from trytable.trainers.models.backbone import LoadedModel
from trytable.trainers.models.classifier import build_classifier
from trytable.trainers.models.heads import hidden_widths, make_head
from trytable.trainers.protocol.messages import Finding, FinetuneSettings, Finished, Started


def head_of(**knobs: Any) -> nn.Module:
    settings = FinetuneSettings.model_validate(knobs)
    return make_head(settings, 16, 3, torch.Generator().manual_seed(1))


NORMED = ("Linear", "BatchNorm1d", "ReLU", "Dropout")


def kinds(head: nn.Module) -> list[str]:
    return [type(module).__name__ for module in head.modules() if not list(module.children())]


@pytest.mark.parametrize(
    ("knobs", "widths", "layers"),
    [
        ({}, [], ["Linear"]),
        ({"head_widths": "8-4"}, [], ["Linear"]),
        ({"head": "mlp"}, [512, 256], [*NORMED, *NORMED, "Linear"]),
        ({"head": "mlp", "head_widths": 8}, [8], [*NORMED, "Linear"]),
        (
            {"head": "mlp", "head_widths": "8-4", "head_batch_norm": False},
            [8, 4],
            ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"],
        ),
    ],
)
def test_a_head_has_the_layers_asked_for(
    knobs: dict[str, Any], widths: list[int], layers: list[str]
) -> None:
    head = head_of(**knobs)
    assert kinds(head) == layers
    linear = [layer for layer in head.modules() if isinstance(layer, nn.Linear)]
    assert [layer.in_features for layer in linear] == [16, *widths]
    assert [layer.out_features for layer in linear] == [*widths, 3]
    assert hidden_widths(FinetuneSettings.model_validate(knobs)) == widths
    assert head(torch.randn(5, 16)).shape == (5, 3)


@pytest.mark.parametrize("widths", ["512-", "-1", "0", "8x4", 0, "1-2-3-4-5-6-7-8-9"])
def test_widths_that_are_none_are_refused(widths: Any) -> None:
    with pytest.raises(ValidationError):
        FinetuneSettings(head_widths=widths)


@pytest.mark.parametrize("dropout", [0.0, 0.45])
def test_the_heads_dropout_is_the_one_asked_for(bert: LoadedModel, dropout: float) -> None:
    settings = FinetuneSettings(head="mlp", head_widths="8-4", dropout=dropout)
    model = build_classifier(bert, settings, 3, seed=1)
    dropouts = [module.p for module in model.head.modules() if isinstance(module, nn.Dropout)]
    assert [model.dropout.p, *dropouts] == [dropout] * 3
    assert {module.p for module in model.backbone.modules() if isinstance(module, nn.Dropout)} == {
        0.1
    }


def test_batch_norm_counts_in_training_and_not_in_evaluation() -> None:
    head = head_of(head="mlp", head_widths=8, dropout=0.0)
    (norm,) = [module for module in head.modules() if isinstance(module, nn.BatchNorm1d)]
    assert norm.running_mean is not None
    vectors = torch.randn(6, 16) + 3
    head.eval()
    expected = head(vectors)
    assert torch.equal(expected, head(vectors))
    assert norm.running_mean.abs().sum() == 0
    head.train()
    assert not torch.equal(expected, head(vectors))
    assert norm.running_mean.abs().sum() > 0
    # One sentence alone has no variance: it is taken as in evaluation, and not counted.
    mean = norm.running_mean.clone()
    alone = head(vectors[:1])
    assert torch.equal(norm.running_mean, mean)
    assert torch.allclose(alone, head.eval()(vectors[:1]))


@pytest.mark.parametrize("knobs", [{}, {"batch_size": 23, "micro_batch_size": 22}])
def test_it_trains_and_resumes_with_what_batch_norm_counted(
    tmp_path: Path, bert: LoadedModel, knobs: dict[str, Any]
) -> None:
    """70 sentences in batches of 23 leave a last one alone, as micro-batches of 22 do."""
    combined = {"head": "mlp", "head_widths": "8-4", **knobs}
    job, settings = job_for(tmp_path / "whole", bert.folder, **combined)
    whole = Recorder()
    trainer.train(job, settings, whole, bert)
    assert whole.said(Finding) == []
    effective = whole.said(Started)[0].effective
    assert (effective["head"], effective["head.shape"]) == ("mlp", "16-8-4-2")
    assert (effective["head_widths"], effective["head_batch_norm"]) == ("8-4", True)

    job, settings = job_for(tmp_path / "halves", bert.folder, **combined)
    trainer.train(job, settings, Recorder(stop_after=4), bert)
    trainer.train(job, settings, resumed := Recorder(), bert)
    assert resumed.said(Started)[0].resumed_from_step > 0
    assert resumed.said(Finished)[0].dev_predictions == whole.said(Finished)[0].dev_predictions
    assert same_tensors(*(_best(tmp_path / side) for side in ("whole", "halves")))


def test_it_learns_also_where_a_batch_is_one_sentence(tmp_path: Path, bert: LoadedModel) -> None:
    knobs: dict[str, Any] = {"head": "mlp", "head_widths": "12-6", "dropout": 0.0}
    job, settings = job_for(tmp_path, bert.folder, batch_size=23, epochs=25, lr=1e-2, **knobs)
    line = Recorder()
    trainer.train(job, settings, line, bert)
    assert line.said(Finished)[0].best_dev_accuracy > 0.9


def _best(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = CheckpointFolder(folder / "trial" / "checkpoints").best()
    assert checkpoint is not None
    assert any(name.endswith("running_mean") for name in checkpoint.tensors["model"])
    return checkpoint.tensors["model"]
