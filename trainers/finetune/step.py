"""One optimizer step: forward and backward in micro-batches that fit into memory, then update."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trytable.trainers.data.batches import Collator
from trytable.trainers.data.tokens import Indices, TokenSplit
from trytable.trainers.finetune import memory
from trytable.trainers.finetune.losses import Criterion
from trytable.trainers.models import determinism
from trytable.trainers.models.precision import Precision, autocast

_SMALLEST_SCALE = 1.0
"""At this scale an infinite fp16 gradient is not caused by the scaling."""


class NonFinite(Exception):
    """The loss or the gradient became NaN or infinite, so training cannot recover."""


@dataclass(frozen=True)
class StepResult:
    """Mean cross-entropy per sentence in nats, right predictions, and the gradient's L2 norm."""

    loss: float
    correct: int
    gradient_norm: float


@dataclass(kw_only=True)
class Stepper:
    """Takes optimizer steps, each on a whole batch, whatever the size of the micro-batches.

    Args:
        micro_batch: sentences in memory at once; halved whenever memory runs out.
        on_halved: called with the previous and the new size of the micro-batch.
        may_halve: whether to halve the micro-batch. On a shared GPU it is not halved: another
            trial may have used up the memory.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    criterion: Criterion
    collator: Collator
    precision: Precision
    max_gradient_norm: float
    micro_batch: int
    on_halved: Callable[[int, int], None]
    may_halve: bool

    def __post_init__(self) -> None:
        device, enabled = self.collator.device.type, self.precision == "fp16"
        self.scaler = torch.amp.GradScaler(device, enabled=enabled)

    def step(self, split: TokenSplit, indices: Indices, seed: int) -> StepResult:
        """Train on these sentences once; `seed` is the seed of the dropout.

        Raises NonFinite, and torch.OutOfMemoryError if the micro-batch must not be halved or is a
        single sentence.
        """
        while True:
            torch.manual_seed(seed)
            try:
                loss, correct, norm = self._gradients(split, indices)
                break
            except RuntimeError as error:  # the base class of torch.OutOfMemoryError
                if not determinism.relax(error):
                    self._halve(error, len(indices))
        self._check(loss, norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return StepResult(loss, correct, norm)

    def _gradients(self, split: TokenSplit, indices: Indices) -> tuple[float, int, float]:
        self.optimizer.zero_grad(set_to_none=True)
        loss, correct = 0.0, 0
        for first in range(0, len(indices), self.micro_batch):
            part = indices[first : first + self.micro_batch]
            batch, labels = self.collator.collate(split, part)
            with autocast(self.precision, self.collator.device):
                logits = self.model(batch)
            minimised, plain = self.criterion(logits.float(), labels)
            share: Tensor = minimised.sum() / len(indices)
            self.scaler.scale(share).backward()  # type: ignore[no-untyped-call] # untyped in torch
            loss += plain.sum().item() / len(indices)
            correct += int((logits.argmax(1) == labels).sum())
        self.scaler.unscale_(self.optimizer)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.max_gradient_norm)
        return loss, correct, float(norm)

    def _halve(self, error: RuntimeError, sentences: int) -> None:
        """Halve the micro-batch if memory ran out; raise any other error again."""
        if not memory.is_oom(error):
            raise error
        if not self.may_halve:
            raise torch.OutOfMemoryError(str(error)) from error
        self.optimizer.zero_grad(set_to_none=True)
        previous = min(self.micro_batch, sentences)
        if previous == 1:
            raise torch.OutOfMemoryError(
                "memory does not hold even a single sentence; a shorter max_length or "
                "gradient_checkpointing may help"
            ) from error
        self.micro_batch = math.ceil(previous / 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.on_halved(previous, self.micro_batch)

    def _check(self, loss: float, norm: float) -> None:
        _check_finite("loss", loss)
        # fp16 overflows occasionally: the scaler then skips the step and lowers its scale.
        if not self.scaler.is_enabled() or self.scaler.get_scale() <= _SMALLEST_SCALE:
            _check_finite("gradient norm", norm)

    def state(self) -> dict[str, Any]:
        """Return the state of the fp16 scaler; empty in other precisions."""
        return self.scaler.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        if state:
            self.scaler.load_state_dict(state)


def _check_finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise NonFinite(f"the {name} is {value}")
