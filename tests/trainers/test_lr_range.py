"""The range test's own training: how the rate rises, when it ends, and that it leaves no trace."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainers.small import Recorder, job_for, same_tensors
from trainers import finetune
from trainers.backbone import LoadedModel
from trainers.lr_range import DIVERGED, range_test
from trainers.weights import moments_of, weights_of


def made(folder: Path, loaded: LoadedModel, **knobs: Any) -> finetune.Run:
    job, settings = job_for(folder, loaded.folder, **{"dropout": 0.3, **knobs})
    return finetune.Run(job, settings, Recorder(), loaded)


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


@pytest.mark.parametrize("ended_early", [False, True])
def test_weights_moments_and_random_state_are_as_before(
    tmp_path: Path, bert: LoadedModel, ended_early: bool
) -> None:
    run = made(tmp_path, bert)
    run._train_epoch()  # so that there are moments to lose
    weights, moments = weights_of(run.model), moments_of(run.model, run.optimizer)
    rates = [group["lr"] for group in run.optimizer.param_groups]
    state = torch.get_rng_state()
    test = range_test(run, 1e-5, 10.0, 40)
    if ended_early:
        next(test)
        test.close()
    else:
        list(test)
    assert same_tensors(weights_of(run.model), weights)
    assert same_tensors(moments_of(run.model, run.optimizer), moments)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(rates) == len(run.optimizer.param_groups)


def test_it_ends_when_the_loss_diverges(tmp_path: Path, bert: LoadedModel) -> None:
    found = list(range_test(made(tmp_path, bert, batch_size=16), 1e-4, 1e5, 300))
    assert len(found) < 300
    smoothed = [one for _, _, one in found]
    assert smoothed[-1] > DIVERGED * min(smoothed)
    assert all(one <= DIVERGED * min(smoothed[: i + 1]) for i, one in enumerate(smoothed[:-1]))


def test_the_same_seed_gives_the_same_curve_again(tmp_path: Path, bert: LoadedModel) -> None:
    run = made(tmp_path, bert)
    assert list(range_test(run, 1e-6, 1e-2, 25)) == list(range_test(run, 1e-6, 1e-2, 25))
