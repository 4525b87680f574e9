"""How far a trial has come, and what is the best of it so far."""

from dataclasses import dataclass, field, replace

from trytable.records import Objective
from trytable.trainers.protocol.messages import FinetuneSettings


@dataclass
class TrainingProgress:
    """How far a trial has come, in full: with the weights, all that resuming needs.

    `epoch` is the one under way, counted from 1. `loss_sum` is of plain cross-entropy in nats over
    the `seen` sentences of the epoch. `micro_batch` is what memory was found to hold, 0 while it
    has held all.
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
        """The same at the start of the next epoch."""
        return replace(
            self,
            epoch=self.epoch + 1,
            step_in_epoch=0,
            loss_sum=0.0,
            correct=0,
            seen=0,
            seconds=0.0,
        )

    def improves(self, objective: Objective, value: float, dev_loss: float) -> bool:
        """Whether an epoch is the best so far; at equal values the lower dev loss decides."""
        if value == self.best_value:
            return dev_loss < self.best_loss
        return objective.is_better(value, self.best_value)

    def is_over(self, settings: FinetuneSettings) -> bool:
        """Whether nothing is left to train, between two epochs."""
        done = self.epoch - 1
        return done >= settings.epochs or self.ran_out_of_patience(settings)

    def ran_out_of_patience(self, settings: FinetuneSettings) -> bool:
        """Whether the best epoch lies so far back that the rest is not worth its time."""
        done, patience = self.epoch - 1, settings.patience_epochs
        if patience is None or done < settings.min_epochs:
            return False
        return done - self.best_epoch >= patience
