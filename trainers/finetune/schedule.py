"""The learning rate schedule: a pure function of the step, so checkpoints need not store it."""

import math
from dataclasses import dataclass

from trytable.records import Refused
from trytable.trainers.protocol.messages import FinetuneSettings


@dataclass(frozen=True)
class Schedule:
    """The learning rate by optimizer step, counted from 0, as a share of the peak."""

    settings: FinetuneSettings
    steps_per_epoch: int
    steps_total: int
    warmup_steps: int

    def share(self, step: int) -> float:
        """Return the share of the peak learning rate at a step.

        Warm-up rises linearly and reaches the peak at its last step. Then the rate falls to the
        floor: linearly, by one or several half cosines (Loshchilov and Hutter 2017, equation 5),
        or by a factor every few epochs.
        """
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        floor = self.settings.schedule_floor
        return floor + (1 - floor) * self._decay(step)

    @property
    def peak_step(self) -> int:
        """The first step with the largest share."""
        return max(0, self.warmup_steps - 1)

    def _decay(self, step: int) -> float:
        settings = self.settings
        passed = (step - self.warmup_steps) / (self.steps_total - self.warmup_steps)
        match settings.schedule:
            case "linear":
                return 1 - passed
            case "cosine":
                return _half_cosine(passed)
            case "cosine_restarts":
                return _half_cosine(passed * settings.schedule_cycles % 1)
            case "step":
                epochs = step // self.steps_per_epoch
                return settings.decay_factor ** (epochs // settings.decay_every_epochs)
            case _:
                return 1.0


def _half_cosine(passed: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * passed))


def make_schedule(settings: FinetuneSettings, steps_per_epoch: int) -> Schedule:
    """Build the schedule over all epochs. Raises Refused if warm-up takes all of the training."""
    total = steps_per_epoch * settings.epochs
    units = {"share": total, "epochs": steps_per_epoch, "steps": 1}
    warmup = round(settings.warmup * units[settings.warmup_unit])
    if warmup >= total:
        allowed = total / units[settings.warmup_unit]
        raise Refused(
            f"warmup {settings.warmup:g} ({settings.warmup_unit}) takes {warmup} steps, but the "
            f"training has {total}. Allowed: less than {allowed:g} ({settings.warmup_unit})."
        )
    return Schedule(settings, steps_per_epoch, total, warmup)
