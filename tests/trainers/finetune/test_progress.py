"""Which epoch is the best, and when the rest is not worth its time."""

import pytest

from trytable.records import Objective
from trytable.trainers.finetune.progress import TrainingProgress
from trytable.trainers.protocol.messages import FinetuneSettings

ACCURACY = Objective()
LOSS = Objective(name="dev_loss", direction="minimize")


def ended_after(curve: list[tuple[float, float]], **knobs: int) -> tuple[int, int]:
    """The last and the best epoch of a trial with these pairs of accuracy and loss."""
    settings = FinetuneSettings.model_validate({"epochs": len(curve), **knobs})
    progress = TrainingProgress()
    for accuracy, loss in curve:
        if progress.improves(ACCURACY, accuracy, loss):
            progress.best_epoch, progress.best_value = progress.epoch, accuracy
            progress.best_loss = loss
        progress = progress.next_epoch()
        if progress.is_finished(settings):
            break
    return progress.epoch - 1, progress.best_epoch


CURVE = [(0.3, 1.5), (0.4, 1.4), (0.4, 1.3), (0.4, 1.35), (0.39, 1.2), (0.5, 1.1)]


@pytest.mark.parametrize(
    ("knobs", "last", "best"),
    [
        ({}, 6, 6),
        ({"patience_epochs": 2}, 5, 3),
        ({"patience_epochs": 1}, 4, 3),
        ({"patience_epochs": 3}, 6, 6),
        ({"patience_epochs": 1, "min_epochs": 6}, 6, 6),
        ({"patience_epochs": 1, "min_epochs": 5}, 5, 3),
    ],
)
def test_patience_counts_epochs_without_a_better_one(
    knobs: dict[str, int], last: int, best: int
) -> None:
    assert ended_after(CURVE, **knobs) == (last, best)


def test_at_a_tie_the_lower_dev_loss_is_better() -> None:
    progress = TrainingProgress(best_epoch=1, best_value=0.4, best_loss=1.3)
    assert progress.improves(ACCURACY, 0.4, 1.2)
    assert not progress.improves(ACCURACY, 0.4, 1.3)
    assert not progress.improves(ACCURACY, 0.39, 0.1)


def test_a_loss_is_better_when_lower() -> None:
    progress = TrainingProgress(best_epoch=1, best_value=0.4, best_loss=0.4)
    assert progress.improves(LOSS, 0.3, 0.3)
    assert not progress.improves(LOSS, 0.5, 0.5)
