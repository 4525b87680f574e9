"""Random draws: one knob does not disturb another's, and a killed worker's are drawn again."""

import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.small import Recorder, job_for, same_tensors
from trytable.trainers.finetune import trainer
from trytable.trainers.finetune.checkpoints import CheckpointFolder
from trytable.trainers.models.backbone import LoadedModel
from trytable.trainers.protocol.messages import Epoch, Event, Finished, Step, parse_event

KILLS = 8


def seen_by(folder: Path, loaded: LoadedModel, **knobs: Any) -> tuple[list[Any], torch.Tensor]:
    """The batches that the model saw while training, and the head that it began with."""
    job, settings = job_for(folder, loaded.folder, epochs=1, **knobs)
    run = trainer.TrainingRun(job, settings, Recorder(), loaded)
    head = run.model.state_dict()["head.weight"].clone()
    batches: list[Any] = []

    def look(model: torch.nn.Module, args: tuple[dict[str, torch.Tensor]]) -> None:
        if model.training:
            batches.append(args[0]["input_ids"].tolist())

    run.model.register_forward_pre_hook(look)
    run.execute()
    return batches, head


@pytest.mark.parametrize(
    "knobs",
    [
        {"dropout": 0.7, "dropout_scope": "all"},
        {"lr": 1e-2, "schedule": "cosine"},
        {"freeze": "full"},
        {"label_smoothing": 0.2, "class_weights": "balanced"},
        {"probe_size": 3},
    ],
)
def test_a_knob_that_changes_leaves_order_and_first_weights_alone(
    tmp_path: Path, bert: LoadedModel, knobs: dict[str, Any]
) -> None:
    batches, head = seen_by(tmp_path / "one", bert)
    other_batches, other_head = seen_by(tmp_path / "other", bert, **knobs)
    assert batches == other_batches
    assert torch.equal(head, other_head)


class Mortal:
    """A line that writes down what was said, and kills its process after so many words."""

    def __init__(self, path: Path, words: int | None) -> None:
        self._path = path
        self._words = words

    def send(self, event: Event) -> None:
        with self._path.open("ab") as file:
            file.write(event.model_dump_json().encode() + b"\n")
        if self._words is not None:
            self._words -= 1
            if self._words < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def stop_reason(self) -> None:
        return None


def test_a_worker_killed_at_any_step_ends_with_the_bits_of_an_undisturbed_one(
    tmp_path: Path, bert: LoadedModel
) -> None:
    knobs: dict[str, Any] = {
        "epochs": 6,
        "dropout": 0.3,
        "dropout_scope": "all",
        "checkpoint_seconds": 0,
        "layer_lr_decay": 0.8,
    }
    job, settings = job_for(tmp_path / "whole", bert.folder, **knobs)
    whole = Recorder()
    trainer.train(job, settings, whole, bert)

    job, settings = job_for(tmp_path / "killed", bert.folder, **knobs)
    path = tmp_path / "events.jsonl"
    context, generator = multiprocessing.get_context("fork"), random.Random(5)
    codes = []
    for kill in range(KILLS + 1):
        words = generator.randrange(1, 25) if kill < KILLS else None
        worker = context.Process(
            target=trainer.train, args=(job, settings, Mortal(path, words), bert)
        )
        worker.start()
        worker.join(timeout=120)
        codes.append(worker.exitcode)
        if worker.exitcode == 0:
            break
    assert codes[-1] == 0
    assert codes.count(-signal.SIGKILL) == len(codes) - 1 >= 3

    events = [parse_event(line) for line in path.read_bytes().splitlines()]
    epochs = {event.epoch: event for event in events if isinstance(event, Epoch)}
    for event in whole.said(Epoch):
        assert _figures(epochs[event.epoch]) == _figures(event)
    steps = {event.step: event.loss for event in events if isinstance(event, Step)}
    assert steps == {event.step: event.loss for event in whole.said(Step)}
    (expected,) = whole.said(Finished)
    for finished in (event for event in events if isinstance(event, Finished)):
        assert finished.dev_predictions == expected.dev_predictions
    folders = [
        CheckpointFolder(tmp_path / side / "trial" / "checkpoints") for side in ("whole", "killed")
    ]
    best = [folder.best() for folder in folders]
    assert best[0] is not None
    assert best[1] is not None
    assert same_tensors(best[0].tensors["model"], best[1].tensors["model"])
    assert not (tmp_path / "killed" / "trial" / "checkpoints" / "last").exists()


def _figures(epoch: Epoch) -> tuple[object, ...]:
    return (epoch.epoch, epoch.step, epoch.train_loss, epoch.dev_loss, epoch.dev_accuracy)
