"""The learning rate's course: a pure function of the step, so no checkpoint needs to hold it."""

import math
from dataclasses import dataclass

from trytable.trainers.protocol.messages import FinetuneSettings, Refused


@dataclass(frozen=True)
class Schedule:
    """Shares of the peak learning rate by optimizer step, counted from 0."""

    settings: FinetuneSettings
    steps_per_epoch: int
    steps_total: int
    warmup_steps: int

    def share(self, step: int) -> float:
        """Share of the peak at a step.

        Warm-up rises linearly and reaches the peak at its last step. What follows falls to the
        floor: linearly; by half a cosine, or several (Loshchilov and Hutter 2017, equation 5);
        or by a factor every so many epochs.
        """
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        floor = self.settings.schedule_floor
        return floor + (1 - floor) * self._fallen(step)

    @property
    def peak_step(self) -> int:
        """A step with the largest share."""
        return max(0, self.warmup_steps - 1)

    def _fallen(self, step: int) -> float:
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
    """The schedule over all epochs. Raises Refused where warm-up leaves no step at the peak."""
    total = steps_per_epoch * settings.epochs
    units = {"share": total, "epochs": steps_per_epoch, "steps": 1}
    warmup = round(settings.warmup * units[settings.warmup_unit])
    if warmup >= total:
        allowed = total / units[settings.warmup_unit]
        raise Refused(
            f"warmup {settings.warmup:g} ({settings.warmup_unit}) takes {warmup} steps, and the "
            f"training has {total}. Allowed: less than {allowed:g} ({settings.warmup_unit})."
        )
    return Schedule(settings, steps_per_epoch, total, warmup)
