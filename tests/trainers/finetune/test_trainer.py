"""The trainer on small real models: what it says, what it keeps, how it stops and goes on."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from tests.trainers.small import CONFIGS, DATA, Recorder, job_for, same_tensors, save_model
from trytable.records import Objective, Refused
from trytable.trainers.data import tokens
from trytable.trainers.data.splits import TextData
from trytable.trainers.finetune import trainer
from trytable.trainers.finetune.checkpoints import CheckpointFolder
from trytable.trainers.finetune.step import NonFinite
from trytable.trainers.models.backbone import LoadedModel, load_model
from trytable.trainers.protocol.messages import (
    OBJECTIVES,
    Checkpoint,
    Epoch,
    Finding,
    Finished,
    Started,
    Step,
)

STEPS = math.ceil(70 / 8)


def best_weights(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = CheckpointFolder(folder / "trial" / "checkpoints").best()
    assert checkpoint is not None
    return checkpoint.tensors["model"]


def test_it_learns_and_says_so_in_order(odd: Path, bert: LoadedModel) -> None:
    job, settings = job_for(odd, bert.folder, epochs=6, lr=5e-3)
    line = Recorder()
    trainer.train(job, settings, line, bert)
    kinds = [kind for kind, _ in itertools.groupby(type(event) for event in line.events)]
    assert kinds == [Started, *[Step, Epoch] * 6, Finished]
    epochs, (finished,) = line.said(Epoch), line.said(Finished)
    accuracies = [epoch.dev_accuracy for epoch in epochs]
    assert finished.best_dev_accuracy == max(accuracies) > 0.9
    best = max(epochs, key=lambda epoch: (epoch.dev_accuracy, -epoch.dev_loss))
    assert finished.best_epoch == best.epoch
    assert finished.test_accuracy > 0.9
    gold = DATA.splits["dev"].labels
    agreed = [p == g for p, g in zip(finished.dev_predictions, gold, strict=True)]
    assert sum(agreed) / len(agreed) == pytest.approx(finished.best_dev_accuracy)
    assert epochs[-1].train_loss < epochs[0].train_loss
    assert [step.step for step in line.said(Step)] == list(range(1, 6 * STEPS + 1))


@pytest.mark.parametrize("looks", [0, 3, STEPS, STEPS + 1, STEPS + 3, 2 * STEPS + 3])
def test_a_drained_trial_goes_on_as_if_nothing_had_happened(
    odd: Path, bert: LoadedModel, looks: int
) -> None:
    knobs: dict[str, Any] = {"dropout": 0.3, "dropout_scope": "all", "epochs": 3}
    job, settings = job_for(odd / "whole", bert.folder, **knobs)
    whole = Recorder()
    trainer.train(job, settings, whole, bert)

    job, settings = job_for(odd / "halves", bert.folder, **knobs)
    first, second = Recorder(stop_after=looks), Recorder()
    trainer.train(job, settings, first, bert)
    assert len(first.said(Checkpoint)) == 1
    assert not first.said(Finished)
    trainer.train(job, settings, second, bert)

    def curve(*lines: Recorder) -> list[tuple[object, ...]]:
        epochs = [epoch for line in lines for epoch in line.said(Epoch)]
        return [(e.epoch, e.train_loss, e.dev_loss, e.dev_accuracy, e.step) for e in epochs]

    assert curve(first, second) == curve(whole)
    assert same_tensors(best_weights(odd / "whole"), best_weights(odd / "halves"))
    assert second.said(Finished)[0].dev_predictions == whole.said(Finished)[0].dev_predictions
    assert not (odd / "halves" / "trial" / "checkpoints" / "last").exists()


@pytest.mark.parametrize("reason", ["prune", "gate"])
def test_a_pruned_trial_leaves_no_checkpoint(odd: Path, bert: LoadedModel, reason: str) -> None:
    job, settings = job_for(odd, bert.folder, checkpoint_seconds=0)
    line = Recorder(stop_after=STEPS + 4, reason=reason)  # type: ignore[arg-type] # one of them
    trainer.train(job, settings, line, bert)
    assert not line.said(Finished)
    assert not (odd / "trial" / "checkpoints").exists()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("spoil", [flip, tear, Path.unlink])
@pytest.mark.parametrize("file", ["model.safetensors", "values.json", "manifest.json"])
def test_a_torn_checkpoint_is_passed_over_for_the_one_before(
    odd: Path, bert: LoadedModel, spoil: Callable[[Path], None], file: str
) -> None:
    job, settings = job_for(odd, bert.folder, epochs=3, checkpoint_seconds=0)
    # Two epochs and both their checkpoints, then away in the third.
    trainer.train(job, settings, Recorder(stop_after=2 * (STEPS + 3) + 3, reason="drain"), bert)
    spoil(odd / "trial" / "checkpoints" / "last" / file)
    line = Recorder()
    trainer.train(job, settings, line, bert)
    assert line.said(Started)[0].resumed_from_step == 2 * STEPS
    assert [epoch.epoch for epoch in line.said(Epoch)] == [3]


@pytest.mark.parametrize("spoil", [flip, tear, Path.unlink])
def test_where_no_checkpoint_is_whole_the_trial_begins_anew(
    odd: Path, bert: LoadedModel, spoil: Callable[[Path], None]
) -> None:
    knobs: dict[str, Any] = {"epochs": 3, "checkpoint_seconds": 0}
    job, settings = job_for(odd / "whole", bert.folder, **knobs)
    trainer.train(job, settings, Recorder(), bert)
    job, settings = job_for(odd / "spoilt", bert.folder, **knobs)
    trainer.train(job, settings, Recorder(stop_after=2 * (STEPS + 3) + 3, reason="drain"), bert)
    for path in (odd / "spoilt" / "trial" / "checkpoints").rglob("*.safetensors"):
        spoil(path)
    line = Recorder()
    trainer.train(job, settings, line, bert)
    assert line.said(Started)[0].resumed_from_step == 0
    assert same_tensors(best_weights(odd / "whole"), best_weights(odd / "spoilt"))


@pytest.mark.parametrize(
    "update", [{"trial_uid": "another"}, {"seed": 8}, {"data_hash": ""}, {"model": "another"}]
)
def test_a_checkpoint_of_another_job_is_not_resumed(
    odd: Path, bert: LoadedModel, update: dict[str, Any]
) -> None:
    job, settings = job_for(odd, bert.folder)
    trainer.train(job, settings, Recorder(stop_after=5), bert)
    if "data_hash" in update:
        other = TextData(("a", "b"), DATA.splits)
        tokens.cache_data(odd / "cache", other)
        update = {"data_hash": other.hash}
    line = Recorder()
    trainer.train(job.model_copy(update=update), settings, line, bert)
    assert line.said(Started)[0].resumed_from_step == 0
    assert line.said(Step)[0].step == 1


def test_a_checkpoint_of_other_settings_is_not_resumed(odd: Path, bert: LoadedModel) -> None:
    job, settings = job_for(odd, bert.folder)
    trainer.train(job, settings, Recorder(stop_after=5), bert)
    job, settings = job_for(odd, bert.folder, freeze="half")
    line = Recorder()
    trainer.train(job, settings, line, bert)
    assert line.said(Started)[0].resumed_from_step == 0


@pytest.mark.parametrize("drained", [False, True])
def test_what_a_killed_attempt_half_wrote_is_cleared_away(
    odd: Path, bert: LoadedModel, drained: bool
) -> None:
    job, settings = job_for(odd, bert.folder)
    folder = odd / "trial" / "checkpoints"
    (folder / ".last.0123").mkdir(parents=True)
    (folder / ".last.0123" / "model.safetensors").write_bytes(b"half")
    trainer.train(job, settings, Recorder(stop_after=5 if drained else None), bert)
    assert [path.name for path in folder.iterdir()] == ["last" if drained else "best"]


def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    odd: Path, bert: LoadedModel
) -> None:
    def losses(folder: str, seed: int) -> list[float]:
        job, settings = job_for(odd / folder, bert.folder, epochs=1)
        line = Recorder()
        trainer.train(job.model_copy(update={"seed": seed}), settings, line, bert)
        return [step.loss for step in line.said(Step)]

    assert losses("a", 1) == losses("b", 1) != losses("c", 2)


def test_the_rate_that_the_optimizer_saw_is_the_schedule(odd: Path, bert: LoadedModel) -> None:
    job, settings = job_for(odd, bert.folder, lr=2e-3, warmup=0.25, schedule="linear")
    line = Recorder()
    trainer.train(job, settings, line, bert)
    rates = [step.lr for step in line.said(Step)]
    warmup = round(2 * STEPS * 0.25)
    assert rates[:warmup] == pytest.approx([2e-3 * (i + 1) / warmup for i in range(warmup)])
    assert max(rates) == pytest.approx(2e-3)
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    effective = line.said(Started)[0].effective
    assert effective["lr.peak.backbone"] == pytest.approx(2e-3)
    assert effective["lr.last.backbone"] == pytest.approx(rates[-1])


def test_a_loss_that_is_no_number_ends_the_attempt(
    odd: Path, bert: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nan_loss(logits: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return logits.sum(1) * math.nan

    monkeypatch.setattr(functional, "cross_entropy", nan_loss)
    job, settings = job_for(odd, bert.folder)
    line = Recorder()
    with pytest.raises(NonFinite, match="nan at step 1"):
        trainer.train(job, settings, line, bert)
    assert line.said(Finding)[0].kind == "non_finite"


def test_a_gradient_that_is_no_number_ends_the_attempt_even_at_the_last_step(
    odd: Path, bert: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, calls = torch.nn.utils.clip_grad_norm_, itertools.count(1)

    def nan_norm(parameters: Any, max_norm: float) -> torch.Tensor:
        norm = clip(parameters, max_norm)
        return norm * math.nan if next(calls) == STEPS else norm

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", nan_norm)
    job, settings = job_for(odd, bert.folder, epochs=1)
    line = Recorder()
    with pytest.raises(NonFinite, match=f"gradient norm is nan at step {STEPS}"):
        trainer.train(job, settings, line, bert)
    assert not line.said(Epoch)


def test_a_dev_loss_that_is_no_number_ends_the_attempt(
    odd: Path, bert: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = torch.optim.AdamW.step

    def nan_weights(self: torch.optim.AdamW) -> None:
        step(self)
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.fill_(math.nan)

    monkeypatch.setattr(torch.optim.AdamW, "step", nan_weights)
    job, settings = job_for(odd, bert.folder, epochs=1, batch_size=70)
    line = Recorder()
    with pytest.raises(NonFinite, match="dev loss is nan at step 1"):
        trainer.train(job, settings, line, bert)
    assert not line.said(Epoch)
    assert not line.said(Finished)


def test_texts_longer_than_the_model_takes_are_refused(odd: Path) -> None:
    folder = save_model(odd / "short", max_position_embeddings=8)
    job, settings = job_for(odd, folder)
    with pytest.raises(Refused, match=r"(?s)longest text has 9 tokens.* takes 8\. Allowed: 8 to 8"):
        trainer.train(job, settings, Recorder(), load_model(str(folder)))
    job, settings = job_for(odd, folder, max_length=8, epochs=1)
    line = Recorder()
    trainer.train(job, settings, line, load_model(str(folder)))
    assert line.said(Finished)


def test_a_model_without_a_padding_token_trains(odd: Path) -> None:
    folder = save_model(odd / "model", "llama", pad_token_id=None)
    job, settings = job_for(odd, folder, epochs=1)
    line = Recorder()
    loaded = load_model(str(folder))
    loaded.config.pad_token_id = -1  # as some configs say it
    trainer.train(job, settings, line, loaded)
    assert line.said(Finished)


def test_a_batch_larger_than_the_data_is_refused(odd: Path, bert: LoadedModel) -> None:
    job, settings = job_for(odd, bert.folder, batch_size=71)
    with pytest.raises(Refused, match=r"batch_size 71 .* 70 sentences.*1 to 70"):
        trainer.train(job, settings, Recorder(), bert)


def test_an_unlabelled_test_file_is_predicted_and_never_scored(
    odd: Path, bert: LoadedModel
) -> None:
    hidden = DATA.splits["test"]
    unlabelled = type(hidden)(hidden.texts, (-1,) * len(hidden.texts))
    data = TextData(DATA.classes, {**DATA.splits, "test": unlabelled})
    job, settings = job_for(odd, bert.folder, data=data)
    line = Recorder()
    trainer.train(job, settings, line, bert)
    (finished,) = line.said(Finished)
    assert finished.test_accuracy is None
    assert len(finished.test_predictions) == 30


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_every_family_trains(odd: Path, kind: str) -> None:
    folder = save_model(odd / kind, kind)
    job, settings = job_for(odd, folder, epochs=1, freeze="half", dropout_scope="all")
    line = Recorder()
    trainer.train(job, settings, line, load_model(str(folder)))
    assert line.said(Finished)


def test_bf16_trains_and_is_recorded(odd: Path, bert: LoadedModel) -> None:
    job, settings = job_for(odd, bert.folder, precision="bf16", epochs=1)
    line = Recorder()
    trainer.train(job, settings, line, bert)
    assert line.said(Started)[0].precision == "bf16"
    assert math.isfinite(line.said(Epoch)[0].train_loss)


@pytest.mark.parametrize(
    ("name", "choose"), [("dev_loss", min), ("dev_macro_f1", max), ("dev_accuracy", max)]
)
def test_the_best_epoch_is_the_objectives(
    odd: Path, bert: LoadedModel, name: str, choose: Any
) -> None:
    objective = Objective(name=name, direction=OBJECTIVES[name])
    job, settings = job_for(odd, bert.folder, epochs=5, lr=2e-2)
    line = Recorder()
    trainer.train(job.model_copy(update={"objective": objective}), settings, line, bert)
    epochs, (finished,) = line.said(Epoch), line.said(Finished)
    values = [getattr(epoch, name) for epoch in epochs]
    assert [epoch.value for epoch in epochs] == values
    assert finished.best_value == choose(values)
    best = epochs[finished.best_epoch - 1]
    assert (best.value, best.dev_accuracy) == (finished.best_value, finished.best_dev_accuracy)


def test_patience_ends_a_trial_early_and_says_so(odd: Path, bert: LoadedModel) -> None:
    # At such a rate the model soon says one class whatever it reads.
    job, settings = job_for(odd, bert.folder, epochs=30, lr=0.5, patience_epochs=2, min_epochs=4)
    line = Recorder()
    trainer.train(job, settings, line, bert)
    last, (finished,) = line.said(Epoch)[-1].epoch, line.said(Finished)
    assert 4 <= last == max(finished.best_epoch + 2, 4) < 30
    assert [finding.kind for finding in line.said(Finding)] == ["patience"]
