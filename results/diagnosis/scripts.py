"""A script's settings under the names that diagnoses know, from what its worker read back."""

from collections.abc import Mapping
from typing import Any

TAKEN = "taken as "
"""The worker tells so which of a script's parameters it took for which knob."""

_SCHEDULES = {
    "cosine_with_restarts": "cosine_restarts",
    "cosine_with_min_lr": "cosine",
    "polynomial": "linear",
    "CosineAnnealingLR": "cosine",
    "CosineAnnealingWarmRestarts": "cosine_restarts",
    "CyclicLR": "cosine_restarts",
}
"""What other programs call the schedules that we know; the classes are torch's."""


def is_observed(effective: Mapping[str, Any]) -> bool:
    """Whether a script's optimizer was seen at every step."""
    return "parameter groups" in effective


def in_our_words(settings: Mapping[str, Any], effective: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with a script's rate, epochs and schedule under our names as well.

    A schedule that nobody asked for by name is that of the scheduler that was found.
    """
    if not is_observed(effective):
        return dict(settings)
    found = dict(settings)
    for key, name in effective.items():
        if key.startswith(TAKEN) and name in settings:
            found[key.removeprefix(TAKEN)] = settings[name]
    scheduler = str(effective.get("scheduler"))
    asked = found.get("schedule")
    if isinstance(asked, str):
        found["schedule"] = _SCHEDULES.get(asked, asked)
    elif scheduler.isidentifier():
        found["schedule"] = _SCHEDULES.get(scheduler, scheduler)
    floor, rate = effective.get("scheduler eta_min"), found.get("lr")
    if isinstance(floor, int | float) and isinstance(rate, int | float) and rate > 0:
        found["schedule_floor"] = floor / rate
    return found
