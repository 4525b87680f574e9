"""Norms by layer, read from live models, and how predictions are spread."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainers.small import Recorder, job_for
from trytable.results.analysis.diagnosis.symptoms.trainable import dead_gradients
from trytable.results.analysis.diagnosis.symptoms.trial import DiagnosedTrial
from trytable.results.storage.rows import StepRow
from trytable.trainers.finetune import trainer
from trytable.trainers.finetune.evaluation import prediction_spread
from trytable.trainers.finetune.norms import BlockNorms
from trytable.trainers.models.backbone import LoadedModel, transformer_layers
from trytable.trainers.protocol.messages import Epoch, Step

BLOCKS = {"embeddings", "layer.0", "layer.1", "layer.2", "head"}


def trained(folder: Path, model: LoadedModel, **knobs: Any) -> Recorder:
    line = Recorder()
    job, settings = job_for(folder, model.folder, epochs=1, log_every_steps=2, **knobs)
    trainer.train(job, settings, line, model)
    return line


def test_the_layers_norms_add_up_to_the_whole_ones(odd: Path, bert: LoadedModel) -> None:
    """The squares of the blocks' norms are the square of the whole norm, clipped or not."""
    for max_norm in (1e-3, 1e9):
        steps = trained(odd / str(max_norm), bert, max_gradient_norm=max_norm).said(Step)
        first = steps[0]
        assert set(first.layer_gradients) == set(first.layer_weights) == BLOCKS
        gradient = sum(norm**2 for norm in first.layer_gradients.values()) ** 0.5
        assert gradient == pytest.approx(first.gradient_norm, rel=1e-3)
        weights = sum(norm**2 for norm in first.layer_weights.values()) ** 0.5
        assert weights == pytest.approx(first.weight_norm, rel=1e-5)
        assert all(0 <= step.running_accuracy <= 1 for step in steps)


def test_layers_are_measured_at_the_first_step_and_then_now_and_then(
    odd: Path, bert: LoadedModel
) -> None:
    steps = trained(odd, bert, batch_size=2).said(Step)
    measured_at = [step.step for step in steps if step.layer_gradients]
    assert [step.step for step in steps][:3] == [1, 2, 4]
    assert measured_at == [1, 10, 20, 30]


def test_frozen_layers_are_not_among_the_trained(odd: Path, bert: LoadedModel) -> None:
    first = trained(odd, bert, freeze=2).said(Step)[0]
    assert set(first.layer_gradients) == {"layer.2", "head"}


def test_a_layer_that_the_loss_does_not_reach_is_found_dead(odd: Path, bert: LoadedModel) -> None:
    job, settings = job_for(odd, bert.folder, epochs=1)
    run = trainer.TrainingRun(job, settings, Recorder(), bert)
    middle = transformer_layers(run.model.backbone)[1]
    middle.register_forward_hook(lambda _module, _inputs, output: output.detach())
    run._train_epoch()
    norms = BlockNorms(run.model).gradients(1.0, 1.0)
    assert [block for block, norm in norms.items() if norm == 0] == [
        "embeddings", "layer.0", "layer.1",
    ]  # fmt: skip
    row = StepRow("t", 1, 1, 1, 0.7, 1e-3, 1.0, None, layer_gradients=norms)
    finding = dead_gradients(DiagnosedTrial(steps=(row,)))
    assert finding is not None
    assert finding.evidence["blocks"] == "embeddings, layer.0, layer.1"


def test_the_class_that_most_predictions_are_of(odd: Path, bert: LoadedModel) -> None:
    spread = prediction_spread(np.array([2, 2, 0, 2]))
    assert spread == {"predicted_largest_class": 2.0, "predicted_largest_share": 0.75}
    line = trained(odd, bert, lr=1e-9)
    (epoch,) = line.said(Epoch)
    assert 0.5 <= epoch.metrics["predicted_largest_share"] <= 1
    assert torch.tensor(list(epoch.metrics.values())).isfinite().all()
