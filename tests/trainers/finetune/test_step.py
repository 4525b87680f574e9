"""Steps that are taken in parts: the same gradient, whatever fits into memory."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainers.small import Recorder, job_for, same_tensors
from trytable.trainers.finetune import trainer
from trytable.trainers.models.backbone import LoadedModel
from trytable.trainers.models.state_dict import copy_weights
from trytable.trainers.protocol.messages import Epoch, Finding, Finished, Started, Step

STEPS = math.ceil(70 / 8)
NO_DROPOUT: dict[str, Any] = {"dropout": 0.0, "dropout_scope": "all", "epochs": 1}
"""Without dropout, the parts of a batch can be compared with the whole."""


def trained(folder: Path, loaded: LoadedModel, **knobs: Any) -> tuple[Recorder, dict[str, Any]]:
    """What was said, and the weights after the last step."""
    job, settings = job_for(folder, loaded.folder, **{**NO_DROPOUT, **knobs})
    line = Recorder()
    run = trainer.TrainingRun(job, settings, line, loaded)
    run.execute()
    return line, copy_weights(run.model)


@pytest.mark.parametrize("micro", [1, 3, 8])
def test_a_batch_in_parts_is_the_batch_even_where_it_is_the_rest(
    tmp_path: Path, bert: LoadedModel, micro: int
) -> None:
    # 70 sentences in batches of 8 leave a batch of 6.
    whole, weights = trained(tmp_path / "whole", bert)
    parts, part_weights = trained(tmp_path / "parts", bert, micro_batch_size=micro)
    for whole_step, part_step in zip(whole.said(Step), parts.said(Step), strict=True):
        assert part_step.loss == pytest.approx(whole_step.loss, rel=1e-5)
        assert part_step.gradient_norm == pytest.approx(whole_step.gradient_norm, rel=1e-4)
    for name, tensor in weights.items():
        torch.testing.assert_close(part_weights[name], tensor, rtol=1e-3, atol=1e-5)
    effective = parts.said(Started)[0].effective
    assert (effective["batch_size"], effective["batch_size.micro"]) == (8, micro)


def test_class_weights_do_not_tilt_the_parts(tmp_path: Path, bert: LoadedModel) -> None:
    knobs = {"class_weights": [5.0, 0.2], "focal_gamma": 1.0, "label_smoothing": 0.1}
    _, weights = trained(tmp_path / "whole", bert, **knobs)
    _, part_weights = trained(tmp_path / "parts", bert, micro_batch_size=3, **knobs)
    for name, tensor in weights.items():
        torch.testing.assert_close(part_weights[name], tensor, rtol=1e-3, atol=1e-5)


def needs_too_much(sentences: int) -> Any:
    """A hook that asks for more memory than there is, where a batch is larger than this."""

    def hook(_: torch.nn.Module, args: tuple[dict[str, torch.Tensor]]) -> None:
        if len(args[0]["input_ids"]) > sentences:
            torch.empty(2**55, dtype=torch.uint8)  # the allocator says no

    return hook


def test_out_of_memory_halves_what_is_held_and_keeps_the_batch(
    tmp_path: Path, bert: LoadedModel
) -> None:
    job, settings = job_for(tmp_path / "small", bert.folder, **NO_DROPOUT)
    line = Recorder()
    run = trainer.TrainingRun(job, settings, line, bert)
    run.model.register_forward_pre_hook(needs_too_much(2))
    run.execute()
    assert line.said(Finished)
    assert [finding.kind for finding in line.said(Finding)] == ["oom_retry", "oom_retry"]
    assert line.said(Finding)[-1].evidence == {"micro_batch_before": 4, "micro_batch": 2}
    whole, _ = trained(tmp_path / "whole", bert)
    assert [step.loss for step in line.said(Step)] == pytest.approx(
        [step.loss for step in whole.said(Step)], rel=1e-4
    )
    assert line.said(Epoch)[0].dev_loss == pytest.approx(whole.said(Epoch)[0].dev_loss, rel=1e-4)


@pytest.mark.parametrize("sentences", [2, 8], ids=["training", "evaluation"])
def test_on_a_gpu_that_trials_share_nothing_is_halved(
    tmp_path: Path, bert: LoadedModel, sentences: int
) -> None:
    """A batch of 8 is too large, or the 40 of an evaluation."""
    job, settings = job_for(tmp_path, bert.folder, **NO_DROPOUT)
    line = Recorder()
    run = trainer.TrainingRun(job.model_copy(update={"shared_device": True}), settings, line, bert)
    run.model.register_forward_pre_hook(needs_too_much(sentences))
    with pytest.raises(torch.OutOfMemoryError, match="can't allocate memory"):
        run.execute()
    assert (line.said(Finding), line.said(Epoch)) == ([], [])
    assert run.stepper.micro_batch == 8


def test_a_sentence_that_does_not_fit_alone_ends_the_attempt(
    tmp_path: Path, bert: LoadedModel
) -> None:
    job, settings = job_for(tmp_path, bert.folder, epochs=1)
    run = trainer.TrainingRun(job, settings, Recorder(), bert)
    run.model.register_forward_pre_hook(needs_too_much(0))
    with pytest.raises(torch.OutOfMemoryError, match="does not hold even a single sentence"):
        run.execute()


def test_a_resumed_trial_remembers_what_fits(tmp_path: Path, bert: LoadedModel) -> None:
    job, settings = job_for(tmp_path, bert.folder, epochs=1)
    first = Recorder(stop_after=4)
    run = trainer.TrainingRun(job, settings, first, bert)
    run.model.register_forward_pre_hook(needs_too_much(4))
    with pytest.raises(trainer.StopRequested):
        run.execute()
    run.save()
    resumed = trainer.TrainingRun(job, settings, Recorder(), bert)
    resumed.model.register_forward_pre_hook(needs_too_much(4))
    resumed.execute()
    assert [finding.kind for finding in resumed.line.said(Finding)] == []  # type: ignore[attr-defined] # a Recorder
    assert resumed.stepper.micro_batch == 4


def test_fp16_scales_its_losses_and_trains(tmp_path: Path, bert: LoadedModel) -> None:
    line, weights = trained(tmp_path, bert, precision="fp16", epochs=6, lr=5e-3)
    assert line.said(Started)[0].precision == "fp16"
    assert line.said(Finished)[0].best_dev_accuracy > 0.9
    assert all(tensor.dtype == torch.float32 for tensor in weights.values())


def test_an_fp16_overflow_leaves_its_step_out_and_scales_less(
    tmp_path: Path, bert: LoadedModel
) -> None:
    job, settings = job_for(tmp_path, bert.folder, precision="fp16", epochs=1)
    run = trainer.TrainingRun(job, settings, Recorder(), bert)
    initial = copy_weights(run.model)
    run.stepper.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    result = run.stepper.step(run.splits["train"], np.array([0, 1, 2]), 0)
    assert not math.isfinite(result.gradient_norm)
    assert same_tensors(copy_weights(run.model), initial)
    assert run.stepper.scaler.get_scale() < 2.0**40


def test_an_fp16_trial_resumes_with_its_scale(tmp_path: Path, bert: LoadedModel) -> None:
    knobs: dict[str, Any] = {**NO_DROPOUT, "precision": "fp16", "dropout": 0.3, "epochs": 2}
    whole, weights = trained(tmp_path / "whole", bert, **knobs)
    job, settings = job_for(tmp_path / "parts", bert.folder, **knobs)
    trainer.train(job, settings, Recorder(stop_after=STEPS + 5), bert)
    second = Recorder()
    run = trainer.TrainingRun(job, settings, second, bert)
    run.execute()
    assert same_tensors(copy_weights(run.model), weights)
    assert second.said(Epoch)[-1].dev_loss == whole.said(Epoch)[-1].dev_loss
