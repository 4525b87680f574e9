"""The knobs of the built-in trainer, and what a sweep may be after.

`python -m trytable.trainers.protocol.knobs_docs` makes docs/knobs.md of them. Neither torch nor a
module that needs it is imported here: the orchestrator reads these knobs, through `messages`.
"""

from typing import ClassVar, Literal

from trytable.trainers.protocol.base import Record
from trytable.trainers.protocol.model_knobs import ModelKnobs
from trytable.trainers.protocol.training_knobs import TrainingKnobs

Direction = Literal["maximize", "minimize"]


class Objective(Record):
    """What a sweep is after: a metric of every epoch, and which way is better."""

    name: str = "dev_accuracy"
    direction: Direction = "maximize"

    def is_better(self, value: float, than: float | None) -> bool:
        """Whether a value beats another one, or none at all."""
        if than is None:
            return True
        return value > than if self.direction == "maximize" else value < than


OBJECTIVES: dict[str, Direction] = {
    "dev_accuracy": "maximize",
    "dev_macro_f1": "maximize",
    "dev_loss": "minimize",
}
"""What the trainers of ours measure after every epoch, and which way is better."""


class FinetuneSettings(ModelKnobs, TrainingKnobs):
    """The knobs of the built-in trainer. Each can be fixed in a sweep's baseline or swept."""

    OBJECTIVES: ClassVar[dict[str, Direction]] = OBJECTIVES
    TELLS_MEMORY: ClassVar[bool] = True
    """Its workers tell what they take of a GPU (see trainers/protocol/memory_knobs.py)."""
