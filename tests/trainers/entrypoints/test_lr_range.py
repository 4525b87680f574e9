"""The range test's own training: how the rate rises, when it ends, and that it leaves no trace."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainers.small import Recorder, job_for, same_tensors, save_data
from trytable.records import Refused
from trytable.trainers.entrypoints.lr_range import (
    DIVERGED,
    SMOOTHING,
    Smoother,
    all_tests,
    range_test,
)
from trytable.trainers.finetune import trainer
from trytable.trainers.models.backbone import LoadedModel
from trytable.trainers.models.state_dict import copy_moments, copy_weights
from trytable.trainers.protocol.messages import RangePoint, Step

EVERY_KNOB = {
    "dropout": 0.3, "augment_delete": 0.2, "augment_swap": 0.2, "label_smoothing": 0.1,
    "class_weights": "balanced", "head": "mlp", "head_widths": "8-4", "head_batch_norm": True,
    "max_gradient_norm": 0.5, "log_every_steps": 1,
}  # fmt: skip


def made(folder: Path, loaded: LoadedModel, **knobs: Any) -> trainer.TrainingRun:
    job, settings = job_for(folder, loaded.folder, **{"dropout": 0.3, **knobs})
    return trainer.TrainingRun(job, settings, Recorder(), loaded)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40))
def test_a_smoothed_loss_is_the_mean_with_weights_that_fade(losses: list[float]) -> None:
    smoother = Smoother()
    found = [smoother.add(one) for one in losses][-1]
    weights = SMOOTHING ** np.arange(len(losses))[::-1]
    assert found == pytest.approx(np.average(losses, weights=weights), abs=1e-9)


def test_the_rate_rises_exponentially_and_groups_keep_their_places(
    tmp_path: Path, bert: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(tmp_path, bert, lr=1e-4, head_lr_multiplier=10.0)
    used: list[dict[str, float]] = []
    step = torch.optim.AdamW.step

    def look(self: torch.optim.AdamW, *given: Any) -> Any:
        used.append({group["name"]: group["lr"] for group in self.param_groups})
        return step(self, *given)

    monkeypatch.setattr(torch.optim.AdamW, "step", look)
    found = list(range_test(run, 1e-7, 1e-3, 30))
    rates = [lr for lr, _, _ in found]
    assert rates == pytest.approx(list(np.geomspace(1e-7, 1e-3, 30)))
    assert [one["backbone.matrices"] for one in used] == pytest.approx(rates)
    assert [one["head.matrices"] for one in used] == pytest.approx([10 * lr for lr in rates])


def test_it_trains_as_training_does(tmp_path: Path, bert: LoadedModel) -> None:
    """At one rate all along, each loss of the first epoch is training's to the last bit."""
    knobs: dict[str, Any] = {**EVERY_KNOB, "lr": 1e-3, "schedule": "constant", "warmup": 0.0}
    line = Recorder()
    job, settings = job_for(tmp_path, bert.folder, **knobs)
    trained = trainer.TrainingRun(job, settings, line, bert)
    trained._train_epoch()
    expected = [one.loss for one in line.events if isinstance(one, Step)]
    tested = range_test(
        trainer.TrainingRun(job, settings, Recorder(), bert), 1e-3, 1e-3, len(expected)
    )
    assert [loss for _, loss, _ in tested] == expected
    assert len(set(expected)) > 2


