"""The knobs of the built-in trainer, and what a sweep may be after.

`python -m trytable.trainers.protocol.knobs_docs` makes docs/knobs.md of them. Neither torch nor a
module that needs it is imported here: the orchestrator reads these knobs, through `messages`.
"""

from typing import ClassVar

from trytable.records import Direction
from trytable.trainers.protocol.model_knobs import ModelKnobs
from trytable.trainers.protocol.training_knobs import TrainingKnobs

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
