"""How far a trial has come, and its best epoch so far."""

from dataclasses import dataclass, field, replace

from trytable.records import Objective
from trytable.trainers.protocol.messages import FinetuneSettings


@dataclass
class TrainingProgress:
    """The state of a trial that, with its weights, is all that resuming needs.

    Checkpoints store the fields under these names, so none may be renamed. `epoch` is the current
    one, counted from 1. `loss_sum` is the sum of cross-entropies in nats over the `seen` sentences
    of this epoch, `correct` the number of right predictions. `micro_batch` is the size to which
    the micro-batch was halved, 0 if memory has never run out.
    """

    epoch: int = 1
    step_in_epoch: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0
    micro_batch: int = 0
    best_epoch: int = 0
    best_value: float | None = None
    best_loss: float = 0.0
    best_accuracy: float = 0.0
    best_predictions: list[int] = field(default_factory=list)

    def next_epoch(self) -> "TrainingProgress":
        """Return the progress at the start of the next epoch."""
        return replace(
            self,
            epoch=self.epoch + 1,
            step_in_epoch=0,
            loss_sum=0.0,
            correct=0,
            seen=0,
            seconds=0.0,
        )

    def record_best(self, value: float, loss: float, accuracy: float, labels: list[int]) -> None:
        """Record the current epoch as the best one so far, with its dev results."""
        self.best_epoch, self.best_value = self.epoch, value
        self.best_loss, self.best_accuracy = loss, accuracy
        self.best_predictions = labels

    def improves(self, objective: Objective, value: float, dev_loss: float) -> bool:
        """Whether an epoch is the best so far; among equal values the lower dev loss is better."""
        if value == self.best_value:
            return dev_loss < self.best_loss
        return objective.is_better(value, self.best_value)

    def is_finished(self, settings: FinetuneSettings) -> bool:
        """Whether no epoch remains to be trained. Valid between two epochs."""
        completed = self.epoch - 1
        return completed >= settings.epochs or self.ran_out_of_patience(settings)

    def ran_out_of_patience(self, settings: FinetuneSettings) -> bool:
        """Whether the last `patience_epochs` epochs brought no improvement."""
        completed, patience = self.epoch - 1, settings.patience_epochs
        if patience is None or completed < settings.min_epochs:
            return False
        return completed - self.best_epoch >= patience