@pytest.mark.parametrize("ended_early", [False, True])
def test_all_is_as_before_and_training_goes_on_as_if_it_had_not_been(
    tmp_path: Path, bert: LoadedModel, ended_early: bool
) -> None:
    run = made(tmp_path, bert, freeze="half", unfreeze_layers_per_epoch=1, **EVERY_KNOB)
    untouched = made(tmp_path, bert, freeze="half", unfreeze_layers_per_epoch=1, **EVERY_KNOB)
    for one in (run, untouched):
        one._train_epoch()  # so that there are moments to lose
        one.progress = one.progress.next_epoch()
        one.model.begin_epoch(2)
    weights, moments = copy_weights(run.model), copy_moments(run.model, run.optimizer)
    rates = [group["lr"] for group in run.optimizer.param_groups]
    freed = [name for name, one in run.model.named_parameters() if one.requires_grad]
    state = torch.get_rng_state()
    test = range_test(run, 1e-5, 10.0, 40)
    if ended_early:
        next(test)
        assert not same_tensors(copy_weights(run.model), weights)
        test.close()
    else:
        list(test)
    assert same_tensors(copy_weights(run.model), weights)
    assert same_tensors(copy_moments(run.model, run.optimizer), moments)
    assert [group["lr"] for group in run.optimizer.param_groups] == rates
    assert [name for name, one in run.model.named_parameters() if one.requires_grad] == freed
    assert torch.equal(torch.get_rng_state(), state)
    for one in (run, untouched):
        one._train_epoch()
    assert same_tensors(copy_weights(run.model), copy_weights(untouched.model))


def test_the_scale_of_fp16_is_as_before(tmp_path: Path, bert: LoadedModel) -> None:
    run = made(tmp_path, bert)
    run.stepper.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14, growth_interval=2)
    before = run.stepper.state()
    test = range_test(run, 1e-6, 1e-4, 20)
    scales = [run.stepper.state()["scale"] for _ in test]
    assert max(scales) > before["scale"]
    assert run.stepper.state() == before


def test_it_ends_when_the_loss_diverges(tmp_path: Path, bert: LoadedModel) -> None:
    found = list(range_test(made(tmp_path, bert, batch_size=16), 1e-4, 1e5, 300))
    assert len(found) < 300
    smoothed = [one for _, _, one in found]
    assert smoothed[-1] > DIVERGED * min(smoothed)
    assert all(one <= DIVERGED * min(smoothed[: i + 1]) for i, one in enumerate(smoothed[:-1]))


def test_the_same_seed_gives_the_same_curve_again(tmp_path: Path, bert: LoadedModel) -> None:
    run = made(tmp_path, bert)
    assert list(range_test(run, 1e-6, 1e-2, 25)) == list(range_test(run, 1e-6, 1e-2, 25))


def asked(folder: Path, model: Path, freezes: list[str | int]) -> dict[str, Any]:
    job, _ = job_for(folder, str(model), batch_size=8, log_every_steps=1)
    data = {"name": str(save_data(folder / "data"))}
    given = {**job.model_dump(mode="json"), "data": data, "data_hash": ""}
    return {
        "job": given, "freezes": freezes, "seeds": 2, "low": 1e-5, "high": 1e-2, "steps": 20,
    }  # fmt: skip


def test_strategies_and_seeds_come_in_turn(tmp_path: Path, bert_folder: Path) -> None:
    said = list(all_tests(asked(tmp_path, bert_folder, ["none", 2])))
    points = [one for one in said if isinstance(one, RangePoint)]
    turns = list(dict.fromkeys((one.freeze, one.seed) for one in points))
    assert [freeze for freeze, _ in turns] == ["none", "none", "2", "2"]
    assert turns[1][1] == turns[0][1] + 1
    assert [one.step for one in points if (one.freeze, one.seed) == turns[0]] == [*range(1, 21)]
    assert len({one.loss for one in points if one.step == 1}) > 1


def test_strategies_that_the_model_lacks_are_refused_before_any_step(
    tmp_path: Path, bert_folder: Path
) -> None:
    said = all_tests(asked(tmp_path, bert_folder, ["none", 99, "no.such.*"]))
    assert next(said) == "Reading data and model"
    with pytest.raises(Refused) as refusal:
        next(said)
    assert "freeze 99: the model has 3 layers" in str(refusal.value)
    assert "'no.such.*' matches none" in str(refusal.value)
